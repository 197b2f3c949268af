"""Housekeeping over a real database: what it reads, what it keeps, and what one failure stops."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError

from databases import UNHURRIED, migrated_database
from tokenkeep.adapters.postgres.deletion import BATCH, Deletion
from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.housekeeping import AUDIT, DELETIONS, keep_house
from tokenkeep.adapters.postgres.source_custody import _GRANTS
from tokenkeep.domain.secret import Secret

_ROWS = {
    "refresh_attempts": """
INSERT INTO refresh_attempts (account_id, id, epoch, fence, presented_generation, trigger, correlation_id, secret_version, leased_at)
SELECT gen_random_uuid(), gen_random_uuid(), 1, 1, 1, 'schedule', 'c', 1, at FROM made""",
    "events": """
INSERT INTO events (subject, sequence, id, subject_kind, environment, type, time, data)
SELECT gen_random_uuid(), 1, gen_random_uuid(), 'acc', :environment, 'tokenkeep.account.refreshed', at, '{}' FROM made""",
    "inbox_events": """
INSERT INTO inbox_events (environment, source, id, type, account_id, actor, correlation_id, received_at, outcome, settled_at)
SELECT :environment, 's', gen_random_uuid()::text, 'tokenkeep.account.unauthorized', gen_random_uuid(), 'a', 'c', at, 'applied', at FROM made""",
    "webhook_deliveries": """
INSERT INTO webhook_deliveries (webhook_id, position, event_id, subject, type, state, created_at)
SELECT '00000000-0000-7000-8000-000000000001', (random() * 1e18)::bigint, gen_random_uuid(), gen_random_uuid(), 't', 'delivered', at
  FROM made""",
    "provider_notices": """
INSERT INTO provider_notices (source_id, digest, believed, received_at)
SELECT (SELECT id FROM sources LIMIT 1), decode(replace(gen_random_uuid()::text, '-', ''), 'hex'), false, at FROM made""",
    "audit_log": """
INSERT INTO audit_log (id, at, environment, actor, action, result)
SELECT CAST(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
            || substr(replace(gen_random_uuid()::text, '-', ''), 13) AS uuid), at, :environment, 'a', 'b', 'ok' FROM made""",
}
_MADE = """
WITH made AS (
    SELECT n, now() - make_interval(secs => 86400 * (CAST(:oldest AS float) + (CAST(:newest AS float) - CAST(:oldest AS float)) * n / CAST(:count AS int))) AS at
      FROM generate_series(1, CAST(:count AS int)) AS n
)"""
_SCANS = ("Seq Scan", "Index Scan", "Bitmap Heap Scan", "Index Only Scan")
_DAYS = {"history_days": 30, "audit_days": 30}


@pytest.fixture(scope="module")
def house_url(postgres_url: str) -> str:
    return migrated_database(postgres_url, f"house_{uuid4().hex}")


@pytest.fixture
async def database(house_url: str) -> AsyncIterator[Database]:
    """With one source and a webhook that was just deleted, and nothing else in the tables that are filled here."""
    opened = Database(create_engine(Secret(house_url)))
    async with opened.transaction() as connection:
        await connection.execute(
            text(f"TRUNCATE {', '.join(_ROWS)}, outbox, event_floors, releases, sources, webhook_lanes CASCADE")
        )
        await connection.execute(
            text("""
