"""Accounts as they are shown, listed, and given credentials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import RowMapping, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.grant_claims import claim_grant
from tokenkeep.adapters.postgres.identities import verification_from
from tokenkeep.adapters.postgres.schema import CredentialRow
from tokenkeep.adapters.postgres.standings import ACCOUNT_COLUMNS, account_from
from tokenkeep.application.prepared_account import GrantClaim
from tokenkeep.domain.account import Account, AccountState, AccountView, FailureReason, Health, InDoubt
from tokenkeep.domain.attempt import AttemptRecord, Outcome, Resolution, Trigger
from tokenkeep.domain.credential import CredentialVersion, SealedKey, SealedTokens
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId

_VIEW = f"""
SELECT {ACCOUNT_COLUMNS}, a.metadata, a.properties, a.created_at,
       GREATEST(a.updated_at, c.last_refreshed_at) AS updated_at,
       c.scopes, c.generation, c.expires_at, c.refresh_token_expires_at, c.last_refreshed_at,
       l.next_refresh_at, l.consecutive_failures, l.doubts, l.doubt_since, s.client_id IS NOT NULL AS source_has_client,
       v.result AS verification_result, v.code AS verification_code, v.at AS verified_at
  FROM accounts AS a
  JOIN leases AS l ON l.account_id = a.id
  JOIN sources AS s ON s.id = a.source_id
  LEFT JOIN credentials AS c ON c.account_id = a.id
  LEFT JOIN account_verifications AS v ON v.account_id = a.id
"""  # noqa: S608 - only our own names are put in
_VIEW_ONE = text(f"{_VIEW} WHERE a.id = :id AND a.environment = :environment")
_DESCRIBE = text("""
UPDATE accounts
   SET metadata = CAST(:metadata AS jsonb), properties = CAST(:properties AS jsonb), updated_at = clock_timestamp()
 WHERE id = :id
