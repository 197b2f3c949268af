"""Sources: as they are managed, and as refreshes need them."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, case, delete, false, func, insert, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.schema import RevocationRow, SourceRow
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.work import SourceUses
from tokenkeep.domain.account import AuthType, Custody, DisabledReason
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.revocation_incident import NotedRevocation
from tokenkeep.domain.source import Source, SourceState
from tokenkeep.domain.source_changes import is_client_fault

_CONFIGS = text("""
SELECT id, environment, provider, client_id, key_id, wrapped_key, client_secret_ciphertext, secret_version, options, state,
       paused_reason, proving, rollback_accepted_at, scopes, callout_secret_ciphertext
  FROM sources WHERE id = ANY(CAST(:ids AS uuid[]))
""")

_HOLDS_GRANTS = text(f"""
SELECT EXISTS (SELECT FROM accounts WHERE source_id = :source_id AND custody = '{Custody.HELD.value}')
    OR EXISTS (SELECT FROM revocation_requests WHERE source_id = :source_id)
""")  # noqa: S608 - only our own names are put in


# Sessions before their source, as those who end one by making an account lock them; whoever waits finds it gone.
_LOCK_SESSIONS = text("SELECT FROM connect_sessions WHERE source_id = :source_id ORDER BY id FOR UPDATE")
# One statement, so one look: an account that is deleted meanwhile is there, or what is to be revoked of it is.
_USES = text("""
SELECT (SELECT count(*) FROM (SELECT FROM accounts WHERE source_id = :source_id LIMIT :most) AS counted) AS accounts,
       EXISTS (SELECT FROM revocation_requests WHERE source_id = :source_id) AS revocations
