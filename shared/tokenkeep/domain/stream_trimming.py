"""How much of the Redis stream is kept. The database keeps events for longer, and the HTTP feed tells them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple


class EntryId(NamedTuple):
    """The id of a stream's entry: milliseconds of Redis's clock, and a number within them."""

    ms: int
    number: int

    @classmethod
    def parse(cls, text: str) -> "EntryId":
        """The id that Redis writes as `1700000000000-0`."""
        ms, _, number = text.partition("-")
        return cls(int(ms), int(number or 0))

    def __str__(self) -> str:
        return f"{self.ms}-{self.number}"


@dataclass(frozen=True, slots=True)
class GroupStanding:
    """A consumer group.

    `wants` is the first entry of the stream that it has not read, or read and not acknowledged; None if there is no such entry. `silent`
    is the time since any of its consumers was heard of; None if it has none.
    """

    name: str
    wants: EntryId | None
    silent: timedelta | None


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept.

    Args:
        age: Entries that are younger are kept for everybody. A group of which nothing was heard for so long holds nothing.
        longest: Older entries are not kept for anybody.
        entries: No more than so many are kept, whoever wants them: Redis holds them in memory.
    """

    age: timedelta = timedelta(days=7)
    longest: timedelta = timedelta(days=30)
    entries: int = 1_000_000

    def first_kept(self, groups: Iterable[GroupStanding], *, now_ms: int) -> EntryId:
        """The first entry that age does not drop."""
        wanted = [group.wants for group in groups if group.wants is not None and self.counts(group)]
        return max(_before(now_ms, self.longest), min([_before(now_ms, self.age), *wanted]))

    def counts(self, group: GroupStanding) -> bool:
        """Whether somebody is taken to read for this group still."""
        return group.silent is not None and group.silent <= self.age


def _before(now_ms: int, span: timedelta) -> EntryId:
    return EntryId(max(0, now_ms - int(span.total_seconds() * 1000)), 0)
