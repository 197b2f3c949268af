"""Sources: as they are managed, and as refreshes need them."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.schema import SourceRow
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.source import Source, SourceState

_CONFIGS = text("""
SELECT id, environment, provider, client_id, key_id, wrapped_key, client_secret_ciphertext, secret_version, options, state
  FROM sources WHERE id = ANY(CAST(:ids AS uuid[]))
""")
# Paused sources' accounts are put aside for minutes at a time; those that are owed a refresh come back now. A row that is
# locked is being worked on. Found by the accounts' index: the leases have none on the source.
_WAKE = text("""
WITH aside AS MATERIALIZED (
    SELECT l.account_id, GREATEST(l.next_refresh_at, statement_timestamp()) AS look_at
      FROM accounts AS a JOIN leases AS l ON l.account_id = a.id
     WHERE a.source_id = :source_id AND l.phase = 'idle'
       AND l.due_at > GREATEST(l.next_refresh_at, statement_timestamp())
       AND l.next_refresh_at IS NOT NULL
     LIMIT :limit FOR UPDATE OF l SKIP LOCKED
)
UPDATE leases AS l SET due_at = LEAST(l.due_at, aside.look_at)
  FROM aside WHERE l.account_id = aside.account_id
""")
_WAKE_BATCH = 5_000
_MOST_WAKES = 2_000


class PostgresSources:
    """Sources over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, source: Source, key: SealedKey, client_secret_ciphertext: bytes | None) -> None:
        """A new source, its client secret sealed under a data key of its own."""
        await self._connection.execute(
            insert(SourceRow),
            {
                "id": source.id,
                "environment": source.environment,
                "provider": source.provider,
                "name": source.name,
                "auth_type": source.auth_type.value,
                "client_id": source.client_id,
                "key_id": key.key_id,
                "wrapped_key": key.wrapped,
                "client_secret_ciphertext": client_secret_ciphertext,
                "secret_version": source.secret_version,
                "scopes": list(source.scopes),
                "options": dict(source.options),
                "state": source.state.value,
                "paused_reason": source.paused_reason,
                "created_at": source.created_at,
                "updated_at": source.updated_at,
            },
        )

    async def get(self, source_id: SourceId, environment: str) -> Source | None:
        """A source of this environment."""
        statement = select(SourceRow.__table__).where(SourceRow.id == source_id, SourceRow.environment == environment)
        row = (await self._connection.execute(statement)).first()
        return None if row is None else _source_from(row)

    async def list(self, environment: str, *, after: UUID | None, limit: int) -> Sequence[Source]:
        """The sources of this environment, oldest first; `after` is the id to go on from."""
        statement = select(SourceRow.__table__).where(SourceRow.environment == environment)
        if after is not None:
            statement = statement.where(SourceRow.id > after)
        result = await self._connection.execute(statement.order_by(SourceRow.id).limit(limit))
        return [_source_from(row) for row in result]

    async def config(self, source_id: SourceId) -> SourceConfig:
        """What requests to the provider need, with the client secret still sealed."""
        return (await _configs(self._connection, [source_id]))[source_id]

    async def lock(self, source_id: SourceId, environment: str) -> tuple[Source, int] | None:
        """A source of this environment under a row lock, with the number of events it has told."""
        statement = (
            select(SourceRow.__table__)
            .where(SourceRow.id == source_id, SourceRow.environment == environment)
            .with_for_update(key_share=True)
        )
        row = (await self._connection.execute(statement)).first()
        return None if row is None else (_source_from(row), row.event_sequence)

    async def save_state(self, source: Source, *, event_sequence: int) -> None:
        """Write whether the source is paused."""
        await self._connection.execute(
            update(SourceRow)
            .where(SourceRow.id == source.id)
            .values(
                state=source.state.value,
                paused_reason=source.paused_reason,
                event_sequence=event_sequence,
                updated_at=text("clock_timestamp()"),
            )
        )


class PostgresSourceConfigs:
    """Reads source configurations for refreshes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, source_ids: Collection[SourceId]) -> dict[SourceId, SourceConfig]:
        """The configurations of these sources, as they are now."""
        async with self._database.reading() as connection:
            return await _configs(connection, source_ids)


async def _configs(connection: AsyncConnection, source_ids: Collection[SourceId]) -> dict[SourceId, SourceConfig]:
    result = await connection.execute(_CONFIGS, {"ids": list(source_ids)})
    return {
        SourceId(row.id): SourceConfig(
            id=SourceId(row.id),
            environment=row.environment,
            provider=row.provider,
            client_id=row.client_id,
            sealed_key=SealedKey(row.key_id, row.wrapped_key),
            client_secret_ciphertext=row.client_secret_ciphertext,
            secret_version=row.secret_version,
            options=row.options,
            paused=row.state == SourceState.PAUSED.value,
        )
        for row in result
    }


def _source_from(row: Row[Any]) -> Source:
    return Source(
        id=SourceId(row.id),
        environment=row.environment,
        provider=row.provider,
        name=row.name,
        auth_type=AuthType(row.auth_type),
        client_id=row.client_id,
        scopes=tuple(row.scopes),
        options=row.options,
        state=SourceState(row.state),
        paused_reason=row.paused_reason,
        secret_version=row.secret_version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


async def wake_accounts(database: Database, source_id: SourceId) -> int:
    """Let schedulers look at once at a source's accounts that were put aside while it was paused; returns how many.

    In small transactions, after the one that resumed the source: a source may have millions. Those that are not woken,
    because this process ends, are looked at within ten minutes all the same.
    """
    woken = 0
    for _ in range(_MOST_WAKES):
        async with database.transaction() as connection:
            count = (await connection.execute(_WAKE, {"source_id": source_id, "limit": _WAKE_BATCH})).rowcount
        woken += count
        if count < _WAKE_BATCH:
            break
    return woken
