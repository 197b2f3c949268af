"""Whose accounts are, as providers have said, and what came of asking them."""

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.domain.account import LastVerification, VerificationResult
from tokenkeep.domain.conflicts import AccountExists
from tokenkeep.domain.external_id import UNRECORDED, ExternalId
from tokenkeep.domain.ids import AccountId, IdKind, SourceId, format_id
from tokenkeep.domain.source import Source

_RECORD = text("""
INSERT INTO account_verifications (account_id, result, code, at) VALUES (:account_id, :result, :code, :at)
ON CONFLICT (account_id) DO UPDATE SET result = excluded.result, code = excluded.code, at = excluded.at
""")
_FORGET = text("DELETE FROM account_verifications WHERE account_id = :account_id")
_HOLDER = text("SELECT account_id FROM account_identities WHERE source_id = :source_id AND external_id = :external_id")
# Whoever discards a grant of this identity locks its client's sources against this.
_SHARE_SOURCE = text("SELECT FROM sources WHERE id = :source_id FOR KEY SHARE")
_CLAIM = text("""
INSERT INTO account_identities (source_id, external_id, account_id) VALUES (:source_id, :external_id, :account_id)
ON CONFLICT (source_id, external_id) DO UPDATE SET account_id = account_identities.account_id
RETURNING account_id
""")
_IDENTIFY = text("""
UPDATE accounts SET external_id = :external_id, external_id_verified = true, external_id_kind = CAST(:kind AS text),
       updated_at = clock_timestamp()
 WHERE id = :account_id
""")
_GIVE_UP = text("""
DELETE FROM account_identities WHERE account_id = :account_id AND external_id IS DISTINCT FROM CAST(:external_id AS text)
""")
_UNVERIFY = text("""
UPDATE accounts SET external_id_verified = false, external_id_kind = COALESCE(external_id_kind, CAST(:unrecorded AS text)),
       updated_at = clock_timestamp()
 WHERE id = :account_id
""")
# Accounts of other environments count as well, and those of other sources: to the provider it is one client.
_LOCK_CLIENT = text("""
SELECT id FROM sources
 WHERE provider = :provider AND client_id IS NOT DISTINCT FROM CAST(:client_id AS text)
   AND options ->> 'token_url' IS NOT DISTINCT FROM CAST(:token_url AS text)
 ORDER BY id FOR UPDATE
""")
# Who is known by an id of another kind, or of none that is known, may be this one.
_MAY_BE_HELD = text("""
SELECT EXISTS (SELECT FROM accounts
                WHERE source_id = ANY(CAST(:source_ids AS uuid[])) AND state <> 'pending'
                  AND (NOT external_id_verified OR external_id = :external_id
                       OR external_id_kind IS DISTINCT FROM CAST(:kind AS text)))
""")


class PostgresIdentities:
    """Identities over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def record(self, account_id: AccountId, verification: LastVerification | None) -> None:
        """Keep what came of asking, in the place of what came of it before; None: nobody was asked about these credentials."""
        if verification is None:
            await self._connection.execute(_FORGET, {"account_id": account_id})
            return
        values = {"result": verification.result.value, "code": verification.code, "at": verification.at}
        await self._connection.execute(_RECORD, {"account_id": account_id, **values})

    async def holder(self, source_id: SourceId, external_id: str) -> AccountId | None:
        """The account of the source that is verified to be this one of the provider's."""
        row = (await self._connection.execute(_HOLDER, {"source_id": source_id, "external_id": external_id})).first()
        return None if row is None else AccountId(row.account_id)

    async def identify(self, account_id: AccountId, source_id: SourceId, told: ExternalId) -> None:
        """Give an account, which is locked, its verified external id, in the place of the one that it has.

        Raises:
            AccountExists: Another account of the source has it.
        """
        claimed = {"account_id": account_id, "source_id": source_id, "external_id": told.value}
        await self._connection.execute(_SHARE_SOURCE, {"source_id": source_id})
        holder = AccountId((await self._connection.execute(_CLAIM, claimed)).scalar_one())
        if holder != account_id:
            raise AccountExists(format_id(IdKind.ACCOUNT, holder))
        identity = {"account_id": account_id, "external_id": told.value}
        await self._connection.execute(_GIVE_UP, identity)
        await self._connection.execute(_IDENTIFY, {**identity, "kind": told.kind})

    async def give_up(self, account_id: AccountId) -> None:
        """Of a locked account's credentials nobody knows whose they are. Another one may show that it is this one now."""
        await self._connection.execute(_GIVE_UP, {"account_id": account_id, "external_id": None})
        await self._connection.execute(_UNVERIFY, {"account_id": account_id, "unrecorded": UNRECORDED})

    async def may_be_held(self, source: Source, told: ExternalId) -> bool:
        """Whether an account of the same client may hold a grant of this identity; locks out those that are coming."""
        client = {
            "provider": source.provider,
            "client_id": source.client_id,
            "token_url": source.options.get("token_url"),
        }
        source_ids = [row.id for row in await self._connection.execute(_LOCK_CLIENT, client)]
        parameters = {"source_ids": source_ids, "external_id": told.value, "kind": told.kind}
        return bool((await self._connection.execute(_MAY_BE_HELD, parameters)).scalar_one())


def verification_from(row: RowMapping) -> LastVerification | None:
    """What is shown of the last verification."""
    if row["verification_result"] is None:
        return None
    return LastVerification(
        VerificationResult(row["verification_result"]), row["verified_at"], row["verification_code"]
    )
