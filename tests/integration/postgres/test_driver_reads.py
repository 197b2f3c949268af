"""Statements that go to the driver directly, over connections of the pool."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.domain.secret import Secret


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    opened = Database(create_engine(Secret(postgres_url), pool_size=3))
    yield opened
    await opened.close()


async def _backend(database: Database) -> int:
    [row] = await database.fetch("SELECT pg_backend_pid() AS pid")
    return int(row["pid"])


async def test_connections_that_the_server_has_closed_fail_nobody(database: Database, postgres_url: str) -> None:
    backends = set(await asyncio.gather(*(_backend(database) for _ in range(3))))
    other = Database(create_engine(Secret(postgres_url), pool_size=1))
    for pid in backends:
        await other.fetch("SELECT pg_terminate_backend($1, 5000)", pid)
    await other.close()
    for _ in range(6):
        assert await _backend(database) not in backends


async def test_connections_that_have_fallen_silent_are_closed_aside(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()
    dispose = QueuePool.dispose

    def noted(pool: QueuePool) -> None:
        dispose(pool)
        closed.set()

    monkeypatch.setattr(QueuePool, "dispose", noted)
    database = Database(create_engine(Secret(postgres_url), pool_size=3, command_timeout_s=1.0))
    backends = set(await asyncio.gather(*(_backend(database) for _ in range(3))))
    assert len(backends) == 3
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            await _backend(database)
        assert not closed.is_set(), "who was kept waiting once waits for no other connection"
        assert await _backend(database) not in backends
        assert not closed.is_set(), "nor does anybody else"
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
    assert await asyncio.to_thread(closed.wait, 30)
    await database.close()


async def test_errors_are_those_of_every_other_statement_and_show_no_argument(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught:
        await database.fetch("SELECT 1 / $1::int, $2::text", 0, "canary")
    assert caught.value.orig.sqlstate == "22012"  # type: ignore[union-attr]  # the driver's
    assert "canary" not in str(caught.value)
    assert await _backend(database)


async def test_a_connection_that_is_refused_is_an_error_like_every_other_statements(postgres_url: str) -> None:
    nowhere = make_url(postgres_url).set(database="no_such_database").render_as_string(hide_password=False)
    database = Database(create_engine(Secret(nowhere), pool_size=1))
    for trying in (database.fetch("SELECT 1"), database.append("appended", ("id",), [(1,)])):
        with pytest.raises(DBAPIError) as caught:
            await trying
        assert caught.value.orig.sqlstate == "3D000"  # type: ignore[union-attr]  # the driver's
    await database.close()


async def test_rows_are_appended_all_or_none(database: Database) -> None:
    await database.fetch("CREATE TABLE IF NOT EXISTS appended (id int PRIMARY KEY, name text)")
    await database.append("appended", ("id", "name"), [(1, "one"), (2, None)])
    with pytest.raises(DBAPIError):
        await database.append("appended", ("id", "name"), [(3, "three"), (1, "again")])
    rows = await database.fetch("SELECT id, name FROM appended ORDER BY id")
    assert [tuple(row) for row in rows] == [(1, "one"), (2, None)]
    await database.fetch("DROP TABLE appended")
