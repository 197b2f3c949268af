"""Migrations beside work that goes on: nobody waits long for them, two of them do not clash, and what is in their way is named."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tokenkeep.adapters.postgres.address import asyncpg_url
from tokenkeep.adapters.postgres.migrate import MIGRATION_LOCK, migrate
from tokenkeep.adapters.postgres.revisions import head_revision
from tokenkeep.domain.errors import MigrationFailed, SettingsError
from tokenkeep.domain.secret import Secret

BEFORE = "0019"
_READ = "SELECT 1 FROM refresh_attempts"
"""Of a table that the next revision changes."""
_WRITE = """
INSERT INTO refresh_attempts (account_id, id, epoch, fence, presented_generation, trigger, correlation_id, secret_version)
VALUES (gen_random_uuid(), gen_random_uuid(), 1, 1, 1, 'schedule', 'c', 1)
"""


@pytest.fixture
async def url(postgres_url: str) -> str:
    """A database of its own, one revision behind that which changes a table that is in use."""
    name = f"migrating_{uuid4().hex}"
    engine = create_async_engine(asyncpg_url(Secret(postgres_url)), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    made = postgres_url.replace("/tokenkeep?", f"/{name}?")
    assert await asyncio.to_thread(migrate, Secret(made), to=BEFORE) == BEFORE
    return made


@asynccontextmanager
async def connected(url: str, name: str = "a long report") -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url, server_settings={"application_name": name})
    try:
        yield connection
    finally:
        await connection.close()


async def until_a_session_waits_for_a_lock(watcher: "asyncpg.Connection[asyncpg.Record]") -> None:
    async with asyncio.timeout(20):
        while not await watcher.fetchval(  # noqa: ASYNC110 - it asks another process
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND application_name = 'tokenkeep migrate'"
        ):
            await asyncio.sleep(0.02)


async def test_whoever_reads_a_table_waits_for_no_migration_that_waits_itself(url: str) -> None:
    async with connected(url) as report, connected(url) as reader:
        reading = report.transaction()
        await reading.start()
        await report.fetch(_READ)
        migrating = asyncio.create_task(asyncio.to_thread(migrate, Secret(url), patience_s=60))
        await until_a_session_waits_for_a_lock(reader)

        # It queues behind the migration's own lock, and gets through when that steps back, with the report still open.
        await reader.fetch(_READ, timeout=15)
        assert not migrating.done()
        await reading.rollback()

        assert await migrating == head_revision()


async def test_a_table_that_stays_locked_is_told_with_who_holds_it(url: str) -> None:
    async with connected(url) as report:
        async with report.transaction():
            await report.fetch(_READ)

            with pytest.raises(MigrationFailed, match=rf"a long report.*revisions up to {BEFORE} are applied"):
                await asyncio.to_thread(migrate, Secret(url), patience_s=1)

        assert await asyncio.to_thread(migrate, Secret(url)) == head_revision()


async def test_indexes_are_built_beside_those_who_write_and_anew_where_that_was_broken_off(url: str) -> None:
    assert await asyncio.to_thread(migrate, Secret(url), to="0021") == "0021"
    async with connected(url) as import_, connected(url) as refresh:
        await refresh.execute("CREATE INDEX ix_refresh_attempts_age ON refresh_attempts (leased_at)")
        await refresh.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_refresh_attempts_age'::regclass"
        )
        writing = import_.transaction()
        await writing.start()
        await import_.execute(_WRITE)
        migrating = asyncio.create_task(asyncio.to_thread(migrate, Secret(url)))
        await until_a_session_waits_for_a_lock(refresh)

        await refresh.execute(_WRITE, timeout=15)
        assert not migrating.done()
        await writing.commit()

        assert await migrating == head_revision()
        found = await refresh.fetch(
            "SELECT c.relname, a.amname, i.indisvalid FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
            " JOIN pg_am AS a ON a.oid = c.relam WHERE i.indrelid = 'refresh_attempts'::regclass AND NOT i.indisprimary"
        )
        assert [tuple(row) for row in found] == [("ix_refresh_attempts_age", "btree", True)]


async def test_a_migration_waits_for_another_and_not_for_ever(url: str) -> None:
    async with connected(url) as other:
        await other.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")

        with pytest.raises(MigrationFailed, match="another migration has been under way for 1 s"):
            await asyncio.to_thread(migrate, Secret(url), patience_s=1)

    revisions = await asyncio.gather(*(asyncio.to_thread(migrate, Secret(url)) for _ in range(3)))
    assert set(revisions) == {head_revision()}


async def test_a_database_that_is_not_there_is_said_in_one_line(postgres_url: str) -> None:
    nowhere = Secret(postgres_url.replace("/tokenkeep?", "/nowhere?"))

    with pytest.raises(SettingsError, match=r"can't be had: database \"nowhere\" does not exist$"):
        await asyncio.to_thread(migrate, nowhere)
