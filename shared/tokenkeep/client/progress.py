"""How far a feed was dealt with, when later events may be dealt with before earlier ones: pure."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

NEW = "now"
"""The cursor that leaves out what has happened."""


@dataclass(slots=True)
class _PageInHand:
    cursor: str  # before its first event
    ids: Sequence[str]
    settled: int = 0  # so many of the first


class Progress:
    """The place to go on from: a cursor, and the last event behind it that is dealt with, with all before it.

    As a text, for whoever keeps it: `<cursor> <event id>`, where both may be empty.
    """

    def __init__(self, position: str | None, *, new: bool = False) -> None:
        cursor, _, self._skip_to = (position or "").partition(" ")
        self._cursor = cursor or (NEW if new and position is None else "")
        self._pages: deque[_PageInHand] = deque()
        self._settled: set[str] = set()

    @property
    def next_cursor(self) -> str | None:
        """What to ask for next; None: the first event that is kept."""
        return self._cursor or None

    @property
    def position(self) -> str:
        """The place as a text."""
        if not self._pages:
            return f"{self._cursor} "
        first = self._pages[0]
        return f"{first.cursor} {first.ids[first.settled - 1] if first.settled else ''}"

    def add(self, ids: Sequence[str], next_cursor: str) -> int:
        """Take a page; how many of its first events are not to be handled: they were, before this process began.

        The first page of a reader that begins with what comes tells where that is, and no more.
        """
        if self._cursor == NEW:
            self._cursor = next_cursor
            return len(ids)
        done = 0
        if self._skip_to in ids:
            done = ids.index(self._skip_to) + 1
        self._skip_to = ""
        if done < len(ids):
            self._pages.append(_PageInHand(self._cursor, ids, done))
        self._cursor = next_cursor
        return done

    def settle(self, event_id: str) -> None:
        """An event is dealt with."""
        self._settled.add(event_id)
        while self._pages:
            first = self._pages[0]
            while first.settled < len(first.ids) and first.ids[first.settled] in self._settled:
                self._settled.discard(first.ids[first.settled])
                first.settled += 1
            if first.settled < len(first.ids):
                return
            self._pages.popleft()
