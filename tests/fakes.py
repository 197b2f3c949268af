"""Adapters in memory that behave like the real ones; `tests/contract/` holds both to the same suite."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from tokenkeep.application.custody import Mirrored, Taken
from tokenkeep.application.refreshing import Claimed, DueAccount, Lane, StuckLease
from tokenkeep.application.relay_events import Pending, Reached, Requeued, StreamLost
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.events import Event, EventType
from tokenkeep.domain.ids import AccountId, EventId, IdKind, SourceId


class MemoryCustodyLocks:
    """The gate, without Redis. It has no clock: locks do not age."""

    def __init__(self) -> None:
        self.owners: dict[AccountId, str] = {}
        self.mirror: dict[AccountId, Mirrored] = {}

    async def take(self, account_ids: Sequence[AccountId], owner: str) -> list[Taken]:
        taken = []
        for one in account_ids:
            if one not in self.owners:
                self.owners[one] = owner
                taken.append(Taken(one, self.mirror.get(one)))
        return taken

    async def renew(self, held: Sequence[tuple[AccountId, str]]) -> None:
        assert held

    async def give_back(self, held: Sequence[tuple[AccountId, str, int | None]]) -> None:
        for one, owner, generation in held:
            if self.owners.get(one) == owner:
                del self.owners[one]
            former = self.mirror.get(one)
            if generation is not None and (former is None or former.generation < generation):
                await self.correct(one, generation)

    async def correct(self, account_id: AccountId, generation: int) -> None:
        self.mirror[account_id] = Mirrored(generation, datetime.now(UTC))


@dataclass(frozen=True)
class PendingInMemory:
    position: int
    shard: int
    event: Event


class MemoryEventStream:
    """The stream, without Redis."""

    def __init__(self) -> None:
        self.fences: dict[int, int] = {}
        self.published: list[Event] = []
        self.taken: list[Pending] = []
        self.name: str | None = None

    async def fence(self, fences: dict[int, int]) -> None:
        for shard, number in fences.items():
            self.fences[shard] = max(number, self.fences.get(shard, -1))

    async def epoch(self) -> str | None:
        return self.name

    async def begin(self) -> str:
        self.name = self.name or uuid4().hex
        return self.name

    async def reached(self, shards: Iterable[int]) -> dict[int, Reached]:
        found = {}
        for shard in shards:
            positions = [one.position for one in self.taken if one.shard == shard]
            found[shard] = Reached(len(positions), positions[-1] if positions else None)
        return found

    def forget(self) -> None:
        """Have nothing, as after a restart without a disk."""
        self.name = None
        for kept in (self.taken, self.published, self.fences):
            kept.clear()

    def go_back(self, count: int) -> None:
        """Have so many events fewer, as after a failover to a replica that lagged."""
        del self.taken[-count:]
        del self.published[-count:]

    async def publish(
        self, fences: Mapping[int, int], pending: Sequence[Pending], *, epoch: str, marks: Mapping[int, int]
    ) -> dict[int, int]:
        if self.name is None or epoch != self.name:
            raise StreamLost
        open_ = {one.shard for one in pending if fences[one.shard] >= self.fences.get(one.shard, -1)}
        there = await self.reached(open_)
        if any(there[shard].mark < marks.get(shard, 0) for shard in open_):
            raise StreamLost
        for one in pending:
            if one.shard in open_:
                self.fences[one.shard] = fences[one.shard]
                self.published.append(one.event)
                self.taken.append(one)
        return {shard: reached.mark for shard, reached in (await self.reached(open_)).items()}


@dataclass
class MemoryOutbox:
    """An outbox whose every shard is free."""

    waiting: list[PendingInMemory] = field(default_factory=list)
    sent: list[PendingInMemory] = field(default_factory=list)
    noted: dict[int, int] = field(default_factory=dict)
    fence: int = 1
    holder: UUID | None = None

    async def take_shards(self, holder: UUID, *, lease_s: float) -> dict[int, int]:
        assert lease_s > 0
        if self.holder != holder:
            self.fence += 1
        self.holder = holder
        return dict.fromkeys(range(4), self.fence)

    async def give_back(self, holder: UUID) -> None:
        if self.holder == holder:
            self.holder = None

    async def pending(self, shards: Sequence[int], *, limit: int) -> Sequence[PendingInMemory]:
        mine = [one for one in self.waiting if one.shard in shards]
        return sorted(mine, key=lambda one: one.position)[:limit]

    async def marks(self) -> dict[int, int]:
        return dict(self.noted)

    async def requeue_after(
        self, reached: Mapping[int, Reached], *, otherwise: timedelta, before: Requeued | None = None
    ) -> Requeued:
        assert otherwise > timedelta(0)
        assert before is None, "all is one piece"
        self.noted.update({shard: it.mark for shard, it in reached.items()})
        again = [one for one in self.sent if one.shard in reached and one.position > (reached[one.shard].position or 0)]
        self.sent = [one for one in self.sent if one not in again]
        self.waiting += again
        return Requeued(len(again), position=0, head=0, since={})

    async def delivered(self, positions: Sequence[int], marks: Mapping[int, int]) -> None:
        self.noted.update(marks)
        self.sent += [one for one in self.waiting if one.position in set(positions)]
        self.waiting = [one for one in self.waiting if one.position not in set(positions)]

    async def requeue(self, span: timedelta, *, before: Requeued | None = None) -> Requeued:
        assert span > timedelta(0)
        assert before is None, "all is one piece"
        self.noted.clear()
        again, self.sent = self.sent, []
        self.waiting += again
        return Requeued(len(again), position=0, head=0, since={})


@dataclass
class MemorySchedule:
    """A schedule of accounts that are due and not yet claimed."""

    due: list[DueAccount] = field(default_factory=list)
    claimed: dict[AccountId, DueAccount] = field(default_factory=dict)
    life_s: dict[AccountId, float | None] = field(default_factory=dict)
    waits: dict[AccountId, float] = field(default_factory=dict)

    async def claim_due(self, *, limit: int, trust: timedelta, paused: timedelta, lane: Lane = Lane.OLDEST) -> Claimed:
        assert trust > timedelta(0)
        assert paused > timedelta(0)
        self.due.sort(key=lambda one: one.next_refresh_at, reverse=lane is Lane.NEWEST)
        claimed, self.due = self.due[:limit], self.due[limit:]
        self.claimed.update({one.account_id: one for one in claimed})
        return Claimed(claimed, len(claimed))

    async def put_off(self, waits: Mapping[AccountId, float], *, binding: bool) -> None:
        assert not binding
        for one in waits:
            del self.claimed[one]
        self.waits.update(waits)

    async def lives(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, float | None]:
        return {one: self.life_s.get(one) for one in account_ids}

    async def unclaim(self, account_ids: Sequence[AccountId]) -> None:
        self.due = [self.claimed.pop(one) for one in account_ids] + self.due

    async def stuck(self, *, limit: int) -> list[StuckLease]:
        return [][:limit]

    async def run_out(self, *, limit: int) -> dict[AccountId, SourceId]:
        assert limit > 0
        return {}


@dataclass
class MemoryQueue:
    """A queue that remembers what was put into it."""

    messages: list[tuple[list[AccountId], Trigger, str]] = field(default_factory=list)
    sources: list[SourceId | None] = field(default_factory=list)
    room: int = 1_000_000

    async def waiting(self) -> int | None:
        return len(self.messages)

    async def enqueue(
        self,
        account_ids: Sequence[AccountId],
        *,
        trigger: Trigger,
        correlation_id: str,
        source_id: SourceId | None = None,
    ) -> bool:
        if len(self.messages) >= self.room:
            return False
        self.sources.append(source_id)
        self.messages.append((list(account_ids), trigger, correlation_id))
        return True

    async def enqueue_all(
        self, hints: Sequence[tuple[Trigger, SourceId, Sequence[AccountId]]], *, correlation_id: str
    ) -> bool:
        given = [
            await self.enqueue(ids, trigger=trigger, correlation_id=correlation_id, source_id=source)
            for trigger, source, ids in hints
        ]
        return all(given)


def an_event(subject: UUID, sequence: int) -> Event:
    return Event(
        id=EventId(uuid4()),
        type=EventType.REFRESHED,
        subject=subject,
        subject_kind=IdKind.ACCOUNT,
        environment="default",
        sequence=sequence,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        correlation_id="cor_1",
        data={"state": "active"},
    )
