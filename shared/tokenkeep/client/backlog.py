"""What a consumer has taken and not yet dealt with, and what of it comes next: pure."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tokenkeep.client.event import Event
from tokenkeep.client.retrying import Record


@dataclass(slots=True)
class Entry:
    """One thing that was read, under the key by which it is acknowledged.

    `event` is None where it is no event; `fault` says what is wrong with it then. `due` is when it may be tried (again), by
    the consumer's own clock. `fields` is what was read, for the dead letter.
    """

    key: str
    event: Event | None
    record: Record = field(default_factory=Record)
    due: float = 0.0
    fault: str | None = None
    fields: tuple[str | bytes, ...] = ()

    @property
    def subject(self) -> str | None:
        """What the event is about."""
        return None if self.event is None else self.event.subject


class Backlog:
    """Entries in the order in which they were read.

    In order, an entry that waits to be tried again holds back the later ones of its subject, and nothing else. Out of order
    it holds back nothing.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    @property
    def first(self) -> Entry | None:
        """The entry that was read before all others."""
        return next(iter(self._entries.values()), None)

    def add(self, entry: Entry) -> None:
        """Take an entry, behind the others."""
        self._entries[entry.key] = entry

    def remove(self, key: str) -> None:
        """Forget an entry that is dealt with."""
        self._entries.pop(key, None)

    def next(self, now: float) -> Entry | None:
        """The first entry that may be tried now."""
        return next((entry for entry in self._heads() if entry.due <= now), None)

    def next_due(self) -> float | None:
        """When the first of the waiting entries is due; None if there are none."""
        return min((entry.due for entry in self._heads()), default=None)

    def _heads(self) -> Iterator[Entry]:
        """The entries that none before them holds back, but for being due."""
        subjects: set[str] = set()
        for entry in self._entries.values():
            if not self._ordered or entry.subject is None:
                yield entry
            elif entry.subject not in subjects:
                subjects.add(entry.subject)
                yield entry
