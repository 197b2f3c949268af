"""Ticks and relays over fakes."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from fakes import MemoryEventStream, MemoryOutbox, MemoryQueue, MemorySchedule, PendingInMemory, an_event
from tokenkeep.application.emit_due_refreshes import EmitDueRefreshes
from tokenkeep.application.refreshing import DueAccount
from tokenkeep.application.relay_events import RelayEvents
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, SourceId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOURCE = SourceId(uuid4())


def due(count: int) -> list[DueAccount]:
    return [DueAccount(AccountId(uuid4()), SOURCE, NOW + timedelta(seconds=n)) for n in range(count)]


def emit(schedule: MemorySchedule, queue: MemoryQueue, *, most_batches: int = 50) -> EmitDueRefreshes:
    return EmitDueRefreshes(
        schedule, queue, claim_batch=10, message_batch=4, trust=timedelta(minutes=1), most_batches=most_batches
    )


async def test_a_tick_goes_on_until_nothing_is_due() -> None:
    schedule, queue = MemorySchedule(due(35)), MemoryQueue()
    assert await emit(schedule, queue)(correlation_id="cor_1") == 35
    assert schedule.due == []
    assert sum(len(ids) for ids, _, _ in queue.messages) == 35
    assert {(trigger, cause) for _, trigger, cause in queue.messages} == {(Trigger.SCHEDULE, "cor_1")}
    assert max(len(ids) for ids, _, _ in queue.messages) == 4


async def test_a_tick_is_bounded_so_that_others_get_their_turn() -> None:
    schedule = MemorySchedule(due(100))
    assert await emit(schedule, MemoryQueue(), most_batches=2)(correlation_id="cor_1") == 20
    assert len(schedule.due) == 80


async def test_a_scheduler_that_is_to_end_hints_at_what_it_has_claimed_and_claims_no_more() -> None:
    schedule, queue = MemorySchedule(due(100)), MemoryQueue()
    leaving = replace(emit(schedule, queue), leaving=lambda: bool(queue.messages))

    assert await leaving(correlation_id="cor_1") == 10
    assert len(schedule.due) == 90
    assert sum(len(ids) for ids, _, _ in queue.messages) == 10


async def test_what_the_queue_does_not_surely_take_is_due_again_at_once() -> None:
    schedule, queue = MemorySchedule(due(10)), MemoryQueue(room=1)
    assert await emit(schedule, queue)(correlation_id="cor_1") == 0
    assert len(schedule.due) == 10


async def test_no_more_is_claimed_than_the_queue_has_room_for() -> None:
    schedule, queue = MemorySchedule(due(100)), MemoryQueue()
    bounded = replace(emit(schedule, queue), most_waiting=8)
    emitted = await bounded(correlation_id="cor_1")
    assert len(queue.messages) == 4  # half of the room is others'
    assert len(schedule.waits) == 100 - emitted
    queue.messages *= 2
    assert await bounded(correlation_id="cor_1") == 0
    assert schedule.due == []


async def test_what_a_source_has_beyond_its_share_stands_in_line_and_others_have_their_own() -> None:
    crowd, elsewhere = due(60), SourceId(uuid4())
    few = [DueAccount(AccountId(uuid4()), elsewhere, NOW + timedelta(seconds=1_000 + n)) for n in range(3)]
    schedule, queue = MemorySchedule([*crowd, *few]), MemoryQueue()
    await replace(emit(schedule, queue), most_waiting=8)(correlation_id="cor_1")
    hinted = {one for ids, _, _ in queue.messages for one in ids}
    assert hinted >= {one.account_id for one in few}
    assert len(queue.messages) == 4 + 1
    assert len(schedule.waits) == 63 - len(hinted)
    # The newest were looked at right after the oldest, not behind all of the crowd.
    assert queue.sources.index(elsewhere) <= 4
    assert min(schedule.waits.values()) >= 1


async def test_what_fell_due_last_gets_its_turn_however_little_room_each_tick_finds() -> None:
    # An old backlog of many sources, each a message of its own, fills the room with the first claim.
    old = [DueAccount(AccountId(uuid4()), SourceId(uuid4()), NOW + timedelta(seconds=n)) for n in range(100)]
    fresh = DueAccount(AccountId(uuid4()), SOURCE, NOW + timedelta(hours=5))
    schedule, queue = MemorySchedule([*old, fresh]), MemoryQueue()
    bounded = replace(emit(schedule, queue), most_waiting=4)
    for _ in range(2):
        queue.messages.clear()
        await bounded(correlation_id="cor_1")
    assert fresh.account_id in schedule.claimed


async def test_of_those_that_fell_due_together_the_living_go_and_the_dead_wait() -> None:
    crowd = due(10)
    dying, dead = crowd[:5], crowd[5:]
    lives = {one.account_id: 60.0 + n for n, one in enumerate(dying)} | {one.account_id: -5.0 for one in dead}
    schedule, queue = MemorySchedule(crowd, life_s=dict(lives)), MemoryQueue()
    await replace(emit(schedule, queue), most_waiting=2)(correlation_id="cor_1")
    [(hinted, _, _)] = queue.messages
    assert set(hinted) >= {one.account_id for one in dying[:3]}
    assert len(set(hinted) & {one.account_id for one in dead}) == 1


@dataclass
class NoQueue(MemoryQueue):
    async def waiting(self) -> None:
        return None


async def test_nothing_is_claimed_while_the_queue_cannot_be_had() -> None:
    schedule = MemorySchedule(due(10))
    assert await emit(schedule, NoQueue())(correlation_id="cor_1") == 0
    assert len(schedule.due) == 10


def waiting(count: int) -> list[PendingInMemory]:
    subjects = [uuid4() for _ in range(3)]
    return [PendingInMemory(n, n % 3, an_event(subjects[n % 3], n // 3 + 1)) for n in range(count)]


async def test_a_relay_publishes_everything_and_forgets_it() -> None:
    outbox, stream = MemoryOutbox(waiting(25)), MemoryEventStream()
    relay = RelayEvents(outbox, stream, holder=uuid4(), batch=10)
    await relay.keep_shards()
    assert await relay() == 25
    assert outbox.waiting == []
    for subject in {event.subject for event in stream.published}:
        sequences = [event.sequence for event in stream.published if event.subject == subject]
        assert sequences == sorted(sequences)


async def test_a_relay_without_shards_publishes_nothing() -> None:
    outbox, stream = MemoryOutbox(waiting(3)), MemoryEventStream()
    assert await RelayEvents(outbox, stream, holder=uuid4())() == 0
    assert stream.published == []


async def test_a_relay_that_was_overtaken_leaves_its_events_to_its_successor() -> None:
    outbox, stream = MemoryOutbox(waiting(6)), MemoryEventStream()
    old, young = (RelayEvents(outbox, stream, holder=uuid4()) for _ in range(2))
    await old.keep_shards()
    await young.keep_shards()
    assert await old() == 0
    assert len(outbox.waiting) == 6
    assert await young() == 6


async def test_a_relay_that_stops_hands_over_at_once() -> None:
    outbox = MemoryOutbox()
    relay = RelayEvents(outbox, MemoryEventStream(), holder=uuid4())
    await relay.keep_shards()
    await relay.stop()
    assert outbox.holder is None


async def test_what_a_stream_that_went_back_in_time_has_lost_is_published_again_before_anything_new() -> None:
    outbox, stream = MemoryOutbox(waiting(9)), MemoryEventStream()
    relay = RelayEvents(outbox, stream, holder=uuid4())
    await relay.keep_shards()
    assert await relay() == 9
    stream.go_back(4)
    subject = uuid4()
    outbox.waiting.append(PendingInMemory(10, 0, an_event(subject, 1)))
    assert await relay() == 0
    await relay.keep_shards()
    assert relay.replayed == 4
    assert await relay() == 5
    assert [one.position for one in stream.taken[-5:]] == [5, 6, 7, 8, 10]


async def test_a_loss_shows_even_where_nothing_new_is_to_be_told() -> None:
    outbox, stream = MemoryOutbox(waiting(3)), MemoryEventStream()
    relay = RelayEvents(outbox, stream, holder=uuid4())
    await relay.keep_shards()
    assert await relay() == 3
    stream.go_back(1)
    await relay.keep_shards()
    assert await relay() == 1
    assert len(stream.published) == 3
    await relay.keep_shards()
    assert relay.replayed == 1


async def test_a_successor_sees_the_loss_of_what_another_relay_published() -> None:
    outbox, stream = MemoryOutbox(waiting(3)), MemoryEventStream()
    former = RelayEvents(outbox, stream, holder=uuid4())
    await former.keep_shards()
    await former()
    await former.stop()
    stream.go_back(2)
    successor = RelayEvents(outbox, stream, holder=uuid4())
    await successor.keep_shards()
    assert await successor() == 2


@dataclass
class PublishedMeanwhile(MemoryOutbox):
    """The relay's other task publishes after the marks were read."""

    relay: list[RelayEvents] = field(default_factory=list)

    async def marks(self) -> dict[int, int]:
        read = await super().marks()
        for relay in self.relay:
            assert await relay() == 1
        return read


async def test_a_loss_shows_though_shards_were_kept_while_the_lost_event_was_published() -> None:
    outbox, stream = PublishedMeanwhile(), MemoryEventStream()
    relay = RelayEvents(outbox, stream, holder=uuid4())
    await relay.keep_shards()
    first, second, third = (PendingInMemory(number, 0, an_event(uuid4(), 1)) for number in (1, 2, 3))
    outbox.waiting.append(first)
    assert await relay() == 1
    await relay.keep_shards()

    outbox.waiting.append(second)
    outbox.relay = [relay]
    await relay.keep_shards()  # the second is published between its two looks, at the table and at Redis
    outbox.relay = []
    assert stream.published == [first.event, second.event]

    stream.go_back(1)  # a failover to a replica that has not got the second
    outbox.waiting.append(third)
    await relay()  # woken before shards are kept again
    await relay.keep_shards()
    await relay()
    assert second.event in stream.published
