"""The relay's side of the outbox: who publishes which shard, what is pending, what is delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import SHARD_OF_SUBJECT, event_from_row
from tokenkeep.application.relay_events import Reached, Requeued
from tokenkeep.domain.events import Event

_LATEST = timedelta(minutes=5)
"""Longer than any transaction that writes events takes from drawing a position to its commit."""

_PIECE: Final = 50_000
"""How many events are looked at by one transaction that queues them again: a second or two."""

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
_REACHED = Columns(shard="smallint", position="bigint")
# Greatest: a relay that was overtaken may write late what it had seen before. Where Redis went back, `_LOWER_MARKS` does.
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
_LOST_SINCE = text(f"""
SELECT r.shard,
       coalesce((SELECT e.time - make_interval(secs => :late_s) FROM events AS e WHERE e.position = r.position),
                clock_timestamp() - make_interval(secs => :span_s)) AS since
  FROM {_REACHED.relation("r")}
""")  # noqa: S608 - as above
_ALL_SINCE = text("SELECT shard, clock_timestamp() - make_interval(secs => :span_s) AS since FROM outbox_shards")
_LOWER_MARKS = text(f"""
INSERT INTO outbox_marks (shard, mark) SELECT shard, mark FROM {_MARKS.relation("lost")} ORDER BY shard
ON CONFLICT (shard) DO UPDATE SET mark = EXCLUDED.mark
""")  # noqa: S608 - as above
_HEAD = text("SELECT coalesce(max(position), 0) FROM events")
_NEXT_IS_OLD = text("SELECT time <= :since FROM events WHERE position > :position ORDER BY position LIMIT 1")
_SINCE = Columns(shard="smallint", since="timestamptz")
_AGAIN = text(f"""
WITH looked_at AS MATERIALIZED (
    SELECT position, {SHARD_OF_SUBJECT} AS shard, subject, sequence, time FROM events
     WHERE position > :after AND position <= :head ORDER BY position LIMIT :most
), queued AS (
    INSERT INTO outbox (position, shard, subject, sequence)
    SELECT e.position, e.shard, e.subject, e.sequence
      FROM looked_at AS e JOIN {_SINCE.relation("lost")} ON lost.shard = e.shard
     WHERE e.time > lost.since
    ON CONFLICT (position) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM queued) AS queued,
       CASE WHEN (SELECT count(*) FROM looked_at) < :most THEN :head ELSE (SELECT max(position) FROM looked_at) END AS position
""")  # noqa: S608 - as above
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

    def __init__(self, database: Database, *, piece: int = _PIECE) -> None:
        self._database = database
        self._piece_size = piece

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

    async def requeue(self, span: timedelta, *, before: Requeued | None = None) -> Requeued:
        """Queue some of the events of the last `span` once more, because Redis has forgotten all of them.

        `before` is what the piece before returned. The first one forgets the marks.
        """
        async with self._database.transaction() as connection:
            if before is None:
                await connection.execute(_FORGET_MARKS)
                before = await _begun(connection, _ALL_SINCE, {"span_s": span.total_seconds()})
            return await self._piece(connection, before)

    async def requeue_after(
        self, reached: Mapping[int, Reached], *, otherwise: timedelta, before: Requeued | None = None
    ) -> Requeued:
        """Queue some of what Redis has lost of these shards since it got so far once more; `before` as in `requeue`.

        What was published late is among it, and so some of what Redis still has. Where the event that it had last is not
        known, it is all of the last `otherwise`. The last piece lowers the marks: until then the loss is still seen.
        """
        rows = [
            {"shard": shard, "mark": it.mark, "position": it.position if it.position is not None else -1}
            for shard, it in reached.items()
        ]
        async with self._database.transaction() as connection:
            if before is None:
                spans = {"late_s": _LATEST.total_seconds(), "span_s": otherwise.total_seconds()}
                before = await _begun(connection, _LOST_SINCE, {**spans, **_REACHED.parameters(rows)})
            piece = await self._piece(connection, before)
            if piece.is_all:
                await connection.execute(_LOWER_MARKS, _MARKS.parameters(rows))
            return piece

    async def _piece(self, connection: AsyncConnection, before: Requeued) -> Requeued:
        since = [{"shard": shard, "since": moment} for shard, moment in before.since.items()]
        span = {"after": before.position, "head": before.head, "most": self._piece_size}
        row = (await connection.execute(_AGAIN, {**span, **_SINCE.parameters(since)})).one()
        return replace(before, queued=row.queued, position=row.position)

    async def backlog(self) -> tuple[int, float]:
        """How many events are pending (counted up to 10,000), and the age of the oldest in seconds."""
        async with self._database.reading() as connection:
            row = (await connection.execute(_BACKLOG)).one()
            return row.pending, float(row.lag_s)


async def _begun(connection: AsyncConnection, sinces: TextClause, parameters: Mapping[str, Any]) -> Requeued:
    """Nothing is queued again yet: where the first piece begins, and where the last one ends."""
    since = {row.shard: row.since for row in await connection.execute(sinces, parameters)}
    head: int = (await connection.execute(_HEAD)).scalar_one()
    oldest = min(since.values(), default=None)
    position = head if oldest is None else await _older_than(connection, oldest - _LATEST, head=head)
    return Requeued(queued=0, position=position, head=head, since=since)


async def _older_than(connection: AsyncConnection, since: datetime, *, head: int) -> int:
    """A position up to which all events are of before `since` + `_LATEST`: time goes along with positions, but for the late.

    By halves: there is no index that has the lowest position of a time, and a day's events are too many to look at each.
    """
    low, high = 0, head
    while low < high:
        middle = (low + high) // 2
        if (await connection.execute(_NEXT_IS_OLD, {"since": since, "position": middle})).scalar_one_or_none():
            low = middle + 1
        else:
            high = middle
    return low
