"""When exchanges run out of time: one timer for all whose time ends within the same moment.

A timer of its own takes 600 bytes of uvloop for each exchange that waits.
"""

import asyncio
import math
from contextvars import Context
from typing import Final, Protocol

MOMENT_S: Final = 0.05
"""How much later than its deadline an exchange may be told by a loop that is not busy, in seconds."""


class Waiting(Protocol):
    """Whoever has a deadline. It is known by its identity."""

    def time_is_over(self) -> None:
        """Called once the deadline has passed."""


class Deadlines:
    """The deadlines of whoever waits in one event loop."""

    def __init__(self) -> None:
        self._moments: dict[int, tuple[asyncio.TimerHandle, set[Waiting]]] = {}

    def __len__(self) -> int:
        return sum(len(waiting) for _, waiting in self._moments.values())

    def add(self, waiting: Waiting, deadline: float) -> int:
        """Have it told at its deadline, by `loop.time()` in seconds and finite, or up to a moment later; before it by no more than the loop's clock is coarse.

        Returns:
            The moment, to `remove` it by.
        """
        moment = math.ceil(deadline / MOMENT_S)
        known = self._moments.get(moment)
        if known is None:
            # In nobody's context: whoever comes first would be held, and be named in the log, for the others.
            timer = asyncio.get_running_loop().call_at(moment * MOMENT_S, self._tell, moment, context=Context())
            self._moments[moment] = (timer, {waiting})
        else:
            known[1].add(waiting)
        return moment

    def remove(self, waiting: Waiting, moment: int) -> None:
        """It waits no longer. That may be said of one that was told, too."""
        known = self._moments.get(moment)
        if known is None:
            return
        timer, others = known
        others.discard(waiting)
        if not others:
            timer.cancel()
            del self._moments[moment]

    def _tell(self, moment: int) -> None:
        _, told = self._moments.pop(moment)
        for waiting in told:
            waiting.time_is_over()
