"""Events that this process has dealt with, so that a repetition is not handled once more."""

from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple

from tokenkeep.client.event import Event

MOST_SUBJECTS = 100_000


class _Last(NamedTuple):
    sequence: int
    time: datetime
    id: str
    turn: int


class Repetitions:
    """The last event of each subject, of the subjects heard of last.

    Good only where events come in order for each subject. An event is a repetition if its `sequence` is not beyond the last
    one's, and its `time` is not either: after the server's database was set back, sequences are given once more, to events
    that are later. It lives in memory, so a new process knows nothing.
    """

    def __init__(self, most: int = MOST_SUBJECTS) -> None:
        self._last: OrderedDict[str, _Last] = OrderedDict()
        self._most = most
        self._turn = 0

    def begin_turn(self) -> None:
        """Between two turns another consumer has dealt with what is missing here."""
        self._turn += 1

    def __contains__(self, event: Event) -> bool:
        last = self._last.get(event.subject)
        if last is None or event.sequence > last.sequence or event.time > last.time:
            return False
        return event.sequence < last.sequence or event.id == last.id

    def gap_before(self, event: Event) -> int:
        """How many events of its subject are missing right before this one, as far as is known."""
        last = self._last.get(event.subject)
        if last is None or last.turn != self._turn:
            return 0
        return max(0, event.sequence - last.sequence - 1)

    def add(self, event: Event) -> None:
        """Remember that the event is dealt with."""
        self._last[event.subject] = _Last(event.sequence, event.time, event.id, self._turn)
        self._last.move_to_end(event.subject)
        if len(self._last) > self._most:
            self._last.popitem(last=False)
