"""An environment's figures, counted for everybody who looks, and no more often than the database can bear."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tokenkeep.application.fleet import EnvironmentFigures

_FRESH_S: Final = 3.0
_SHARE: Final = 20
"""Counting takes at most a twentieth of the time: after a count of half a second, the next one begins ten seconds later."""
_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class _Counted:
    figures: EnvironmentFigures
    good_until: float


class Figures:
    """Counts an environment once for all who ask at the same time, and keeps the result for a while."""

    def __init__(
        self, count: Callable[[str], Awaitable[EnvironmentFigures]], clock: Callable[[], float] = monotonic
    ) -> None:
        self._count = count
        self._clock = clock
        self._counted: OrderedDict[str, _Counted] = OrderedDict()
        self._locks: OrderedDict[str, asyncio.Lock] = OrderedDict()

    async def __call__(self, environment: str) -> EnvironmentFigures:
        """The figures, a few seconds old at most where counting is quick."""
        lock = self._locks.setdefault(environment, asyncio.Lock())
        async with lock:
            known = self._counted.get(environment)
            began = self._clock()
            if known is not None and began < known.good_until:
                return known.figures
            figures = await self._count(environment)
            took = self._clock() - began
            self._counted[environment] = _Counted(figures, began + max(_FRESH_S, took * _SHARE))
            self._forget_some(environment)
            return figures

    def _forget_some(self, latest: str) -> None:
        self._counted.move_to_end(latest)
        if len(self._counted) > _MOST:
            oldest, _ = self._counted.popitem(last=False)
            self._locks.pop(oldest, None)