""")
_ADD_PROPERTIES = text("""
UPDATE accounts SET properties = properties || CAST(:properties AS jsonb), updated_at = clock_timestamp() WHERE id = :id
""")
_ATTEMPTS = text("""
SELECT id, account_id, trigger, correlation_id, presented_generation, sent_at, settled_at, outcome, reason, http_status,
       error_code, presentations, resolution, due_at
  FROM refresh_attempts
 WHERE account_id = :account_id AND (CAST(:before AS uuid) IS NULL OR id < :before)
 ORDER BY id DESC LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which accounts to list. None means: any."""

    source_id: SourceId | None = None
    state: AccountState | None = None
    health: Health | None = None
    external_id: str | None = None
    provider: str | None = None
    expires_before: datetime | None = None
    metadata: Mapping[str, str] | None = None


class PostgresAccounts:
    """Accounts over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def now(self) -> datetime:
        """The database's clock."""
        moment: datetime = (await self._connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
        return moment

    async def put_credentials(
        self, account_id: AccountId, version: CredentialVersion, key: SealedKey, sealed: SealedTokens
    ) -> None:
        """The credentials of an account, in the place of any that were there."""
        values = credential_values(version, key, sealed)
        statement = upsert(CredentialRow).values(account_id=account_id, **values)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=[CredentialRow.account_id], set_=values)
        )

    async def describe(
        self, account_id: AccountId, *, metadata: Mapping[str, str], properties: Mapping[str, Any]
    ) -> None:
        """What a locked account says of itself from now on."""
        described = {
            "id": account_id,
            "metadata": orjson.dumps(dict(metadata)).decode(),
            "properties": orjson.dumps(dict(properties)).decode(),
        }
        await self._connection.execute(_DESCRIBE, described)

    async def claim_grant(self, account: Account, claim: GrantClaim) -> None:
        """Note which refresh token the account came with; it claims no other one.

        Raises:
            AccountExists: Another account of the same client came with the same one.
        """
        await claim_grant(self._connection, account, claim)

    async def add_properties(self, account_id: AccountId, properties: Mapping[str, str]) -> None:
        """Lay these over the properties that the account has."""
        if properties:
            given = orjson.dumps(dict(properties)).decode()
            await self._connection.execute(_ADD_PROPERTIES, {"id": account_id, "properties": given})

    async def view(self, account_id: AccountId, environment: str) -> AccountView | None:
        """An account of this environment."""
        parameters = {"id": account_id, "environment": environment}
        row = (await self._connection.execute(_VIEW_ONE, parameters)).mappings().first()
        return None if row is None else _view_from(row)

    async def list(
        self, environment: str, wanted: AccountFilter, *, after: UUID | None, limit: int
    ) -> Sequence[AccountView]:
        """Accounts of this environment, oldest first; `after` is the id to go on from."""
        conditions = {
            "a.environment = :environment": environment,
            "a.id > :after": after,
            "a.source_id = :source_id": wanted.source_id,
            "a.state = :state": wanted.state and wanted.state.value,
            "a.health = :health": wanted.health and wanted.health.value,
            "a.external_id = :external_id": wanted.external_id,
            "a.provider = :provider": wanted.provider,
            "c.expires_at < :expires_before": wanted.expires_before,
            "a.metadata @> CAST(:metadata AS jsonb)": wanted.metadata and orjson.dumps(dict(wanted.metadata)).decode(),
        }
        chosen = {condition: value for condition, value in conditions.items() if value is not None}
        parameters = {_parameter(condition): value for condition, value in chosen.items()}
        statement = text(f"{_VIEW} WHERE {' AND '.join(chosen)} ORDER BY a.id LIMIT :limit")
        result = await self._connection.execute(statement, {**parameters, "limit": limit})
        return [_view_from(row) for row in result.mappings()]

    async def attempts(self, account_id: AccountId, *, before: AttemptId | None, limit: int) -> Sequence[AttemptRecord]:
        """The refresh journal of an account, newest first."""
        parameters = {"account_id": account_id, "before": before, "limit": limit}
        result = await self._connection.execute(_ATTEMPTS, parameters)
        return [
            AttemptRecord(
                id=AttemptId(row["id"]),
                account_id=AccountId(row["account_id"]),
                trigger=Trigger(row["trigger"]),
                correlation_id=row["correlation_id"],
                presented_generation=row["presented_generation"],
                sent_at=row["sent_at"],
                settled_at=row["settled_at"],
                outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
                reason=None if row["reason"] is None else FailureReason(row["reason"]),
                http_status=row["http_status"],
                error_code=row["error_code"],
                presentations=row["presentations"],
                resolution=None if row["resolution"] is None else Resolution(row["resolution"]),
                due_at=row["due_at"],
            )
            for row in result.mappings()
        ]


def credential_values(version: CredentialVersion, key: SealedKey, sealed: SealedTokens) -> dict[str, Any]:
    """Credentials that came from outside, by column; whose they are aside."""
    return {
        "epoch": version.epoch,
        "generation": version.generation,
        "installed_fence": version.installed_fence,
        "key_id": key.key_id,
        "wrapped_key": key.wrapped,
        "access_ciphertext": sealed.access_ciphertext,
        "refresh_ciphertext": sealed.refresh_ciphertext,
        "token_type": sealed.token_type,
        "scopes": list(sealed.scopes),
        "obtained_at": version.obtained_at,
        "expires_at": version.expires_at,
        "refresh_token_expires_at": version.refresh_token_expires_at,
        "refresh_end_derived": version.refresh_end_derived,
        "last_refreshed_at": None,
    }


def _view_from(row: RowMapping) -> AccountView:
    return AccountView(
        account=account_from(row),
        metadata=row["metadata"],
        properties=row["properties"],
        scopes=tuple(row["scopes"] or ()),
        generation=row["generation"],
        expires_at=row["expires_at"],
        refresh_token_expires_at=row["refresh_token_expires_at"],
        last_refreshed_at=row["last_refreshed_at"],
        next_refresh_at=row["next_refresh_at"],
        consecutive_failures=row["consecutive_failures"],
        in_doubt=None if row["doubt_since"] is None else InDoubt(row["doubt_since"], row["doubts"]),
        verification=verification_from(row),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        source_has_client=row["source_has_client"],
    )


def _parameter(condition: str) -> str:
    return condition.partition(":")[2].partition(" ")[0]
