"""Ledgers with failpoints on both sides of a commit. Which step a transaction is, the method called in it tells."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from tokenkeep.adapters.failpoints.spec import Point
from tokenkeep.adapters.failpoints.striking import Failpoints
from tokenkeep.application.ports import CustodyLedger, Ledgers
from tokenkeep.application.refreshing import Leased, LeaseRequest, SettlementWrite, WriteAhead
from tokenkeep.domain.ids import AttemptId, SourceId

Step = tuple[Point, Point]
"""The points before a transaction's commit and after it."""

_LEASE: Step = (Point.LEASE_UNCOMMITTED, Point.LEASE_COMMITTED)
_WRITE_AHEAD: Step = (Point.WRITE_AHEAD_UNCOMMITTED, Point.WRITE_AHEAD_COMMITTED)
SETTLE: Step = (Point.SETTLE_UNCOMMITTED, Point.SETTLE_COMMITTED)
SWEEP: Step = (Point.SWEEP_UNCOMMITTED, Point.SWEEP_COMMITTED)


class FailingLedgers:
    """Transactions with failpoints. `writing` is what a settlement is called in this process."""

    def __init__(self, ledgers: Ledgers, points: Failpoints, *, writing: Step = SETTLE) -> None:
        self._ledgers = ledgers
        self._points = points
        self._writing = writing

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[CustodyLedger]:
        """One transaction. A step is hit only if it changed something."""
        async with self._ledgers() as ledger:
            watched = _WatchedLedger(ledger, self._writing)
            # The methods that are no step of their own are found at run time (`__getattr__`).
            yield cast("CustodyLedger", watched)
            if watched.step is not None:
                self._points.hit(watched.step[0])
        if watched.step is not None:
            self._points.hit(watched.step[1])


class _WatchedLedger:
    """A ledger that remembers which step it served."""

    def __init__(self, ledger: CustodyLedger, writing: Step) -> None:
        self._ledger = ledger
        self._writing = writing
        self.step: Step | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def lease(
        self,
        requests: Sequence[LeaseRequest],
        *,
        lease: timedelta,
        look: timedelta,
        resting: Collection[SourceId] = (),
    ) -> list[Leased]:
        leased = await self._ledger.lease(requests, lease=lease, look=look, resting=resting)
        if leased:
            self.step = _LEASE
        return leased

    async def write_ahead(self, intents: Sequence[WriteAhead]) -> Mapping[AttemptId, datetime]:
        sent = await self._ledger.write_ahead(intents)
        if sent:
            self.step = _WRITE_AHEAD
        return sent

    async def write(self, writes: Sequence[SettlementWrite]) -> None:
        await self._ledger.write(writes)
        if writes:
            self.step = self._writing
