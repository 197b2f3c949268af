"""Backpressure: no more accounts are begun than can be settled in time.

What a worker has asked for it must make durable, and an answer that waits for that is at risk. So scheduled hints wait while answers wait for their
commit. What an account waits for elsewhere, a place or its endpoint, is no load of the worker's.
"""

from types import TracebackType

from tokenkeep.application.clocks import Clocks
from tokenkeep.domain.settling_window import SettlingWindow

_LOOK_AGAIN_S = 0.02
_PATIENCE_S = 10.0
"""A hint is not kept waiting for longer: the window is no judge of what is owed."""


class Permits:
    """Accounts of one batch that count as in hand, until each is let go of."""

    __slots__ = ("_count", "_window")

    def __init__(self, window: SettlingWindow, count: int) -> None:
        self._window = window
        self._count = 0
        self.keep(count)

    def keep(self, count: int) -> None:
        """So many of the batch go on, whatever it was before."""
        self._window.in_hand += count - self._count
        self._count = count

    def let_go(self) -> None:
        """One of them is settled, or will not be."""
        if self._count:
            self.keep(self._count - 1)

    def close(self) -> None:
        """None of them is in hand any more."""
        self.keep(0)


class _Shift:
    """Accounts that count otherwise for as long as a block lasts. A class: a generator in its place costs more than what it counts."""

    __slots__ = ("_count", "_window")

    def __init__(self, window: SettlingWindow, count: int) -> None:
        self._window = window
        self._count = count

    def __enter__(self) -> None:
        self._window.in_hand += self._count

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._window.in_hand -= self._count


class Backpressure:
    """What one worker has in hand, and whether it takes on more."""

    def __init__(self, most: int, clocks: Clocks) -> None:
        """`most`: how many accounts it may have in hand at the best of times."""
        self._window = SettlingWindow(most)
        self._clocks = clocks
        self._hurried = False

    @property
    def in_hand(self) -> int:
        """How many accounts are in hand now."""
        return self._window.in_hand

    def limit(self) -> float:
        """How many accounts may be in hand now."""
        return min(self._window.limit, self._window.most)

    async def take(self, count: int, *, demanded: bool) -> Permits:
        """Permits for a batch of so many: for a scheduled one, once answers are settled in time; for one that somebody waits for, at once."""
        until = self._clocks.loop_time() + _PATIENCE_S
        while not (demanded or self._hurried or self._window.is_open) and self._clocks.loop_time() < until:
            await self._clocks.sleep(_LOOK_AGAIN_S)
        return self.hold(count, demanded=demanded)

    def hold(self, count: int, *, demanded: bool) -> Permits:
        """The same without waiting. A demand may wait long for its place, so its accounts are in hand once they are admitted."""
        return Permits(self._window, 0 if demanded else count)

    def hurry(self) -> None:
        """The process is to end: nobody waits any more."""
        self._hurried = True

    def elsewhere(self, count: int = 1) -> _Shift:
        """So many accounts wait for others, for as long as the block lasts."""
        return _Shift(self._window, -count)

    def here(self) -> _Shift:
        """One account that is elsewhere waits for this worker after all, for as long as the block lasts."""
        return _Shift(self._window, 1)

    def note_settled(self, took_s: float) -> None:
        """Take note that an answer was committed after it had waited so many seconds for that."""
        self._window.note_settled(took_s, now=self._clocks.loop_time())
