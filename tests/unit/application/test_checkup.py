"""What follows from facts about servers, keyring, host and settings: a fault where a promise breaks, and always what to do."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tokenkeep.application.checkup.clocks import ClockReading, judge_clock
from tokenkeep.application.checkup.findings import Check, Finding, Level, look, ok
from tokenkeep.application.checkup.keyring import KeysInUse, judge_keyring, judge_keyring_file
from tokenkeep.application.checkup.machine import SpoolFacts, judge_open_files, judge_spool
from tokenkeep.application.checkup.postgres import PostgresFacts, judge_postgres
from tokenkeep.application.checkup.redis import RedisFacts, judge_redis
from tokenkeep.application.checkup.wishes import Wishes, judge_wishes

NOW = ClockReading(100.0, 100.01, 100.02)
GOOD_SETTINGS = {
    "transaction_read_only": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "track_counts": "on",
    "TimeZone": "UTC",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5s",
}
POSTGRES = PostgresFacts(
    version_num=180_004,
    version="18.4",
    encrypted=True,
    local=False,
    clock=[NOW],
    revision="0020",
    in_recovery=False,
    settings=GOOD_SETTINGS,
    encoding="UTF8",
    available=90,
    missing={},
    backends=[7, 7, 7],
    oldest_s=1.0,
    frozen_age=1_000,
)
REDIS = RedisFacts(
    product="Valkey",
    version="9.1.0",
    compatible=(7, 2, 4),
    encrypted=True,
    local=False,
    clock=[NOW],
    role="master",
    by_sentinel=False,
    clustered=False,
    loading=False,
    policy="noeviction",
    used_bytes=1 << 20,
    most_bytes=0,
    appendonly=True,
    snapshots=True,
    last_save_ok=True,
    last_append_ok=True,
    writes=None,
)
SPOOL = SpoolFacts(Path("/var/lib/spool"), 0o700, "ext4", 1 << 34, 1 << 20, 0, None)
WISHES = Wishes((), (), "https://tokenkeep.example.com", "0.0.0.0", 46, 30, False, False, (), "info")  # noqa: FBT003, S104


def not_well(findings: Sequence[Finding]) -> dict[str, Level]:
    """By its check what is not ok; each of these says what to do, but for what was not looked at."""
    for one in findings:
        assert (one.do is None) is (one.level in {Level.OK, Level.UNSEEN}), one
    return {one.check: one.level for one in findings if one.level is not Level.OK}


def postgres(**changes: Any) -> list[Finding]:
    settings = {**GOOD_SETTINGS, **changes.pop("settings", {})}
    return judge_postgres(replace(POSTGRES, settings=settings, **changes), head="0020", pool_size=10)


def test_what_is_as_it_should_be_is_well() -> None:
    assert not_well(postgres()) == {}
    assert not_well(judge_redis(REDIS)) == {}
    assert not_well(list(judge_spool(SPOOL))) == {}
    assert not_well(list(judge_wishes(WISHES))) == {}


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"version_num": 120_001, "version": "12.1"}, "postgres.version", Level.FAULT),
        ({"version_num": 140_001, "version": "14.1"}, "postgres.version", Level.WARNING),
        ({"encrypted": False}, "postgres.encryption", Level.WARNING),
        ({"in_recovery": True}, "postgres.writable", Level.FAULT),
        ({"settings": {"transaction_read_only": "on"}}, "postgres.writable", Level.FAULT),
        ({"revision": None}, "postgres.schema", Level.FAULT),
        ({"revision": "0019"}, "postgres.schema", Level.FAULT),
        ({"missing": {"accounts": ["DELETE"]}}, "postgres.privileges", Level.FAULT),
        ({"settings": {"fsync": "off"}}, "postgres.fsync", Level.FAULT),
        ({"settings": {"full_page_writes": "off"}}, "postgres.full_page_writes", Level.FAULT),
        ({"settings": {"synchronous_commit": "off"}}, "postgres.synchronous_commit", Level.FAULT),
        ({"backends": [7, 8, 7]}, "postgres.pooler", Level.FAULT),
        ({"settings": {"lock_timeout": "0"}}, "postgres.pooler", Level.WARNING),
        ({"available": 36}, "postgres.connections", Level.WARNING),
        ({"settings": {"autovacuum": "off"}}, "postgres.autovacuum", Level.FAULT),
        ({"oldest_s": 3_600.0}, "postgres.transactions", Level.WARNING),
        ({"frozen_age": 1_900_000_000}, "postgres.wraparound", Level.FAULT),
        ({"encoding": "SQL_ASCII"}, "postgres.encoding", Level.FAULT),
    ],
)
def test_what_is_wrong_with_postgres_is_found_and_nothing_else(
    changes: dict[str, Any], check: str, level: Level
) -> None:
    assert not_well(postgres(**changes)) == {check: level}


def test_a_newer_schema_and_an_open_connection_on_this_host_are_well() -> None:
    assert not_well(postgres(revision="0021")) == {}
    assert not_well(postgres(encrypted=False, local=True)) == {}


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"compatible": (6, 0, 9)}, "redis.version", Level.FAULT),
        ({"encrypted": False}, "redis.encryption", Level.WARNING),
        ({"loading": True}, "redis.writable", Level.FAULT),
        ({"role": "slave"}, "redis.writable", Level.FAULT),
        ({"writes": "NoPermissionError"}, "redis.writable", Level.FAULT),
        ({"clustered": True}, "redis.topology", Level.FAULT),
        ({"policy": "allkeys-lru"}, "redis.eviction", Level.FAULT),
        ({"policy": None}, "redis.eviction", Level.UNSEEN),
        ({"used_bytes": 90, "most_bytes": 100}, "redis.memory", Level.WARNING),
        ({"appendonly": False}, "redis.persistence", Level.WARNING),
        ({"appendonly": False, "snapshots": None}, "redis.persistence", Level.UNSEEN),
        ({"last_append_ok": False}, "redis.disk", Level.FAULT),
    ],
)
def test_what_is_wrong_with_redis_is_found_and_nothing_else(changes: dict[str, Any], check: str, level: Level) -> None:
    assert not_well(judge_redis(replace(REDIS, **changes))) == {check: level}


@pytest.mark.parametrize(
    ("told", "round_trip_s", "level"),
    [
        (100.4, 0.0, Level.OK),
        (102.0, 0.0, Level.WARNING),
        (80.0, 0.0, Level.FAULT),
        (100.0, 8.0, Level.OK),  # the answer may have been given at any moment of it
    ],
)
def test_a_clock_is_wrong_only_if_the_round_trip_does_not_explain_it(
    told: float, round_trip_s: float, level: Level
) -> None:
    slow = ClockReading(0.0, 500.0, 1_000.0)
    reading = ClockReading(100.0, told, 100.0 + round_trip_s)

    assert judge_clock("c", "it", [slow, reading]).level is level


def test_a_key_that_rows_name_and_nobody_has_is_a_fault() -> None:
    tables = {"credentials": KeysInUse(frozenset({"old", "gone"}), whole=False), "sources": None}

    findings = list(judge_keyring(("new", "old"), "new", tables))

    assert not_well(findings) == {"keyring.complete": Level.UNSEEN}  # the last of that name: sources were not looked at
    [fault] = [one for one in findings if one.level is Level.FAULT]
    assert "rows of credentials are sealed under gone" in fault.saw


def test_what_is_no_key_id_is_not_shown() -> None:
    findings = list(judge_keyring(("k",), "k", {"sources": KeysInUse(frozenset({"a:b" * 20}), whole=True)}))

    assert "a:b" not in repr(findings)


def test_a_sample_is_called_one() -> None:
    findings = list(judge_keyring(("k",), "k", {"credentials": KeysInUse(frozenset({"k"}), whole=False)}))

    assert any("of credentials a sample was looked at" in one.saw for one in findings)


@pytest.mark.parametrize(
    ("mode", "above", "level"),
    [(0o600, 0o700, None), (0o600, 0o777, Level.WARNING), (0o600, 0o1777, None), (None, None, Level.WARNING)],
)
def test_where_the_keyring_lies(mode: int | None, above: int | None, level: Level | None) -> None:
    assert not_well(list(judge_keyring_file(mode, above))) == ({} if level is None else {"keyring.place": level})


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"failure": "nothing can be written: Read-only file system"}, "spool.writable", Level.FAULT),
        ({"mode": 0o755}, "spool.writable", Level.WARNING),
        ({"kind": "tmpfs"}, "spool.lasting", Level.WARNING),
        ({"kind": "overlay"}, "spool.lasting", Level.WARNING),
        ({"free_bytes": 1 << 20}, "spool.room", Level.FAULT),
        ({"free_files": 3}, "spool.room", Level.FAULT),
        ({"waiting": 2}, "spool.empty", Level.WARNING),
    ],
)
def test_what_is_wrong_with_the_spool_is_found(changes: dict[str, Any], check: str, level: Level) -> None:
    assert not_well(list(judge_spool(replace(SPOOL, **changes)))) == {check: level}


def test_few_open_files_are_too_few() -> None:
    assert judge_open_files(1_024).level is Level.WARNING
    assert judge_open_files(65_536).level is Level.OK


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"misspelt": ("TOKENKEEP_X: there is no such setting; did you mean TOKENKEEP_Y?",)}, "settings.names"),
        ({"public_url": "http://tokenkeep.example.com"}, "settings.public_url"),
        ({"public_url": None}, "settings.public_url"),
        ({"admin_key_length": 8}, "settings.admin_key"),
        ({"admin_key_letters": 1}, "settings.admin_key"),
        ({"custody_hold": True}, "settings.custody_hold"),
        ({"failpoints": True}, "settings.failpoints"),
        ({"private_hosts": ("0.0.0.0/0",)}, "settings.allow_private_hosts"),
        ({"log_level": "debug"}, "settings.log_level"),
    ],
)
def test_settings_that_are_seldom_meant_are_warned_of(changes: dict[str, Any], check: str) -> None:
    assert not_well(list(judge_wishes(replace(WISHES, **changes)))) == {check: Level.WARNING}


async def looked(checks: dict[str, Check], *, deadline_s: float, whole_deadline_s: float = 60.0) -> list[Finding]:
    gathered = [
        one async for found in look(checks, deadline_s=deadline_s, whole_deadline_s=whole_deadline_s) for one in found
    ]
    assert gathered
    return gathered


async def test_a_check_that_hangs_or_breaks_takes_nobody_along() -> None:
    async def hang() -> Sequence[Finding]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await over.wait()  # it does not heed that
        return []

    async def breaks() -> Sequence[Finding]:
        msg = "postgresql://u:hush@h"
        raise ValueError(msg)

    async def well() -> Sequence[Finding]:
        return [ok("fine", "as it should be")]

    over = asyncio.Event()
    found = await looked({"hang": hang, "breaks": breaks, "well": well}, deadline_s=0.05)
    over.set()

    assert [(one.check, one.level) for one in found] == [
        ("hang", Level.FAULT),
        ("breaks", Level.FAULT),
        ("fine", Level.OK),
    ]
    assert "hush" not in repr(found)


async def test_all_checks_together_have_an_end() -> None:
    async def waits() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    found = await looked({"first": waits, "second": waits}, deadline_s=60.0, whole_deadline_s=0.05)

    assert [(one.check, one.level) for one in found] == [("first", Level.FAULT), ("second", Level.FAULT)]
