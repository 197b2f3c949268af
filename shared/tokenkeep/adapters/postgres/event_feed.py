"""The feed of events as the table has it: how far positions are drawn, who is writing, and pages of what is settled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import event_from_row
from tokenkeep.domain.errors import CursorExpired
from tokenkeep.domain.event_feed import ORIGIN, FeedFilter, Place, PlacedEvent

_SCANNED = 20_000
"""How many events one read looks through for those that a filter takes: far less work than a statement's time allows."""

# A server that was started again, or another one in its place, may know less than the one before.
_DRAWN = text("""
SELECT pg_postmaster_start_time()::text AS server, CASE WHEN is_called THEN last_value ELSE 0 END AS position
  FROM events_position_seq
""")
# An INSERT takes this lock before it draws a position, and keeps it until its transaction is over and visible to others
# (PostgreSQL documentation, 13.3). A transaction is known by its virtual id, with or without a real one.
_WRITERS = text("""
SELECT DISTINCT virtualtransaction FROM pg_locks
 WHERE relation = 'events'::regclass AND mode = 'RowExclusiveLock' AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")
_EVENT = "position, subject, sequence, id, subject_kind, environment, type, time, correlation_id, data, traceparent"
_EDGE = text("""
SELECT position, id FROM events WHERE environment = :environment AND position > :after AND position <= :until
 ORDER BY position OFFSET :scanned LIMIT 1
""")
# What lies below the floor is about to be deleted, and not told any more.
_PAGE = text(f"""
SELECT {_EVENT} FROM events
 WHERE environment = :environment AND position <= :until
   AND position > greatest(:after, (SELECT position FROM event_floors WHERE environment = :environment))
   AND (CAST(:types AS text[]) IS NULL OR type = ANY(CAST(:types AS text[])))
   AND (CAST(:subject AS uuid) IS NULL OR subject = CAST(:subject AS uuid))
 ORDER BY position LIMIT :limit
""")  # noqa: S608 - only our own columns are put in
_STANDING = text("""
SELECT pg_postmaster_start_time()::text AS server, floor.position AS floor, floor.id AS floor_id,
       head.position AS head, head.id AS head_id,
       (SELECT id FROM events WHERE environment = :environment AND position = :after LIMIT 1) AS found
  FROM (SELECT 1) AS one
  LEFT JOIN event_floors AS floor ON floor.environment = :environment
  LEFT JOIN LATERAL (SELECT position, id FROM events WHERE environment = :environment AND position <= :until
                      ORDER BY position DESC LIMIT 1) AS head ON true
""")
_NEWEST = text(f"""
SELECT {_EVENT} FROM events WHERE position > :after AND position <= :until ORDER BY position DESC LIMIT :limit
""")  # noqa: S608 - only our own columns are put in


@dataclass(frozen=True, slots=True)
class Drawn:
    """The last position that was drawn, and the server that says so."""

    server: str
    position: int


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Some events, the place behind all that was looked at, and whether that is all there is up to the horizon."""

    events: list[PlacedEvent]
    place: Place
    whole: bool


class ServerChanged(ConnectionError):
    """Another server answered than the one whose horizon was known; what it gave is thrown away."""


class PostgresEventFeed:
    """Reads that each stand alone."""

    def __init__(self, database: Database, *, scanned: int = _SCANNED) -> None:
        self._database = database
        self._scanned = scanned

    async def drawn(self) -> Drawn:
        """How far positions are drawn now. Whatever comes later has a higher one."""
        async with self._database.reading() as connection:
            row = (await connection.execute(_DRAWN)).one()
            return Drawn(row.server, row.position)

    async def writers(self) -> frozenset[str]:
        """The transactions that may have written events and are not over."""
        async with self._database.reading() as connection:
            return frozenset((await connection.execute(_WRITERS)).scalars())

    async def newest(self, *, after: int, until: int, limit: int) -> list[PlacedEvent]:
        """The last events of all environments in this span, in their order."""
        async with self._database.reading() as connection:
            rows = await connection.execute(_NEWEST, {"after": after, "until": until, "limit": limit})
            return [_placed(row) for row in reversed(rows.mappings().all())]

    async def page(self, wanted: FeedFilter, after: Place | None, *, until: int, limit: int, server: str) -> FeedPage:
        """Events behind a place, oldest first; None: all that are kept.

        Raises:
            CursorExpired: Events behind the place are deleted, or this database has never had it.
            ServerChanged: The horizon is another server's.
        """
        async with self._database.reading() as connection:
            span: dict[str, Any] = {
                "environment": wanted.environment,
                "after": after.position if after is not None else 0,
                "until": until,
            }
            edge = await _edge(connection, span, self._scanned) if wanted.picks else None
            chosen = {"types": sorted(wanted.types) if wanted.types else None, "subject": wanted.subject}
            bound = span | {"until": until if edge is None else edge.position}
            rows = (await connection.execute(_PAGE, bound | chosen | {"limit": limit})).mappings().all()
            # Read last: a deletion that this does not show had not taken away any of those rows either.
            standing = (await connection.execute(_STANDING, span)).mappings().one()
        if standing["server"] != server:
            raise ServerChanged
        _check(after, standing)
        events = [_placed(row) for row in rows]
        if len(events) == limit:
            return FeedPage(events, events[-1].place, whole=False)
        if edge is not None:
            return FeedPage(events, edge, whole=False)
        return FeedPage(events, max(after or ORIGIN, _floor(standing), _head(standing)), whole=True)

    async def head(self, environment: str, *, until: int, server: str) -> Place:
        """The place behind all of an environment's events up to the horizon. Raises `ServerChanged`."""
        async with self._database.reading() as connection:
            facts = {"environment": environment, "after": 0, "until": until}
            standing = (await connection.execute(_STANDING, facts)).mappings().one()
        if standing["server"] != server:
            raise ServerChanged
        return max(_floor(standing), _head(standing))


async def _edge(connection: AsyncConnection, span: Mapping[str, Any], scanned: int) -> Place | None:
    """Where a filtered read stops, though there may be more; None if there is not."""
    row = (await connection.execute(_EDGE, {**span, "scanned": scanned})).one_or_none()
    return None if row is None else Place.behind(row.position, row.id)


def _check(after: Place | None, standing: RowMapping) -> None:
    if after is None:
        return
    if after < _floor(standing):
        raise CursorExpired
    if after not in {_floor(standing), ORIGIN} and (
        standing["found"] is None or after != Place.behind(after.position, standing["found"])
    ):
        raise CursorExpired


def _floor(standing: RowMapping) -> Place:
    """The place behind the last event that was deleted."""
    return ORIGIN if standing["floor"] is None else Place.behind(standing["floor"], standing["floor_id"])


def _head(standing: RowMapping) -> Place:
    return ORIGIN if standing["head"] is None else Place.behind(standing["head"], standing["head_id"])


def _placed(row: RowMapping) -> PlacedEvent:
    return PlacedEvent(Place.behind(row["position"], row["id"]), event_from_row(row))
