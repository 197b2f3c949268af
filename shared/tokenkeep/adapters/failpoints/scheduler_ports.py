"""A scheduler's ports, with failpoints around their calls."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from tokenkeep.adapters.failpoints.spec import Point
from tokenkeep.adapters.failpoints.striking import Failpoints
from tokenkeep.application.ports import HintQueue, Schedule
from tokenkeep.application.refreshing import Claimed, Lane, StuckLease
from tokenkeep.application.relay_events import EventStream, Outbox, Pending, Reached, Requeued
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, SourceId


class FailingSchedule:
    """A schedule with a failpoint behind each claim that found somebody."""

    def __init__(self, schedule: Schedule, points: Failpoints) -> None:
        self._schedule = schedule
        self._points = points

    async def claim_due(self, *, limit: int, trust: timedelta, paused: timedelta, lane: Lane = Lane.OLDEST) -> Claimed:
        """As the port says."""
        claimed = await self._schedule.claim_due(limit=limit, trust=trust, paused=paused, lane=lane)
        if claimed.accounts:
            self._points.hit(Point.CLAIMED)
        return claimed

    async def put_off(self, waits: Mapping[AccountId, float], *, binding: bool) -> None:
        """As the port says."""
        await self._schedule.put_off(waits, binding=binding)

    async def lives(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, float | None]:
        """As the port says."""
        return await self._schedule.lives(account_ids)

    async def unclaim(self, account_ids: Sequence[AccountId]) -> None:
        """As the port says."""
        await self._schedule.unclaim(account_ids)

    async def stuck(self, *, limit: int) -> list[StuckLease]:
        """As the port says."""
        return await self._schedule.stuck(limit=limit)

    async def run_out(self, *, limit: int) -> dict[AccountId, SourceId]:
        """As the port says."""
        return await self._schedule.run_out(limit=limit)


class FailingQueue:
    """A queue with a failpoint behind each hint."""

    def __init__(self, queue: HintQueue, points: Failpoints) -> None:
        self._queue = queue
        self._points = points

    async def waiting(self) -> int | None:
        """As the port says."""
        return await self._queue.waiting()

    async def enqueue(
        self,
        account_ids: Sequence[AccountId],
        *,
        trigger: Trigger,
        correlation_id: str,
        source_id: SourceId | None = None,
    ) -> bool:
        """As the port says."""
        given = await self._queue.enqueue(
            account_ids, trigger=trigger, correlation_id=correlation_id, source_id=source_id
        )
        if given:
            self._points.hit(Point.ENQUEUED)
        return given

    async def enqueue_all(
        self, hints: Sequence[tuple[Trigger, SourceId, Sequence[AccountId]]], *, correlation_id: str
    ) -> bool:
        """As the port says, hint by hint."""
        for trigger, source_id, account_ids in hints:
            if not await self.enqueue(account_ids, trigger=trigger, correlation_id=correlation_id, source_id=source_id):
                return False
        return True


class FailingOutbox:
    """An outbox with a failpoint behind each read that found something."""

    def __init__(self, outbox: Outbox, points: Failpoints) -> None:
        self._outbox = outbox
        self._points = points

    async def take_shards(self, holder: UUID, *, lease_s: float) -> dict[int, int]:
        """As the port says."""
        return await self._outbox.take_shards(holder, lease_s=lease_s)

    async def give_back(self, holder: UUID) -> None:
        """As the port says."""
        await self._outbox.give_back(holder)

    async def pending(self, shards: Sequence[int], *, limit: int) -> Sequence[Pending]:
        """As the port says."""
        pending = await self._outbox.pending(shards, limit=limit)
        if pending:
            self._points.hit(Point.RELAY_READ)
        return pending

    async def marks(self) -> dict[int, int]:
        """As the port says."""
        return await self._outbox.marks()

    async def delivered(self, positions: Sequence[int], marks: Mapping[int, int]) -> None:
        """As the port says."""
        await self._outbox.delivered(positions, marks)

    async def requeue(self, span: timedelta, *, before: Requeued | None = None) -> Requeued:
        """As the port says."""
        return await self._outbox.requeue(span, before=before)

    async def requeue_after(
        self, reached: Mapping[int, Reached], *, otherwise: timedelta, before: Requeued | None = None
    ) -> Requeued:
        """As the port says."""
        return await self._outbox.requeue_after(reached, otherwise=otherwise, before=before)


class FailingStream:
    """A stream with a failpoint behind each batch that it was given."""

    def __init__(self, stream: EventStream, points: Failpoints) -> None:
        self._stream = stream
        self._points = points

    async def epoch(self) -> str | None:
        """As the port says."""
        return await self._stream.epoch()

    async def begin(self) -> str:
        """As the port says."""
        return await self._stream.begin()

    async def fence(self, fences: dict[int, int]) -> None:
        """As the port says."""
        await self._stream.fence(fences)

    async def reached(self, shards: Iterable[int]) -> dict[int, Reached]:
        """As the port says."""
        return await self._stream.reached(shards)

    async def publish(
        self, fences: Mapping[int, int], pending: Sequence[Pending], *, epoch: str, marks: Mapping[int, int]
    ) -> dict[int, int]:
        """As the port says."""
        taken = await self._stream.publish(fences, pending, epoch=epoch, marks=marks)
        self._points.hit(Point.RELAY_PUBLISHED)
        return taken
