"""The relay: carry events from the outbox to the Redis stream, in order for each subject."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
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


class Outbox(Protocol):
    """The relay's side of the outbox."""

    async def take_shards(self, holder: UUID, *, lease_s: float) -> dict[int, int]: ...

    async def give_back(self, holder: UUID) -> None: ...

    async def pending(self, shards: Sequence[int], *, limit: int) -> Sequence[Pending]: ...

    async def delivered(self, positions: Sequence[int]) -> None: ...

    async def requeue(self, span: timedelta) -> int: ...


class StreamLost(TokenkeepError):
    """Redis has forgotten the stream since we last looked. Nothing was published."""


class EventStream(Protocol):
    """The Redis stream. `publish` returns the shards whose fencing number was refused: a younger relay has them.

    `epoch` names the present stream; None: Redis has forgotten it. `begin` starts a new one, unless somebody just has, and
    returns its name. `publish` raises `StreamLost` unless the stream is still the one of that name: what was read from the
    outbox before a loss would come in the middle of what is told again.
    """

    async def epoch(self) -> str | None: ...

    async def begin(self) -> str: ...

    async def fence(self, fences: dict[int, int]) -> None: ...

    async def publish(self, fences: dict[int, int], pending: Sequence[Pending], *, epoch: str) -> set[int]: ...


@dataclass(slots=True)
class RelayEvents:
    """Publishes what is pending and forgets it once Redis has it.

    A crash between the two repeats events, with the same ids. Order along a subject holds because one relay at a time
    holds the subject's shard, and Redis itself refuses a relay whose number is old.
    """

    outbox: Outbox
    stream: EventStream
    holder: UUID
    lease_s: float = 5.0
    batch: int = 500
    most_batches: int = 200
    shards: dict[int, int] = field(default_factory=dict)
    epoch: str = ""
    replay: timedelta = timedelta(hours=24)
    replayed: int = 0

    async def keep_shards(self) -> None:
        """Renew our shards and take the free ones. Call it well within the lease.

        Redis learns the numbers before anything is published under them, so a former holder is refused from then on.
        """
        taken = await self.outbox.take_shards(self.holder, lease_s=self.lease_s)
        epoch = await self.stream.epoch()
        if epoch is None:
            # Queued again before anything new is published, so that each subject's order holds; ids stay the same.
            self.replayed = await self.outbox.requeue(self.replay)
            self.shards = {}
            epoch = await self.stream.begin()
        self.epoch = epoch
        if taken != self.shards:
            await self.stream.fence(taken)
        self.shards = taken

    async def __call__(self) -> int:
        """Publish everything that is pending in our shards; returns how many events that were."""
        published = 0
        for _ in range(self.most_batches):
            # Taken before the outbox is read: what is read then belongs to this stream, or to none.
            shards, epoch = dict(self.shards), self.epoch
            if not shards:
                break
            pending = await self.outbox.pending(list(shards), limit=self.batch)
            if not pending:
                break
            try:
                refused = await self.stream.publish(shards, pending, epoch=epoch)
            except StreamLost:
                break  # the next `keep_shards` begins anew
            self.shards = {shard: fence for shard, fence in self.shards.items() if shard not in refused}
            done = [one.position for one in pending if one.shard not in refused]
            await self.outbox.delivered(done)
            published += len(done)
            if len(pending) < self.batch:
                break
        return published

    async def stop(self) -> None:
        """Let another relay go on at once."""
        self.shards = {}
        await self.outbox.give_back(self.holder)
