"""A key may be removed when rows, processes and spools all do without it; anything that is not known keeps it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tokenkeep.domain.ids import new_id
from tokenkeep.domain.key_removal import (
    GONE_AFTER,
    SETTLED_AFTER,
    SILENT_AFTER,
    UNREADABLE,
    KeyringHolder,
    KeyringUse,
    reasons_to_keep,
    untold,
    without_key,
)

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
MOMENT = timedelta(seconds=1)
WORKER = KeyringHolder(
    id=new_id(),
    process="worker",
    host="host",
    pid=1,
    spool="/spool",
    key_ids=("new", "old"),
    spooled_keys=frozenset(),
    current_since=NOW - SETTLED_AFTER,
    seen_at=NOW,
)
API = replace(WORKER, id=new_id(), process="api", spool=None)


def use(*holders: KeyringHolder, **rows: int) -> KeyringUse:
    return KeyringUse(NOW, {key_id: {"credentials": count} for key_id, count in rows.items()}, holders)


def test_a_key_that_nobody_and_nothing_needs_may_go() -> None:
    assert reasons_to_keep("old", use(WORKER, API, new=10)) == []
    assert reasons_to_keep("old", use()) == []


def test_a_row_keeps_its_key() -> None:
    [reason] = reasons_to_keep("old", use(WORKER, API, new=10, old=2))
    assert reason.startswith("2 rows are wrapped by it (credentials 2)")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key_ids": ("old", "new")}, "wraps by it"),
        ({"current_since": NOW - SETTLED_AFTER + MOMENT}, "ask again in 2 s"),
        ({"spooled_keys": frozenset({"old"})}, "sealed under it"),
        ({"spooled_keys": frozenset({UNREADABLE})}, "can't read"),
        ({"seen_at": NOW - SILENT_AFTER - MOMENT}, "has been silent since 2030-01-31 11:58:59Z"),
    ],
)
def test_what_a_process_may_still_write_or_need_keeps_a_key(changes: dict[str, object], said: str) -> None:
    [reason] = reasons_to_keep("old", use(replace(WORKER, **changes), API))  # type: ignore[arg-type]
    assert reason.startswith("worker host/1 ")
    assert said in reason


def test_a_process_without_the_key_keeps_it_only_by_its_spool() -> None:
    without = replace(WORKER, key_ids=("new",))
    assert reasons_to_keep("old", use(without)) == []
    assert reasons_to_keep("old", use(replace(without, spooled_keys=frozenset({"old"})))) != []


def test_a_process_whose_keyring_was_exchanged_a_moment_ago_may_still_write_by_the_key_that_it_lacks_now() -> None:
    exchanged = replace(WORKER, key_ids=("new",), current_since=NOW - SETTLED_AFTER + MOMENT)
    [reason] = reasons_to_keep("old", use(exchanged))
    assert "ask again in 2 s" in reason


def test_a_silent_process_without_a_spool_is_gone_after_a_while_and_one_with_a_spool_is_not() -> None:
    long_ago = NOW - GONE_AFTER - MOMENT
    assert reasons_to_keep("old", use(replace(API, seen_at=long_ago))) == []
    assert reasons_to_keep("old", use(replace(API, seen_at=NOW - GONE_AFTER))) != []
    silent = replace(WORKER, seen_at=NOW - timedelta(days=300))
    assert reasons_to_keep("old", use(silent)) != []


def test_a_silent_worker_is_forgotten_once_another_looks_after_its_spool() -> None:
    silent = replace(WORKER, id=new_id(), pid=2, seen_at=NOW - GONE_AFTER - MOMENT)
    assert reasons_to_keep("old", use(silent, WORKER)) == []
    assert reasons_to_keep("old", use(silent, replace(WORKER, host="elsewhere"))) != []
    assert reasons_to_keep("old", use(silent, replace(WORKER, spool="/another"))) != []


def test_processes_that_lack_a_key_are_named_unless_they_are_silent() -> None:
    late = replace(API, key_ids=("old",))
    assert without_key("new", [WORKER, late, replace(late, seen_at=NOW - SILENT_AFTER - MOMENT)], NOW) == [late]


def test_a_process_that_is_there_and_tells_nothing_keeps_every_key() -> None:
    """One of an older release, which may still wrap by any."""
    assert untold({"api", "worker"}, [WORKER, API], NOW) == []
    assert untold({"api", "worker"}, [WORKER], NOW) == ["api"]
    silent = replace(API, seen_at=NOW - SILENT_AFTER - MOMENT)
    assert untold({"api"}, [silent], NOW) == ["api"]
    [reason] = reasons_to_keep("old", replace(use(WORKER), connected=frozenset({"api", "worker"})))
    assert reason.startswith("a process `api` ")
