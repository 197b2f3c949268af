"""The relay's side of the outbox: who publishes which shard, what is pending, what is delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import SHARD_OF_SUBJECT, event_from_row
from tokenkeep.application.relay_events import Reached
from tokenkeep.domain.events import Event

_LATEST = timedelta(minutes=5)
"""Longer than any transaction that writes events takes from drawing a position to its commit."""

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
_RAISE = text("UPDATE outbox_shards SET fence = :fence + 1 WHERE shard = :shard AND fence <= :fence")
_GIVE_BACK = text("UPDATE outbox_shards SET holder = NULL, lease_until = NULL WHERE holder = :holder")
_PENDING = text("""
SELECT o.position, o.shard, e.subject, e.sequence, e.id, e.subject_kind, e.environment, e.type, e.time,
       e.correlation_id, e.data, e.traceparent
  FROM outbox AS o JOIN events AS e ON e.subject = o.subject AND e.sequence = o.sequence
 WHERE o.shard = ANY(CAST(:shards AS smallint[]))
 ORDER BY o.position LIMIT :limit
""")
_MARKS = Columns(shard="smallint", mark="bigint")
_REACHED = Columns(shard="smallint", mark="bigint", position="bigint")
# Greatest: a relay that was overtaken may write late what it had seen before. Where Redis went back, `_REQUEUE_AFTER` lowers it.
_DELIVERED = text(f"""
WITH noted AS (
    INSERT INTO outbox_marks AS known (shard, mark) SELECT shard, mark FROM {_MARKS.relation("new")} ORDER BY shard
    ON CONFLICT (shard) DO UPDATE SET mark = GREATEST(known.mark, EXCLUDED.mark)
)
DELETE FROM outbox WHERE position = ANY(CAST(:positions AS bigint[]))
""")  # noqa: S608 - only our own names are put in
_READ_MARKS = text("SELECT shard, mark FROM outbox_marks")
_FORGET_MARKS = text("DELETE FROM outbox_marks")
# An event may have been published after one of a higher position: its transaction took longer, which has its bound.
_REQUEUE_AFTER = text(f"""
WITH lost AS MATERIALIZED (
    SELECT r.shard, r.mark,
           coalesce((SELECT e.time - make_interval(secs => :late_s) FROM events AS e WHERE e.position = r.position),
                    statement_timestamp() - make_interval(secs => :span_s)) AS since
      FROM {_REACHED.relation("r")}
), noted AS (
    INSERT INTO outbox_marks (shard, mark) SELECT shard, mark FROM lost ORDER BY shard
    ON CONFLICT (shard) DO UPDATE SET mark = EXCLUDED.mark
)
INSERT INTO outbox (position, shard, subject, sequence)
SELECT position, {SHARD_OF_SUBJECT}, subject, sequence FROM events
 WHERE time > (SELECT min(since) FROM lost)
   AND time > (SELECT since FROM lost WHERE shard = {SHARD_OF_SUBJECT})
ON CONFLICT (position) DO NOTHING
""")  # noqa: S608 - as above
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

    async def raise_fences(self, known: Mapping[int, int]) -> int:
        """Have the numbers of these shards be younger than those that Redis knows; returns how many were not.

        For a database that went back in time: its relays would be taken for old ones, and refused.
        """
        rows = [{"shard": shard, "fence": fence} for shard, fence in known.items()]
        async with self._database.transaction() as connection:
            raised = 0
            for row in rows:  # there are 16 shards
                raised += (await connection.execute(_RAISE, row)).rowcount
        return raised

    async def give_back(self, holder: UUID) -> None:
        """Let another relay go on at once."""
        async with self._database.transaction() as connection:
            await connection.execute(_GIVE_BACK, {"holder": holder})

    async def pending(self, shards: Sequence[int], *, limit: int) -> list[PendingEvent]:
        """The oldest events of these shards, in an order that keeps each subject's own."""
        async with self._database.reading() as connection:
            result = await connection.execute(_PENDING, {"shards": list(shards), "limit": limit})
            return [PendingEvent(row["position"], row["shard"], event_from_row(row)) for row in result.mappings()]

    async def marks(self) -> dict[int, int]:
        """How many events of each shard Redis has been seen to have."""
        async with self._database.reading() as connection:
            return {row.shard: row.mark for row in await connection.execute(_READ_MARKS)}

    async def delivered(self, positions: Sequence[int], marks: Mapping[int, int]) -> None:
        """These events are in Redis, which has so many of these shards: forget the pointers, keep the events."""
        rows = [{"shard": shard, "mark": mark} for shard, mark in marks.items()]
        async with self._database.transaction() as connection:
            await connection.execute(_DELIVERED, {"positions": list(positions), **_MARKS.parameters(rows)})

    async def requeue(self, span: timedelta) -> int:
        """Queue the events of the last `span` once more, because Redis has forgotten all of them; returns how many."""
        async with self._database.transaction() as connection:
            await connection.execute(_FORGET_MARKS)
            return (await connection.execute(_REQUEUE, {"span_s": span.total_seconds()})).rowcount

    async def requeue_after(self, reached: Mapping[int, Reached], *, otherwise: timedelta) -> int:
        """Queue once more what Redis has lost of these shards since it got so far; returns how many.

        What was published late is among them, and so some of what Redis still has. Where the event that it had last is not
        known, it is all of the last `otherwise`.
        """
        rows = [
            {"shard": shard, "mark": it.mark, "position": it.position if it.position is not None else -1}
            for shard, it in reached.items()
        ]
        spans = {"late_s": _LATEST.total_seconds(), "span_s": otherwise.total_seconds()}
        async with self._database.transaction() as connection:
            return (await connection.execute(_REQUEUE_AFTER, {**spans, **_REACHED.parameters(rows)})).rowcount

    async def backlog(self) -> tuple[int, float]:
        """How many events are pending (counted up to 10,000), and the age of the oldest in seconds."""
        async with self._database.reading() as connection:
            row = (await connection.execute(_BACKLOG)).one()
            return row.pending, float(row.lag_s)