""")


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

    async def get(self, source_id: SourceId, environment: str, *, keep: bool = False) -> Source | None:
        """A source of this environment. `keep`: it can't be deleted until the transaction ends, as what refers to it is stored."""
        statement = select(SourceRow.__table__).where(SourceRow.id == source_id, SourceRow.environment == environment)
        if keep:
            statement = statement.with_for_update(read=True, key_share=True)
        row = (await self._connection.execute(statement)).first()
        return None if row is None else source_from(row)

    async def list(self, environment: str, *, after: UUID | None, limit: int) -> Sequence[Source]:
        """The sources of this environment, oldest first; `after` is the id to go on from."""
        statement = select(SourceRow.__table__).where(SourceRow.environment == environment)
        if after is not None:
            statement = statement.where(SourceRow.id > after)
        result = await self._connection.execute(statement.order_by(SourceRow.id).limit(limit))
        return [source_from(row) for row in result]

    async def config(self, source_id: SourceId) -> SourceConfig:
        """What requests to the provider need, with the client secret still sealed."""
        return (await _configs(self._connection, [source_id]))[source_id]

    async def lock(self, source_id: SourceId, environment: str | None = None) -> tuple[Source, int] | None:
        """A source under a row lock, with the number of events it has told; of this environment only, if one is given."""
        statement = select(SourceRow.__table__).where(SourceRow.id == source_id).with_for_update(key_share=True)
        if environment is not None:
            statement = statement.where(SourceRow.environment == environment)
        row = (await self._connection.execute(statement)).first()
        return None if row is None else (source_from(row), row.event_sequence)

    async def save(self, source: Source, *, event_sequence: int) -> None:
        """Write what may change of a locked source, its client secret aside.

        When it begins to admit all its accounts, those that were put aside until then are to be woken.
        """
        waking: ColumnElement[bool] = false()
        if source.admits_all:
            waking = or_(SourceRow.waking, SourceRow.proving, SourceRow.state == SourceState.PAUSED.value)
        await self._connection.execute(
            update(SourceRow)
            .where(SourceRow.id == source.id)
            .values(
                name=source.name,
                client_id=source.client_id,
                scopes=list(source.scopes),
                options=dict(source.options),
                secret_version=source.secret_version,
                state=source.state.value,
                paused_reason=source.paused_reason,
                paused_at=source.paused_at,
                proving=source.proving,
                probe_account_id=source.probe_account_id,
                probe_at=source.probe_at,
                probes=source.probes,
                rollback_accepted_at=source.rollback_accepted_at,
                revocations_confirmed_at=source.revocations_confirmed_at,
                waking=waking,
                event_sequence=event_sequence,
                updated_at=source.updated_at,
            )
        )

    async def save_client_secret(self, source_id: SourceId, ciphertext: bytes | None) -> None:
        """Replace the client secret, sealed for the version that is saved with it; None: there is none any more."""
        await self._connection.execute(
            update(SourceRow).where(SourceRow.id == source_id).values(client_secret_ciphertext=ciphertext)
        )

    async def save_callout_secret(self, source_id: SourceId, ciphertext: bytes | None) -> None:
        """Replace the sealed secret that callouts are signed with; None: there is none any more."""
        await self._connection.execute(
            update(SourceRow).where(SourceRow.id == source_id).values(callout_secret_ciphertext=ciphertext)
        )

    async def save_hook_secret(self, source_id: SourceId, ciphertext: bytes | None, *, former_for: timedelta) -> None:
        """Replace the sealed secret that the provider signs its notices with, which is good for a while yet.

        None: there is none any more, nor a former one.
        """
        values: dict[str, Any] = {"hook_secret_ciphertext": ciphertext}
        if ciphertext is None:
            values |= {"former_hook_secret_ciphertext": None, "former_hook_secret_until": None}
        else:
            had_one = SourceRow.hook_secret_ciphertext.is_not(None)
            values |= {
                "former_hook_secret_ciphertext": SourceRow.hook_secret_ciphertext,
                "former_hook_secret_until": case((had_one, func.clock_timestamp() + former_for)),
            }
        await self._connection.execute(update(SourceRow).where(SourceRow.id == source_id).values(**values))

    async def holds_grants(self, source_id: SourceId) -> bool:
        """Whether there are refresh tokens that could be sent on the source's behalf: to be refreshed, or revoked."""
        return bool((await self._connection.execute(_HOLDS_GRANTS, {"source_id": source_id})).scalar_one())

    async def revocations(self, source_id: SourceId, *, since: datetime, limit: int) -> Sequence[NotedRevocation]:
        """Accounts of the source that its provider called dead since then, and all that are held, in the order of their ids."""
        statement = select(RevocationRow.__table__).where(
            RevocationRow.source_id == source_id, or_(RevocationRow.held, RevocationRow.at >= since)
        )
        result = await self._connection.execute(statement.order_by(RevocationRow.account_id).limit(limit))
        return [_revocation_from(row) for row in result]

    async def forget_revocations(self, source_id: SourceId, account_ids: Collection[AccountId]) -> None:
        """Forget what was said of these accounts: it has been decided about."""
        mine = delete(RevocationRow).where(RevocationRow.source_id == source_id)
        await self._connection.execute(mine.where(RevocationRow.account_id.in_(account_ids)))

    async def lock_for_deletion(self, source_id: SourceId, environment: str) -> bool:
        """Whether there is such a source. What is being stored for it has been waited for, and nothing more is until this ends."""
        statement = select(SourceRow.id).where(SourceRow.id == source_id, SourceRow.environment == environment)
        if (await self._connection.execute(statement)).first() is None:
            return False
        await self._connection.execute(_LOCK_SESSIONS, {"source_id": source_id})
        return (await self._connection.execute(statement.with_for_update())).first() is not None

    async def uses(self, source_id: SourceId, *, most: int) -> SourceUses:
        """What needs the source, its accounts counted up to `most`."""
        row = (await self._connection.execute(_USES, {"source_id": source_id, "most": most})).one()
        return SourceUses(row.accounts, row.revocations)

    async def delete(self, source_id: SourceId) -> None:
        """Delete a source that nothing needs, with its connect sessions and the notices that its provider has sent."""
        await self._connection.execute(delete(SourceRow).where(SourceRow.id == source_id))


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
            on_trial=is_client_fault(row.paused_reason) if row.paused_reason else row.proving,
            rollback_accepted_at=row.rollback_accepted_at,
            scopes=tuple(row.scopes),
            callout_secret_ciphertext=row.callout_secret_ciphertext,
        )
        for row in result
    }


def source_from(row: Row[Any]) -> Source:
    """The source that a row of `sources` describes."""
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
        paused_at=row.paused_at,
        proving=row.proving,
        probe_account_id=None if row.probe_account_id is None else AccountId(row.probe_account_id),
        probe_at=row.probe_at,
        probes=row.probes,
        rollback_accepted_at=row.rollback_accepted_at,
        revocations_confirmed_at=row.revocations_confirmed_at,
        has_hook_secret=row.hook_secret_ciphertext is not None,
    )


def _revocation_from(row: Row[Any]) -> NotedRevocation:
    return NotedRevocation(
        account_id=AccountId(row.account_id),
        epoch=row.epoch,
        generation=row.generation,
        at=row.at,
        held=row.held,
        reason=DisabledReason(row.reason),
        detail=row.detail,
    )
