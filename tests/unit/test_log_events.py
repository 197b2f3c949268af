"""The names of log events are a vocabulary: constants, which a search finds."""

import re

import pytest

from log_events import LogCall, calls_in, log_calls

_NAME = re.compile(r"[a-z]+(_[a-z]+)+")


def test_every_log_line_has_a_constant_snake_case_event() -> None:
    assert [call.where for call in log_calls() if call.event is None or _NAME.fullmatch(call.event) is None] == []


def test_no_event_is_written_by_two_modules_for_different_things() -> None:
    keys: dict[str, set[frozenset[str]]] = {}
    for call in log_calls():
        keys.setdefault(call.event or "", set()).add(call.keys)
    assert {event for event, found in keys.items() if len(found) > 1} == set()


@pytest.mark.parametrize(
    "line",
    ['_log.info(f"{what}_done")', "log.error(name)", '(_log.info if well else _log.error)("a" + "b")', "_log.debug()"],
)
def test_a_name_that_is_put_together_is_found(line: str) -> None:
    [call] = calls_in(line, "somewhere.py")
    assert call.event is None


def test_levels_and_keys_are_read_from_the_call() -> None:
    source = (
        'line = _log.info if well else _log.warning\nline("all_done", count=1, **more)\n_log.exception("broke_down")\n'
    )
    assert list(calls_in(source, "m.py")) == [
        LogCall("m.py:2", "all_done", frozenset({"info", "warning"}), frozenset({"count", "**"})),
        LogCall("m.py:3", "broke_down", frozenset({"error"}), frozenset()),
    ]
