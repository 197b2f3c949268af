"""What happened, given to the webhooks that want it: behind one cursor, in the transaction that moves it."""

from typing import Final

from sqlalchemy import text

from tokenkeep.adapters.postgres.engine import Database

_MOST: Final = 2_000
"""How many events one transaction looks at."""

_FEWEST: Final = 50
"""How many it looks at however many webhooks there are."""

_MOST_DELIVERIES: Final = 20_000
"""How many deliveries one transaction makes at most, unless the fewest events are more: a second or so."""

_WANTED = text("SELECT EXISTS (SELECT FROM webhooks WHERE disabled_reason IS NULL)")
# One process at a time moves the cursor; the others have nothing to do meanwhile.
_HOLD = text("""
SELECT position, pg_postmaster_start_time()::text AS server FROM webhook_cursor FOR UPDATE SKIP LOCKED
""")
# An event goes to webhooks of its own environment only.
_HEARING = text("""
SELECT coalesce(max(hearing), 0) FROM (
    SELECT count(*) AS hearing FROM webhooks WHERE disabled_reason IS NULL GROUP BY environment) AS counted
""")
# Where nobody was listening, nobody is told: the cursor jumps to where the first of them began to listen.
_GIVE = text("""
WITH batch AS MATERIALIZED (
    SELECT position, subject, id, environment, type FROM events
     WHERE position > GREATEST(:cursor, (SELECT min(heard_from) FROM webhooks WHERE disabled_reason IS NULL))
       AND position <= :settled
     ORDER BY position LIMIT :most
), given AS (
    INSERT INTO webhook_deliveries (webhook_id, position, event_id, subject, type, state, due_at)
    SELECT w.id, b.position, b.id, b.subject, b.type, 'pending', clock_timestamp()
      FROM batch AS b JOIN webhooks AS w ON w.environment = b.environment
     WHERE w.disabled_reason IS NULL AND b.position > w.heard_from AND (w.types IS NULL OR b.type = ANY(w.types))
     ORDER BY b.position
    ON CONFLICT DO NOTHING
    RETURNING webhook_id
), moved AS (
    UPDATE webhook_cursor
       SET position = CASE WHEN (SELECT count(*) FROM batch) < :most THEN :settled
                           ELSE (SELECT max(position) FROM batch) END
    RETURNING position
)
SELECT (SELECT position FROM moved) AS position, (SELECT array_agg(DISTINCT webhook_id) FROM given) AS woken
""")
# In one order, so that nobody waits for another who waits for him.
_WAKE = text("""
WITH locked AS (SELECT webhook_id FROM webhook_lanes WHERE webhook_id = ANY(CAST(:ids AS uuid[]))
                 ORDER BY webhook_id FOR NO KEY UPDATE)
UPDATE webhook_lanes AS l SET wake_at = LEAST(l.wake_at, clock_timestamp())
  FROM locked WHERE l.webhook_id = locked.webhook_id
""")


class PostgresWebhookFeed:
    """Turns events into deliveries. A process that is killed in the middle has done nothing."""

    def __init__(self, database: Database, *, most: int = _MOST) -> None:
        self._database = database
        self._most = self._at_once = most

    async def is_wanted(self) -> bool:
        """Whether there is any webhook that is sent anything."""
        async with self._database.reading() as connection:
            return bool((await connection.execute(_WANTED)).scalar_one())

    async def give(self, *, settled: int, server: str) -> int | None:
        """Give out what lies behind the cursor and not beyond the horizon, or some of it; returns where the cursor is then.

        None if somebody else is at it, or the horizon is another server's. After a batch that took too long the next one is half
        as large, and an eighth larger after each that did not: one that always takes too long would hold up every webhook.

        Args:
            settled: The horizon: every position up to it is visible, or will never be.
            server: The server of which that is known. Of another one it means nothing.
        """
        try:
            position = await self._give(settled, server)
        except TimeoutError:
            self._at_once = max(1, self._at_once // 2)
            raise
        if position is not None:
            self._at_once = min(self._most, self._at_once + max(1, self._at_once // 8))
        return position

    async def _give(self, settled: int, server: str) -> int | None:
        async with self._database.transaction() as connection:
            held = (await connection.execute(_HOLD)).one_or_none()
            if held is None or held.server != server:
                return None
            if held.position >= settled:
                return int(held.position)
            hearing: int = (await connection.execute(_HEARING)).scalar_one()
            most = min(self._at_once, max(_FEWEST, _MOST_DELIVERIES // max(1, hearing)))
            span = {"cursor": held.position, "settled": settled, "most": most}
            given = (await connection.execute(_GIVE, span)).one()
            if given.woken:
                await connection.execute(_WAKE, {"ids": list(given.woken)})
        return int(given.position)
