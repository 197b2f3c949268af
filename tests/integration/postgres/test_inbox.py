"""Who is next in a long inbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.inbox import PostgresInboxQueue

FILL = """
INSERT INTO inbox_events (environment, source, id, type, account_id, actor, correlation_id)
SELECT 'long', 's', CAST(n AS text), 'tokenkeep.account.refresh_requested', CAST(md5(CAST(n % 4000 AS text)) AS uuid), 's', 'c'
  FROM generate_series(0, 19999) AS n
"""
PUT_OFF = "UPDATE inbox_events SET next_try_at = now() + interval '1 hour' WHERE environment = 'long' AND CAST(id AS int) < 20"
READ = text(
    "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = 'inbox_events'"
)
OLDEST = text("""
SELECT account_id FROM inbox_events WHERE outcome IS NULL GROUP BY account_id
HAVING (array_agg(next_try_at ORDER BY position))[1] <= clock_timestamp() ORDER BY min(position) LIMIT 64
""")


class Within(Database):
    """What asks it for a connection to read on gets the one of the transaction that is under way, whose reads can be counted."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection.engine)
        self._connection = connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        yield self._connection


async def test_those_who_wait_longest_are_found_without_reading_all_that_waits(database: Database) -> None:
    async with database.transaction() as connection:
        for statement in (FILL, PUT_OFF, "ANALYZE inbox_events"):
            await connection.execute(text(statement))
        expected = [row.account_id for row in await connection.execute(OLDEST)]
        before = (await connection.execute(READ)).scalar_one()
        assert await PostgresInboxQueue(Within(connection)).pending(64) == expected
        read = (await connection.execute(READ)).scalar_one() - before
        await connection.rollback()
    assert len(expected) == 64
    assert read <= 5_000


FEW = FILL.replace("n % 4000", "n % 30")
SETTLED = FILL.replace("'long'", "'short'")


@pytest.mark.parametrize("fill", [FILL, FEW])
async def test_a_backlog_that_statistics_do_not_know_is_read_once(database: Database, fill: str) -> None:
    """Most of it is put off: whoever is due stands behind."""
    async with database.transaction() as connection:
        for statement in (
            SETTLED,
            "UPDATE inbox_events SET outcome = 'applied', settled_at = now() WHERE environment = 'short'",
            "ANALYZE inbox_events",
            fill,
            PUT_OFF.replace("< 20", "< 14000"),
        ):
            await connection.execute(text(statement))
        expected = [row.account_id for row in await connection.execute(OLDEST)]
        before = (await connection.execute(READ)).scalar_one()
        assert await PostgresInboxQueue(Within(connection)).pending(64) == expected
        read = (await connection.execute(READ)).scalar_one() - before
        await connection.rollback()
    assert read <= 4 * 20_000
