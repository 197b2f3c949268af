"""Where claims begin to look."""

from datetime import UTC, datetime, timedelta

START = datetime(1, 1, 1, tzinfo=UTC)
"""Before everything that ever fell due."""

_DEAR_S = 0.25
_SHARE = 20
_AFTER_TIMEOUT_S = 60.0
_LONGEST_WRITE = timedelta(seconds=5)
"""Who writes a due time writes none that is past, in a transaction that is ended if it rests for as long."""


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
        """After which due time a look is to begin."""
        return self._end if now < self._from_start_at else START

    def ended(
        self, after: datetime, last: datetime | None, looked_at: datetime | None, *, took_s: float, now: float
    ) -> None:
        """A look that began at `after` came, at the database's time `looked_at`, as far as `last`; None: it found nothing."""
        if last is not None and looked_at is not None:
            self._end = min(last, looked_at - _LONGEST_WRITE)
        if after == START:
            self._from_start_at = now + took_s * _SHARE if took_s > _DEAR_S else now

    def gave_up(self, *, now: float) -> None:
        """A look did not come to its end in time."""
        self._from_start_at = now + _AFTER_TIMEOUT_S
