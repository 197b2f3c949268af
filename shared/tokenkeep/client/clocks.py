"""A clock for what runs out."""

import sys
import time

if sys.platform == "linux":

    def forward() -> float:
        """Seconds that only ever go forward, also while the machine sleeps: a token's life does as well."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:

    def forward() -> float:
        """Seconds that only ever go forward."""
        return time.monotonic()
