"""Entries of the stream, as the scripts return them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenkeep.client.backlog import Entry
from tokenkeep.client.errors import NotAnEvent
from tokenkeep.client.event import Event
from tokenkeep.client.retrying import LONGEST_RETRY, Record


@dataclass(frozen=True, slots=True)
class Taken:
    """What a consumer has got.

    `last` is the last entry that was looked at, `delivered` the last one that the group was ever given; both may be empty.
    `gone` were pending, and are not in the stream any more.
    """

    last: str
    delivered: str
    gone: int
    entries: list[Entry]


def read_taken(reply: Any, now: float) -> Taken | None:
    """What a script gave; None: the consumer may not act. `now` is the consumer's clock, by which waits are counted on."""
    if not reply:
        return None
    server_ms, last, delivered, gone, found = reply
    entries = [_entry(one, int(server_ms), now) for one in found]
    return Taken(text(last), text(delivered), int(gone), entries)


def read_event(fields: Sequence[Any]) -> Event:
    """The event in an entry's fields, which come as names and values in turn.

    Raises:
        NotAnEvent: There is none.
    """
    named = dict(zip(map(text, fields[::2]), fields[1::2], strict=True))
    if "event" not in named:
        raise NotAnEvent("the entry has no field `event`")
    try:
        document = json.loads(named["event"])
    except (ValueError, RecursionError):
        raise NotAnEvent("it is no JSON") from None
    return Event.read(document)


def text(value: str | bytes) -> str:
    """A reply's text, whether the client decodes it or not."""
    return value if isinstance(value, str) else value.decode(errors="replace")


def _entry(found: Sequence[Any], server_ms: int, now: float) -> Entry:
    key, starts, noted, fields = found
    failures, ended, due_ms = _read_noted(text(noted))
    wait_ms = max(0, due_ms - server_ms)
    if wait_ms > LONGEST_RETRY * 1000:
        wait_ms = 0  # nobody puts an entry off for so long: it can't be meant
    entry = Entry(text(key), None, Record(int(starts), failures, ended), now + wait_ms / 1000, fields=tuple(fields))
    try:
        entry.event = read_event(fields)
    except NotAnEvent as fault:
        entry.fault = f"not an event: {fault}"
    return entry


def _read_noted(noted: str) -> tuple[int, int, int]:
    """Failures, ends, and when it is due in ms. What can't be read keeps nobody from the stream: the entry is due."""
    try:
        failures, ended, due_ms = (int(word) for word in noted.split())
    except ValueError:
        return 0, 0, 0
    return failures, ended, due_ms
