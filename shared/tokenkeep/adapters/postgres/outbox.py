"""The relay's side of the outbox: who publishes which shard, what is pending, what is delivered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import SHARD_OF_SUBJECT, event_from_row
from tokenkeep.domain.events import Event

_TAKE = text("""
UPDATE outbox_shards AS s
   SET fence = CASE WHEN s.holder = :holder THEN s.fence ELSE s.fence + 1 END,
       holder = :holder, lease_until = clock_timestamp() + make_interval(secs => :lease_s)
  FROM (SELECT shard FROM outbox_shards
         WHERE holder = :holder OR lease_until IS NULL OR lease_until < clock_timestamp()
         ORDER BY shard FOR UPDATE SKIP LOCKED) AS free
 WHERE s.shard = free.shard
RETURNING s.shard, s.fence
""")
_GIVE_BACK = text("UPDATE outbox_shards SET holder = NULL, lease_until = NULL WHERE holder = :holder")
_PENDING = text("""
SELECT o.position, o.shard, e.subject, e.sequence, e.id, e.subject_kind, e.environment, e.type, e.time,
       e.correlation_id, e.data
  FROM outbox AS o JOIN events AS e ON e.subject = o.subject AND e.sequence = o.sequence
 WHERE o.shard = ANY(CAST(:shards AS smallint[]))
 ORDER BY o.position LIMIT :limit
""")
_DELIVERED = text("DELETE FROM outbox WHERE position = ANY(CAST(:positions AS bigint[]))")
_REQUEUE = text(f"""
INSERT INTO outbox (position, shard, subject, sequence)
SELECT position, {SHARD_OF_SUBJECT}, subject, sequence FROM events
 WHERE time > statement_timestamp() - make_interval(secs => :span_s)
ON CONFLICT (position) DO NOTHING
""")  # noqa: S608 - only our own expression is put in
_BACKLOG = text("""
SELECT count(*) AS pending,
       coalesce(extract(epoch FROM clock_timestamp() - min(e.time)), 0) AS lag_s
  FROM (SELECT subject, sequence FROM outbox ORDER BY position LIMIT 10000) AS o
  JOIN events AS e ON e.subject = o.subject AND e.sequence = o.sequence
""")


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that Redis has not got yet."""

    position: int
    shard: int
    event: Event


class PostgresOutbox:
    """The outbox as a relay uses it. Each call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_shards(self, holder: UUID, *, lease_s: float) -> dict[int, int]:
        """Renew the holder's shards and take the free ones; returns shard → fencing number."""
        async with self._database.transaction() as connection:
            result = await connection.execute(_TAKE, {"holder": holder, "lease_s": lease_s})
            return {row.shard: row.fence for row in result}

    async def give_back(self, holder: UUID) -> None:
        """Let another relay go on at once."""
        async with self._database.transaction() as connection:
            await connection.execute(_GIVE_BACK, {"holder": holder})

    async def pending(self, shards: Sequence[int], *, limit: int) -> list[PendingEvent]:
        """The oldest events of these shards, in an order that keeps each subject's own."""
        async with self._database.reading() as connection:
            result = await connection.execute(_PENDING, {"shards": list(shards), "limit": limit})
            return [PendingEvent(row["position"], row["shard"], event_from_row(row)) for row in result.mappings()]

    async def delivered(self, positions: Sequence[int]) -> None:
        """These events are in Redis: forget the pointers, keep the events."""
        async with self._database.transaction() as connection:
            await connection.execute(_DELIVERED, {"positions": list(positions)})

    async def requeue(self, span: timedelta) -> int:
        """Queue the events of the last `span` once more, because Redis has lost them; returns how many."""
        async with self._database.transaction() as connection:
            return (await connection.execute(_REQUEUE, {"span_s": span.total_seconds()})).rowcount

    async def backlog(self) -> tuple[int, float]:
        """How many events are pending (counted up to 10,000), and the age of the oldest in seconds."""
        async with self._database.reading() as connection:
            row = (await connection.execute(_BACKLOG)).one()
            return row.pending, float(row.lag_s)
