"""The feed of events: places in it, and how far it may be read.

Positions are drawn from a sequence, and transactions commit in an order of their own: an event may become visible after
another one of a higher position. Whoever read past it would never see it, so nobody reads beyond the horizon.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.events import Event, EventType

CHECK_BYTES: Final = 8
PREFIX: Final = "tokenkeep."


class Place(NamedTuple):
    """A place in the feed: right behind the event of this position.

    `check` is the random half of that event's id. It tells a place of this database's history from one of a history that a
    failover or a restore took back, in which the same position was another event's.
    """

    position: int
    check: bytes

    @classmethod
    def behind(cls, position: int, event_id: UUID) -> "Place":
        """The place behind this event."""
        return cls(position, event_id.bytes[-CHECK_BYTES:])


ORIGIN: Final = Place(0, bytes(CHECK_BYTES))
"""Before the first event of all."""


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """An event, and the place behind it."""

    place: Place
    event: Event


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """Which events a reader is told: those of one environment that fit all that is given."""

    environment: str
    types: frozenset[str] | None = None
    subject: UUID | None = None

    @property
    def picks(self) -> bool:
        """Whether some of the environment's events may be left out."""
        return self.types is not None or self.subject is not None

    def takes(self, event: Event) -> bool:
        """Whether the reader is to be told this event."""
        return (
            event.environment == self.environment
            and (self.types is None or event.type in self.types)
            and (self.subject is None or event.subject == self.subject)
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """A position, and who was writing events after it had been read: transactions that may have drawn it or lower ones."""

    position: int
    waits_for: frozenset[str]


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far the feed may be read. Every position up to `settled` is visible, or will never be.

    One mark at a time is waited for, so what commits is shown after twice the longest transaction that writes events, at
    the latest; at once if nobody else is writing.
    """

    settled: int = 0
    mark: Mark | None = None

    def seen(self, drawn: int, writers: frozenset[str]) -> "Horizon":
        """The horizon after a look at the database.

        Args:
            drawn: The last position that was drawn.
            writers: The transactions that are writing events, read *after* `drawn`: whoever drew that position or a lower
                one is among them, or has ended and is visible to whoever looks from now on.
        """
        if not writers:
            return Horizon(drawn)
        settled, mark = self.settled, self.mark
        if mark is not None:
            left = mark.waits_for & writers
            settled, mark = (settled, Mark(mark.position, left)) if left else (mark.position, None)
        if mark is None and drawn > settled:
            mark = Mark(drawn, writers)
        return Horizon(settled, mark)


def full_type(name: str) -> str:
    """The type of events that a name stands for: `account.disabled` is short for `tokenkeep.account.disabled`.

    Raises:
        InvalidInput: No event of this type is ever sent.
    """
    full = name if name.startswith(PREFIX) else PREFIX + name
    if full not in _TYPES:
        raise InvalidInput("type", "there are no events of this type")
    return full


def full_types(names: Iterable[str]) -> frozenset[str] | None:
    """As `full_type`; None, for all of them, if none is named."""
    return frozenset(full_type(name) for name in names) or None


_TYPES = frozenset(kind.value for kind in EventType)
