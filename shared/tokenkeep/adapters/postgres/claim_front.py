"""Where claims begin to look."""

from datetime import UTC, datetime, timedelta

START = datetime(1, 1, 1, tzinfo=UTC)
"""Before everything that ever fell due."""

_DEAR_S = 0.25
_SHARE = 20
_AFTER_TIMEOUT_S = 60.0
_LONGEST_WRITE = timedelta(seconds=5)
"""Who writes a due time writes none that is past, in a transaction that is ended if it rests for as long."""


def is_dear(took_s: float) -> bool:
    """Whether a look took so long that the next one is to begin where it ended."""
    return took_s > _DEAR_S


class ClaimFront:
    """Spares claims the way over what they have left behind, where that is long.

    A transaction that stays open for an hour, such as a backup's, keeps every index entry that claims have left since it
    began, and whoever looks from the oldest one on passes all of them, each time. So once that has become dear, looks begin
    where the former one ended, and looks from the start take no more than a twentieth of the time. What they are needed for
    was locked by somebody when it was passed, or its due time was committed late.

    `now` is of a clock that never steps, in seconds.
    """

    def __init__(self) -> None:
        self._end = START
        self._from_start_at = 0.0

    def begin(self, *, now: float) -> datetime:
        """At which due time a look is to begin."""
        return self._end if now < self._from_start_at else START

    def ended(
        self, after: datetime, last: datetime | None, looked_at: datetime | None, *, took_s: float, now: float
    ) -> None:
        """A look that began at `after` has come as far as `last`; None: to the end of what was due then.

        `looked_at`: when that was, by the database's clock; None if nobody knows, and then nothing is learnt.
        """
        if looked_at is not None:
            newest = looked_at - _LONGEST_WRITE
            self._end = newest if last is None else min(last, newest)
        if after == START:
            self._from_start_at = now + took_s * _SHARE if is_dear(took_s) else now

    def gave_up(self, *, now: float) -> None:
        """A look did not come to its end in time."""
        self._from_start_at = now + _AFTER_TIMEOUT_S
