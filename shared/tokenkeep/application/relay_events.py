"""The relay: carry events from the outbox to the Redis stream, in order for each subject."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.events import Event


class Pending(Protocol):
    """An event that waits in the outbox."""

    @property
    def position(self) -> int: ...

    @property
    def shard(self) -> int: ...

    @property
    def event(self) -> Event: ...


@dataclass(frozen=True, slots=True)
class Reached:
    """How far the stream is in a shard: how many events it has ever taken, its mark, and the position of the last one."""

    mark: int
    position: int | None


@dataclass(frozen=True, slots=True)
class Requeued:
    """How much a piece has queued again, and where the next one goes on: behind `position`, up to `head`."""

    queued: int
    position: int
    head: int
    since: Mapping[int, datetime]

    @property
    def is_all(self) -> bool:
        """Whether this was the last piece."""
        return self.position >= self.head


class Outbox(Protocol):
    """The relay's side of the outbox. `marks` are how many events of each shard Redis has been seen to have."""

    async def take_shards(self, holder: UUID, *, lease_s: float) -> dict[int, int]: ...

    async def give_back(self, holder: UUID) -> None: ...

    async def pending(self, shards: Sequence[int], *, limit: int) -> Sequence[Pending]: ...

    async def marks(self) -> dict[int, int]: ...

    async def delivered(self, positions: Sequence[int], marks: Mapping[int, int]) -> None: ...

    async def requeue(self, span: timedelta, *, before: Requeued | None = None) -> Requeued: ...

    async def requeue_after(
        self, reached: Mapping[int, Reached], *, otherwise: timedelta, before: Requeued | None = None
    ) -> Requeued: ...


class StreamLost(TokenkeepError):
    """Redis has forgotten the stream, or its end, since we last looked. Nothing was published."""


class EventStream(Protocol):
    """The Redis stream.

    `epoch` names the present stream; None: Redis has forgotten it. `begin` starts a new one, unless somebody just has, and
    returns its name. `reached` tells how far the stream is, by shards. `publish` raises `StreamLost` unless the stream is
    still the one of that name and as far as these marks: what was read from the outbox before a loss would come in the
    middle of what is told again. It returns the marks of the shards that it took; a younger relay has the others.
    """

    async def epoch(self) -> str | None: ...

    async def begin(self) -> str: ...

    async def fence(self, fences: dict[int, int]) -> None: ...

    async def reached(self, shards: Iterable[int]) -> dict[int, Reached]: ...

    async def publish(
        self, fences: Mapping[int, int], pending: Sequence[Pending], *, epoch: str, marks: Mapping[int, int]
    ) -> dict[int, int]: ...


@dataclass(slots=True)
class RelayEvents:
    """Publishes what is pending and forgets it once Redis has it.

    A crash between the two repeats events, with the same ids. Order along a subject holds because one relay at a time
    holds the subject's shard, and Redis itself refuses a relay whose number is old. Redis counts what it takes; where it
    has less than it had, it went back in time (a failover to a replica that lagged, a snapshot), and what it may have lost
    is published again.
    """

    outbox: Outbox
    stream: EventStream
    holder: UUID
    lease_s: float = 5.0
    batch: int = 500
    most_batches: int = 200
    shards: dict[int, int] = field(default_factory=dict)
    marks: dict[int, int] = field(default_factory=dict)
    epoch: str = ""
    replay: timedelta = timedelta(hours=24)
    replayed: int = 0
    leaving: Callable[[], bool] = bool

    async def keep_shards(self) -> None:
        """Renew our shards and take the free ones. Call it well within the lease.

        Redis learns the numbers before anything is published under them, so a former holder is refused from then on.
        """
        taken = await self.outbox.take_shards(self.holder, lease_s=self.lease_s)
        # Read before Redis is asked: what is published meanwhile must not look like a loss.
        marks = await self.outbox.marks()
        epoch = await self.stream.epoch()
        if epoch is None:
            self.shards = {}
            # Queued again before anything new is published, so that each subject's order holds; ids stay the same.
            if not await self._queue_all_again():
                return
            epoch = await self.stream.begin()
            self.marks = {}
        else:
            known = self._known(taken, marks)
            behind = await self._caught_up(taken, known)
            if behind is None:
                return
            self.marks = self._known(taken, known) | behind
        self.epoch = epoch
        if taken != self.shards:
            await self.stream.fence(taken)
        self.shards = taken

    async def __call__(self) -> int:
        """Publish everything that is pending in our shards; returns how many events that were."""
        published = 0
        for _ in range(self.most_batches):
            if self.leaving():
                break
            # Taken before the outbox is read: what is read then belongs to this stream, or to none.
            shards, epoch, marks = dict(self.shards), self.epoch, dict(self.marks)
            if not shards:
                break
            pending = await self.outbox.pending(list(shards), limit=self.batch)
            if not pending:
                break
            try:
                marks = await self.stream.publish(shards, pending, epoch=epoch, marks=marks)
            except StreamLost:
                break  # the next `keep_shards` begins anew
            refused = {one.shard for one in pending} - marks.keys()
            self.shards = {shard: fence for shard, fence in self.shards.items() if shard not in refused}
            self.marks |= marks
            done = [one.position for one in pending if one.shard not in refused]
            await self.outbox.delivered(done, marks)
            published += len(done)
            if len(pending) < self.batch:
                break
        return published

    def _known(self, taken: Iterable[int], marks: Mapping[int, int]) -> dict[int, int]:
        """The marks of these shards, with what we have published ourselves since those were read."""
        ours = {shard: mark for shard, mark in self.marks.items() if shard in self.shards}
        return {shard: max(marks.get(shard, 0), ours.get(shard, 0)) for shard in taken}

    async def _queue_all_again(self) -> bool:
        """Queue again what the stream had, a piece at a time; false: not all of it, for we are leaving.

        After a piece that failed the next call begins anew: what was queued may have been published since, into a stream
        that was lost as well. Once others have begun a stream it ends, for they had queued all: what we queued behind them
        would be told twice, and out of its order.
        """
        before: Requeued | None = None
        while before is None or not before.is_all:
            if self.leaving():
                return False
            if before is not None:
                await self.outbox.take_shards(self.holder, lease_s=self.lease_s)
                if await self.stream.epoch() is not None:
                    break
            before = await self.outbox.requeue(self.replay, before=before)
            self.replayed += before.queued
        return True

    async def _caught_up(self, shards: Mapping[int, int], marks: Mapping[int, int]) -> dict[int, int] | None:
        """Queue again what a stream that went back in time may have lost, a piece at a time; returns the marks that hold from now on.

        None: not all of it, for we are leaving, or another relay has taken one of the shards. Nothing is published of what
        went back before the marks are lowered, and the last piece does that.
        """
        there = await self.stream.reached(shards)
        behind = {shard: reached for shard, reached in there.items() if reached.mark < marks.get(shard, 0)}
        before: Requeued | None = None
        while behind and (before is None or not before.is_all):
            if self.leaving() or (before is not None and not await self._are_still_ours(shards)):
                return None
            before = await self.outbox.requeue_after(behind, otherwise=self.replay, before=before)
            self.replayed += before.queued
        return {shard: reached.mark for shard, reached in behind.items()}

    async def _are_still_ours(self, shards: Mapping[int, int]) -> bool:
        """Renew the lease; whether these shards are still ours, under these numbers."""
        return shards.items() <= (await self.outbox.take_shards(self.holder, lease_s=self.lease_s)).items()

    async def stop(self) -> None:
        """Let another relay go on at once."""
        self.shards = {}
        await self.outbox.give_back(self.holder)
