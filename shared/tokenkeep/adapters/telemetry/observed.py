"""What a process saw last in a store that others change too, and for how long that is worth anything."""

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

Figures = TypeVar("Figures")

KEPT_S: Final = 900.0
"""Longer than a count of the largest tables takes, with the rest after it."""


class Observed(Generic[Figures]):
    """The latest figures, until they are a quarter of an hour old: a process that sees nothing new shows nothing, and is no witness any more.

    So a scheduler that is cut off from the database never holds up an alert, nor hides one, by what was so long ago.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._latest: tuple[Figures, float, float] | None = None

    def observe(self, figures: Figures) -> None:
        """Show these from now on."""
        self._latest = figures, self._clock(), time.time()

    def latest(self) -> tuple[Figures, float] | None:
        """The figures and the time they were taken, in seconds of the Unix epoch; None before the first, or when they are too old."""
        if self._latest is None:
            return None
        figures, at, wall_time = self._latest
        return None if self._clock() - at > KEPT_S else (figures, wall_time)
