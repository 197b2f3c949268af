"""Accounts with everything that is stored for them: locked, freed of a former grant, deleted."""

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.erasure import erase_credentials
from tokenkeep.adapters.postgres.standings import (
    ACCOUNT_COLUMNS,
    CREDENTIAL_COLUMNS,
    LEASE_COLUMNS,
    account_from,
    credential_from,
    lease_from,
)
from tokenkeep.application.full_accounts import FullAccount, StoredCredentials
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.handover import Release
from tokenkeep.domain.ids import AccountId

_LOCK = text(f"""
SELECT {LEASE_COLUMNS}, clock_timestamp() AS now
  FROM leases AS l JOIN accounts AS a ON a.id = l.account_id
 WHERE l.account_id = :id AND a.environment = :environment FOR UPDATE OF l
""")  # noqa: S608 - only our own names are put in
# A statement of its own: it sees what was committed by whoever held the lock that _LOCK waited for.
_READ = text(f"""
SELECT {ACCOUNT_COLUMNS}, {CREDENTIAL_COLUMNS}, a.properties, a.metadata, c.access_ciphertext, c.refresh_ciphertext, c.scopes,
       r.released_at, r.confirm_before, r.erased_at, r.in_doubt, r.generation AS released_generation,
       (SELECT g.fingerprint FROM imported_grants AS g WHERE g.account_id = a.id) AS came_with
  FROM accounts AS a
  LEFT JOIN credentials AS c ON c.account_id = a.id
  LEFT JOIN releases AS r ON r.account_id = a.id
 WHERE a.id = :id
""")  # noqa: S608 - only our own names are put in
_FORGET = (
    text("DELETE FROM imported_grants WHERE account_id = :id"),
    text("DELETE FROM releases WHERE account_id = :id"),
    text("DELETE FROM source_revocations WHERE account_id = :id"),
)
# The journals have no foreign key, so that they can be partitioned; the account's row takes all the rest along.
_DELETE = (
    text("DELETE FROM refresh_attempts WHERE account_id = :id"),
    text("DELETE FROM receipts WHERE account_id = :id"),
    text("DELETE FROM accounts WHERE id = :id"),
)


class PostgresFullAccounts:
    """Whole accounts over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self, account_id: AccountId, environment: str) -> FullAccount | None:
        """Lock an account of this environment until the transaction ends, with or without credentials."""
        parameters = {"id": account_id, "environment": environment}
        locked = (await self._connection.execute(_LOCK, parameters)).mappings().first()
        if locked is None:
            return None
        row = (await self._connection.execute(_READ, {"id": account_id})).mappings().one()
        release = None
        if row["released_at"] is not None:
            release = Release(
                row["released_at"],
                row["confirm_before"],
                row["erased_at"],
                row["in_doubt"],
                row["released_generation"],
            )
        return FullAccount(
            account=account_from(row),
            lease=lease_from(locked),
            stored=None if row["generation"] is None else _stored_from(row),
            release=release,
            properties=row["properties"],
            now=locked["now"],
            metadata=row["metadata"],
            came_with=row["came_with"],
        )

    async def forget_grant(self, account_id: AccountId) -> None:
        """Forget what belongs to the grant of before, credentials aside: those are overwritten."""
        for forgetting in _FORGET:
            await self._connection.execute(forgetting, {"id": account_id})

    async def erase_credentials(self, account_id: AccountId) -> None:
        """Erase the credentials of a locked account, with its receipts and the fingerprint of the grant that it came with."""
        await erase_credentials(self._connection, [account_id])

    async def delete(self, account_id: AccountId) -> None:
        """Delete a locked account with its credentials, receipts and journal. Its events stay."""
        for deletion in _DELETE:
            await self._connection.execute(deletion, {"id": account_id})


def _stored_from(row: RowMapping) -> StoredCredentials:
    return StoredCredentials(
        version=credential_from(row),
        sealed_key=SealedKey(row["key_id"], row["wrapped_key"]),
        access_ciphertext=row["access_ciphertext"],
        refresh_ciphertext=row["refresh_ciphertext"],
        scopes=tuple(row["scopes"]),
    )
