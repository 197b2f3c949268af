"""An account's timeline: its attempts and its events in one order, page by page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tokenkeep.domain.ids import IdKind, parse_id
from tokenkeep_api.console.visits import Visit
from tokenkeep_api.paging import cursor_after

_PAGE: Final = 50
_END: Final = "end"
_LATER: Final = "9"
"""Sorts behind every time: what is under way has none yet."""
_TOLD_BY_ITS_ATTEMPT: Final = "tokenkeep.account.refreshed"

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A journal: its name at the API, when an entry was, and from which place a later page goes on after it."""

    name: str
    time: Callable[[Entry], str]
    place: Callable[[Entry], str]


@dataclass(frozen=True, slots=True)
class Journal:
    """A page of one, the latest first, from the place that was `given`."""

    kind: Kind
    given: str
    entries: Sequence[Entry]
    more: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a page shows, the latest first, each under its journal's name; and where the next one goes on, if there is one."""

    entries: Sequence[Mapping[str, Entry]]
    older: Mapping[str, str] | None


ATTEMPTS: Final = Kind(
    "attempts",
    # An attempt stands where it was begun, beneath the events that came of it.
    time=lambda it: str(it["sent_at"] or it["settled_at"] or _LATER),
    place=lambda it: cursor_after(parse_id(IdKind.ATTEMPT, it["id"])),
)
EVENTS: Final = Kind("events", time=lambda it: str(it["time"]), place=lambda it: cursor_after(int(it["sequence"])))


async def read_timeline(visit: Visit, path: str) -> Timeline:
    """A page of the account at this path of the API, from where the address says. Raises `Refused`."""
    timeline = merge(*[await _read(visit, path, kind) for kind in (ATTEMPTS, EVENTS)])
    shown = [it for it in timeline.entries if it.get(EVENTS.name, {}).get("type") != _TOLD_BY_ITS_ATTEMPT]
    return Timeline(shown, timeline.older)


def merge(*journals: Journal) -> Timeline:
    """Their entries in one order, as far down as all of them are known.

    Where one has more than was read, what the others have from before its last entry waits for a later page. So no entry is
    shown above a later one, none is left out, and none comes twice.
    """
    known = max((it.kind.time(it.entries[-1]) for it in journals if it.more), default="")
    shown: list[tuple[str, Mapping[str, Entry]]] = []
    older = {}
    for it in journals:
        name, time = it.kind.name, it.kind.time
        count = max((number for number, entry in enumerate(it.entries, 1) if time(entry) >= known), default=0)
        shown += [(time(entry), {name: entry}) for entry in it.entries[:count]]
        if count == len(it.entries) and not it.more:
            older[name] = _END
        else:
            older[name] = it.kind.place(it.entries[count - 1]) if count else it.given
    entries = [entry for _, entry in sorted(shown, key=lambda pair: pair[0], reverse=True)]
    return Timeline(entries, None if set(older.values()) == {_END} else older)


async def _read(visit: Visit, path: str, kind: Kind) -> Journal:
    given = visit.request.query_params.get(kind.name, "")
    if given == _END:
        return Journal(kind, given, [], more=False)
    found = await visit.read(f"{path}/{kind.name}", {"limit": _PAGE, "cursor": given})
    return Journal(kind, given, found["data"], more=found["next_cursor"] is not None)