INSERT INTO sources (id, environment, provider, name, auth_type, key_id, wrapped_key, scopes, options)
VALUES (gen_random_uuid(), 'e', 'p', 'n', 'oauth2', 'k', '', '{}', '{}')""")
        )
        await connection.execute(
            text("INSERT INTO webhook_lanes (webhook_id, deleted_at) VALUES (gen_random_uuid(), now())")
        )
    yield opened
    await opened.close()


async def fill(
    database: Database, table: str, count: int, *, oldest: float, newest: float, environment: str = "e"
) -> None:
    """Rows that are so many days old, the oldest first."""
    given = {"count": count, "oldest": oldest, "newest": newest, "environment": environment}
    statement = _MADE + _ROWS[table]
    async with database.transaction() as connection:
        await connection.execute(
            text(statement), {name: value for name, value in given.items() if f":{name}" in statement}
        )


async def run(database: Database, statement: str, **given: Any) -> list[Any]:
    async with database.transaction() as connection:
        result = await connection.execute(text(statement), given)
        return list(result.all()) if result.returns_rows else []


async def vacuum(database: Database, table: str) -> None:
    async with database.reading() as connection:
        await connection.exec_driver_sql(f"VACUUM {table}")


async def count(database: Database, table: str) -> int:
    [(found,)] = await run(database, f"SELECT count(*) FROM {table}")  # noqa: S608 - only our own names are put in
    assert isinstance(found, int)
    return found


def rows_read(plan: dict[str, Any], table: str) -> int:
    """How many rows of the table this node and those below it looked at."""
    own = 0
    if plan.get("Relation Name") == table and plan["Node Type"] in _SCANS:
        looked_at = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
        own = round(sum(plan.get(name, 0) for name in looked_at) * plan["Actual Loops"])
    return own + sum(rows_read(child, table) for child in plan.get("Plans", ()))


async def reads(database: Database, statement: TextClause, table: str, **given: Any) -> int:
    """How many of the table's rows the statement looks at."""
    async with database._engine.connect() as connection:
        explained = await connection.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"), given)
        plan = explained.scalar_one()
        await connection.rollback()
    [top] = json.loads(plan) if isinstance(plan, str) else plan
    return rows_read(top["Plan"], table)


def first_of_a_round(deletion: Deletion) -> dict[str, int | None]:
    return {name: _DAYS.get(name) for name in deletion.statement.compile().params}


async def until_somebody_waits_for_a_lock(database: Database) -> None:
    async with asyncio.timeout(20):
        while not await run(database, "SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - it asks another process
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("table", "most"), [(table, BATCH if table == "events" else 0) for table in _ROWS])
async def test_a_round_that_finds_nothing_old_does_not_read_the_table_once_its_space_was_used_again(
    database: Database, table: str, most: int
) -> None:
    """Young rows lie where a VACUUM made room for them; so an index that knows where old rows have been says nothing any more."""
    await fill(database, table, 25_000, oldest=60, newest=31)
    await vacuum(database, table)
    assert await keep_house(database, audit_days=30) >= 25_000
    assert await count(database, table) == 0
    await fill(database, table, 100, oldest=6.5, newest=6)  # lest the VACUUM gives the pages back
    await vacuum(database, table)
    await fill(database, table, 25_000, oldest=6, newest=1)
    await run(database, f"ANALYZE {table}")

    for one in (*DELETIONS, AUDIT):
        assert await reads(database, one.statement, table, **first_of_a_round(one)) <= most
    assert await keep_house(database, audit_days=30) == 0


async def test_the_attempts_of_the_last_minutes_are_found_before_a_vacuum_has_been_there(database: Database) -> None:
    """A settlement counts them under its locks."""
    await fill(database, "refresh_attempts", 25_000, oldest=6, newest=1)
    await run(database, "ANALYZE refresh_attempts")
    [source] = await run(database, "SELECT id, now() AS since FROM sources")

    assert await reads(database, _GRANTS, "refresh_attempts", source_id=source.id, since=source.since, most=81) == 0


@pytest.mark.parametrize("table", _ROWS)
async def test_what_is_old_goes_in_as_many_batches_as_it_takes_and_nothing_else(database: Database, table: str) -> None:
    await fill(database, table, BATCH + 5, oldest=60, newest=31)
    await fill(database, table, 7, oldest=6, newest=1)

    assert await keep_house(database, audit_days=30) == BATCH + 5
    assert await count(database, table) == 7


