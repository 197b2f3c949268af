"""Whether the process of the providers itself stood still."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from faults.terms import HURRIED

_STANDSTILL_S = 0.5
_DEADLINE = timedelta(seconds=float(HURRIED["provider_deadline_s"]))
_BACKLOG = timedelta(seconds=0.5)


@dataclass
class Lateness:
    """When the process that the providers live in stood still: their answers were late then, through no fault of a worker."""

    spans: list[tuple[datetime, datetime]] = field(default_factory=list)

    async def watch(self) -> None:
        while True:
            began, before = datetime.now(UTC), time.monotonic()
            await asyncio.sleep(0.05)
            if time.monotonic() - before > _STANDSTILL_S:
                self.spans.append((began, datetime.now(UTC)))

    def around(self, moment: datetime) -> bool:
        """Whether a request that came at this moment may have had to wait for its answer."""
        return any(began - _DEADLINE <= moment <= ended + _BACKLOG for began, ended in self.spans)
