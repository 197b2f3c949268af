"""The clocks that a process goes by. Between processes only the database's clock counts."""

from collections.abc import Awaitable
from typing import Protocol


class Clocks(Protocol):
    """Clocks of one process; tests drive their own."""

    def boottime(self) -> float:
        """Seconds on a clock that also counts while the host is suspended (CLOCK_BOOTTIME)."""

    def loop_time(self) -> float:
        """Seconds on the event loop's monotonic clock."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait."""
