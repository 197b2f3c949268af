"""Backpressure: no more accounts are begun than can be settled in time.

What a worker has asked for it must make durable, and an answer that waits for that is at risk. So hints wait in the queue, where they cost nothing,
while answers wait for their commit.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tokenkeep.application.clocks import Clocks
from tokenkeep.domain.settling_window import SettlingWindow

_LOOK_AGAIN_S = 0.02
_PATIENCE_S = 10.0
"""A hint is not kept waiting for longer: the window is no judge of what is owed."""


class Held:
    """Accounts of one batch that are in hand, until each is let go of."""

    def __init__(self, window: SettlingWindow, count: int) -> None:
        self._window = window
        self._count = count
        window.in_hand += count

    def let_go(self, count: int = 1) -> None:
        """So many are settled, or are not gone about after all."""
        gone = min(count, self._count)
        self._count -= gone
        self._window.in_hand -= gone

    def close(self) -> None:
        """None of them is in hand any more."""
        self.let_go(self._count)


class Backpressure:
    """What one worker has in hand, and whether it takes on more."""

    def __init__(self, most: int, clocks: Clocks) -> None:
        """`most`: how many accounts it may have in hand at the best of times."""
        self._window = SettlingWindow(most)
        self._clocks = clocks

    @property
    def in_hand(self) -> int:
        """How many accounts are in hand now."""
        return self._window.in_hand

    async def take(self, count: int) -> Held:
        """Take so many in hand, once answers are settled in time: a scheduled batch, which has that long."""
        until = self._clocks.loop_time() + _PATIENCE_S
        while not self._window.is_open and self._clocks.loop_time() < until:
            await self._clocks.sleep(_LOOK_AGAIN_S)
        return self.hold(count)

    def hold(self, count: int) -> Held:
        """Take so many in hand at once: somebody waits for them."""
        return Held(self._window, count)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """One account is in its endpoint's hands, for as long as the block lasts."""
        self._window.in_hand -= 1
        try:
            yield
        finally:
            self._window.in_hand += 1

    def note_settled(self, took_s: float) -> None:
        """Take note that an answer was settled so many seconds after it came."""
        self._window.note_settled(took_s, now=self._clocks.loop_time())