async def test_events_that_redis_has_not_got_hold_up_nothing_that_is_younger(database: Database) -> None:
    await fill(database, "events", BATCH, oldest=60, newest=50)
    await run(
        database, "INSERT INTO outbox (position, shard, subject, sequence) SELECT position, 0, subject, 1 FROM events"
    )
    await fill(database, "events", 3, oldest=49, newest=31)
    [(last,)] = await run(database, "SELECT max(position) FROM events")
    await fill(database, "events", 2, oldest=6, newest=1)

    assert await keep_house(database, audit_days=0) == 3
    assert await count(database, "events") == BATCH + 2
    assert await run(database, "SELECT environment, position FROM event_floors") == [("e", last)]

    await run(database, "DELETE FROM outbox")
    assert await keep_house(database, audit_days=0) == BATCH
    assert await count(database, "events") == 2
    assert await run(database, "SELECT environment, position FROM event_floors") == [("e", last)]


async def test_each_environment_has_the_floor_of_its_own_events(database: Database) -> None:
    for environment, oldest in (("a", 60), ("b", 55), ("young", 20), ("a", 50), ("b", 10)):
        await fill(database, "events", 2, oldest=oldest, newest=oldest - 1, environment=environment)
    was = await run(
        database,
        "SELECT environment, max(position) AS position FROM events WHERE time < now() - interval '30 days' GROUP BY 1",
    )

    assert await keep_house(database, audit_days=0) == 6
    floors = await run(database, "SELECT environment, position FROM event_floors")
    assert {row.environment for row in floors} == {"a", "b"}
    assert set(floors) == set(was)


async def test_what_fails_keeps_nothing_else_from_its_end_and_credentials_least_of_all(database: Database) -> None:
    await run(
        database,
        """
WITH account AS (
    INSERT INTO accounts (id, source_id, environment, provider, auth_type, state, custody)
    SELECT gen_random_uuid(), id, 'e', 'p', 'oauth2', 'active', 'released' FROM sources RETURNING id, source_id
), lease AS (
    INSERT INTO leases (account_id, source_id) SELECT id, source_id FROM account
), held AS (
    INSERT INTO credentials (account_id, epoch, generation, key_id, wrapped_key, access_ciphertext, token_type, scopes, obtained_at)
    SELECT id, 1, 1, 'k', '', '', 'Bearer', '{}', now() FROM account
)
INSERT INTO releases (account_id, released_at, confirm_before, in_doubt, generation)
SELECT id, now() - interval '2 days', now() - interval '1 day', false, 1 FROM account""",
    )
    for table in ("events", "refresh_attempts", "audit_log"):
        await fill(database, table, 5, oldest=60, newest=31)

    async with database.transaction() as other:
        await other.execute(UNHURRIED)
        await other.execute(text("LOCK TABLE refresh_attempts, events IN SHARE MODE"))
        with pytest.raises(DBAPIError, match="lock timeout"):
            await keep_house(database, audit_days=30)

    assert await count(database, "credentials") == 0
    assert await count(database, "audit_log") == 0
    assert await count(database, "refresh_attempts") == 5
    assert await keep_house(database, audit_days=30) == 10


@pytest.mark.parametrize(
    ("table", "revived"),
    [
        ("webhook_deliveries", "state = 'pending', due_at = now()"),
        ("inbox_events", "outcome = NULL, settled_at = NULL"),
    ],
)
async def test_what_is_to_be_done_again_while_it_is_being_deleted_is_kept(
    database: Database, table: str, revived: str
) -> None:
    await fill(database, table, 2, oldest=60, newest=59)
    async with database.transaction() as other:
        await other.execute(UNHURRIED)
        changed = await other.execute(
            text(f"UPDATE {table} SET {revived} WHERE ctid = (SELECT ctid FROM {table} LIMIT 1)")  # noqa: S608 - as above
        )
        assert changed.rowcount == 1
        keeping = asyncio.create_task(keep_house(database, audit_days=0))
        await until_somebody_waits_for_a_lock(database)

    assert await keeping == 1
    assert await count(database, table) == 1
