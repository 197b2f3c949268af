"""API keys: made, found by hash, withdrawn."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.coalesced_reads import any_key, coalesced
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.schema import ApiKeyRow
from tokenkeep.adapters.postgres.standings import Row
from tokenkeep.domain.api_key import ApiKey, Scope
from tokenkeep.domain.ids import ApiKeyId

_BY_HASH = f"""
SELECT id, environment, name, key_hash, hint, scopes, created_at, expires_at, last_used_at
  FROM api_keys
 WHERE key_hash = {any_key("bytea")} AND (expires_at IS NULL OR expires_at > statement_timestamp())
"""  # noqa: S608 - only our own names are put in
_USED = text("""
UPDATE api_keys AS k SET last_used_at = GREATEST(k.last_used_at, u.at)
  FROM unnest(CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[])) AS u(id, at) WHERE k.id = u.id
""")


class PostgresApiKeys:
    """API keys over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, key: ApiKey, key_hash: bytes, *, created_by: str) -> None:
        """A new key, by its hash."""
        await self._connection.execute(
            insert(ApiKeyRow),
            {
                "id": key.id,
                "environment": key.environment,
                "name": key.name,
                "key_hash": key_hash,
                "hint": key.hint,
                "scopes": sorted(scope.value for scope in key.scopes),
                "created_by": created_by,
                "created_at": key.created_at,
                "expires_at": key.expires_at,
            },
        )

    async def list(self, environment: str, *, after: UUID | None, limit: int) -> Sequence[ApiKey]:
        """The keys of this environment, oldest first."""
        statement = select(ApiKeyRow.__table__).where(ApiKeyRow.environment == environment)
        if after is not None:
            statement = statement.where(ApiKeyRow.id > after)
        found = await self._connection.execute(statement.order_by(ApiKeyRow.id).limit(limit))
        return [_key_from(row) for row in found.mappings()]

    async def withdraw(self, key_id: ApiKeyId, environment: str) -> bool:
        """Delete a key; False when this environment has none such."""
        statement = delete(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.environment == environment)
        return (await self._connection.execute(statement.returning(ApiKeyRow.id))).first() is not None


class PostgresKeyLookup:
    """Finds live keys by hash, coalesced; nothing is cached, so a withdrawn key stops working at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batched = coalesced(self._find)

    async def __call__(self, key_hash: bytes) -> ApiKey | None:
        """The key with this hash, unless it is unknown or expired."""
        return await self._batched(key_hash)

    async def record_use(self, moments: dict[ApiKeyId, datetime]) -> None:
        """Write when keys were last used; called now and then with what was gathered."""
        if not moments:
            return
        async with self._database.transaction() as connection:
            await connection.execute(_USED, {"ids": list(moments), "moments": list(moments.values())})

    async def _find(self, hashes: Sequence[bytes]) -> Sequence[ApiKey | None]:
        rows = await self._database.fetch(_BY_HASH, list(set(hashes)))
        found = {row["key_hash"]: _key_from(row) for row in rows}
        return [found.get(key_hash) for key_hash in hashes]


def _key_from(row: Row) -> ApiKey:
    return ApiKey(
        id=ApiKeyId(row["id"]),
        name=row["name"],
        environment=row["environment"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        hint=row["hint"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
    )
