"""What refreshes read and write of their sources, beside the accounts they settle.

Lock order: accounts (their leases) first, then sources. Who holds a source's row waits for no account.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.event_log import append_events
from tokenkeep.adapters.postgres.sources import PostgresSources
from tokenkeep.application.refreshing import LockedSource, RevocationNote
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.source import Source

_NOW = text("SELECT clock_timestamp()")
_VERSIONS = text("SELECT id, secret_version FROM sources WHERE id = ANY(CAST(:ids AS uuid[]))")
_ACCOUNTS = text("""
SELECT count(*) FROM (
    SELECT FROM accounts WHERE source_id = :source_id AND state = 'active' AND custody = 'held' LIMIT :most) AS counted
""")
_REVOKED_AT = text("""
SELECT at FROM source_revocations
 WHERE source_id = :source_id AND at > :since AND NOT account_id = ANY(CAST(:besides AS uuid[]))
 ORDER BY at DESC LIMIT 1000
""")
# The journal is found by its index on leased_at; an attempt may have been leased a little before it was settled.
_GRANTS = text("""
SELECT count(*) FROM (
    SELECT FROM refresh_attempts
     WHERE leased_at > CAST(:since AS timestamptz) - interval '2 minutes'
       AND source_id = :source_id AND outcome = 'ok' AND settled_at >= :since
     LIMIT :most) AS counted
""")
_NOTES = Columns(
    source_id="uuid",
    account_id="uuid",
    epoch="bigint",
    generation="bigint",
    held="boolean",
    reason="text",
    detail="text",
)
_NOTE = text(f"""
INSERT INTO source_revocations (source_id, account_id, epoch, generation, held, reason, detail)
SELECT * FROM {_NOTES.relation("n")}
ON CONFLICT (source_id, account_id) DO UPDATE
   SET epoch = excluded.epoch, generation = excluded.generation, held = excluded.held, reason = excluded.reason,
       detail = excluded.detail, at = clock_timestamp()
""")  # noqa: S608 - only our own names are put in


class PostgresSourceLedger:
    """The view of sources over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._sources = PostgresSources(connection)

    async def lock(self, source_ids: Sequence[SourceId]) -> dict[SourceId, LockedSource]:
        """Lock these sources, in the order of their ids, until the transaction ends. Unknown ones are left out."""
        locked: dict[SourceId, LockedSource] = {}
        for source_id in sorted(source_ids):
            found = await self._sources.lock(source_id)
            if found is not None:
                now: datetime = (await self._connection.execute(_NOW)).scalar_one()
                locked[source_id] = LockedSource(*found, now)
        return locked

    async def save(self, source: Source, *, event_sequence: int) -> None:
        """Write a locked source's state."""
        await self._sources.save(source, event_sequence=event_sequence)

    async def tell(self, events: Sequence[Event]) -> None:
        """Write events beside the change that they tell."""
        await append_events(self._connection, events)

    async def secret_versions(self, source_ids: Collection[SourceId]) -> Mapping[SourceId, int]:
        """Which client secrets the sources have by now."""
        result = await self._connection.execute(_VERSIONS, {"ids": list(source_ids)})
        return {SourceId(row.id): row.secret_version for row in result}

    async def count_accounts(self, source_id: SourceId, *, most: int) -> int:
        """How many active accounts with a refresh token the source has, counted up to `most`."""
        parameters = {"source_id": source_id, "most": most}
        count: int = (await self._connection.execute(_ACCOUNTS, parameters)).scalar_one()
        return count

    async def revoked_at(
        self, source_id: SourceId, *, since: datetime, besides: Collection[AccountId]
    ) -> Sequence[datetime]:
        """When other accounts of the source were called revoked, latest first."""
        parameters = {"source_id": source_id, "since": since, "besides": list(besides)}
        return [row.at for row in await self._connection.execute(_REVOKED_AT, parameters)]

    async def count_grants(self, source_id: SourceId, *, since: datetime, most: int) -> int:
        """How many of the source's refreshes succeeded since then, counted up to `most`."""
        parameters = {"source_id": source_id, "since": since, "most": most}
        count: int = (await self._connection.execute(_GRANTS, parameters)).scalar_one()
        return count

    async def note_revocations(self, notes: Sequence[RevocationNote]) -> None:
        """Write down what a provider said of these accounts."""
        rows = [
            {
                "source_id": note.source_id,
                "account_id": note.account_id,
                "epoch": note.epoch,
                "generation": note.generation,
                "held": note.held,
                "reason": note.reason,
                "detail": note.detail,
            }
            for note in notes
        ]
        if rows:
            await self._connection.execute(_NOTE, _NOTES.parameters(rows))
