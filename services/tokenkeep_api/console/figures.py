"""Figures, counted for everybody who looks, and no more often than the database can bear."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Generic, TypeVar

import structlog
from sqlalchemy.exc import DBAPIError

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")

_FRESH_S: Final = 3.0
_SHARE: Final = 20
"""Counting takes at most a twentieth of the time: after a count of half a second, the next one begins ten seconds later."""
_MOST: Final = 100

_log = structlog.get_logger("tokenkeep.api")


class NotCounted(Exception):
    """Counting took too long, or the database could not be asked."""


@dataclass(frozen=True, slots=True)
class _Counted(Generic[Found]):
    """What was counted; None if that failed, which is not tried again at once either."""

    figures: Found | None
    good_until: float


class Figures(Generic[Key, Found]):
    """Counts a thing once for all who ask at the same time, and keeps the result for a while."""

    def __init__(self, count: Callable[[Key], Awaitable[Found]], clock: Callable[[], float] = monotonic) -> None:
        self._count = count
        self._clock = clock
        self._counted: OrderedDict[Key, _Counted[Found]] = OrderedDict()
        self._locks: OrderedDict[Key, asyncio.Lock] = OrderedDict()

    async def __call__(self, key: Key) -> Found:
        """The figures, a few seconds old at most where counting is quick. Raises `NotCounted`."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            known = self._counted.get(key)
            began = self._clock()
            if known is None or began >= known.good_until:
                figures = await self._tried(key)
                known = _Counted(figures, began + max(_FRESH_S, (self._clock() - began) * _SHARE))
                self._counted[key] = known
                self._forget_some(key)
            if known.figures is None:
                raise NotCounted
            return known.figures

    async def _tried(self, key: Key) -> Found | None:
        try:
            return await self._count(key)
        except (TimeoutError, DBAPIError) as error:
            _log.warning("figures_not_counted", error=type(error).__name__)
            return None

    def _forget_some(self, latest: Key) -> None:
        self._counted.move_to_end(latest)
        if len(self._counted) > _MOST:
            oldest, _ = self._counted.popitem(last=False)
            self._locks.pop(oldest, None)
