"""A clock that also counts the time a host was suspended."""

import sys
import time

if sys.platform == "linux":

    def boottime() -> float:
        """Seconds since the host started, suspend included (custody protocol, step S5).

        A write-ahead mark is good for a moment only. CLOCK_MONOTONIC stands still while a machine sleeps or is
        migrated, so by that clock a stale mark would look fresh; CLOCK_BOOTTIME goes on, and nobody can set it.
        """
        return time.clock_gettime(time.CLOCK_BOOTTIME)

elif sys.platform == "darwin":

    def boottime() -> float:
        """Seconds by macOS's CLOCK_MONOTONIC, which goes on while the system sleeps (clock_gettime(3))."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

else:

    def boottime() -> float:
        """Seconds by the monotonic clock; whether it counts suspend is up to the system."""
        return time.monotonic()
