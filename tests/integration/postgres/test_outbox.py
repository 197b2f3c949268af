"""What is committed late is told late, and never left out."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from fakes import MemoryEventStream
from feeding import happened, tell
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import append_events
from tokenkeep.adapters.postgres.outbox import PostgresOutbox
from tokenkeep.application.relay_events import Reached, RelayEvents, Requeued
from tokenkeep.domain.ids import new_id


@pytest.fixture
async def stream() -> MemoryEventStream:
    return MemoryEventStream()


@pytest.fixture
async def relay(database: Database, stream: MemoryEventStream) -> AsyncIterator[RelayEvents]:
    """A relay that has nothing left to tell of what other tests did."""
    started = RelayEvents(PostgresOutbox(database), stream, holder=new_id())
    await started.keep_shards()
    while await started():
        pass
    stream.published.clear()
    yield started
    await started.stop()


async def test_an_event_that_drew_an_earlier_position_and_commits_later_is_not_passed_over(
    database: Database, stream: MemoryEventStream, relay: RelayEvents, environment: str
) -> None:
    slow, quick = happened(environment), happened(environment)
    async with database.transaction() as connection:
        await append_events(connection, [slow])
        await tell(database, quick)
        assert await relay() == 1
        assert [one.id for one in stream.published] == [quick.id]
    assert await relay() == 1
    assert [one.id for one in stream.published] == [quick.id, slow.id]


async def test_subjects_keep_their_order_however_their_transactions_overlap(
    database: Database, stream: MemoryEventStream, relay: RelayEvents, environment: str
) -> None:
    first, second = uuid4(), uuid4()
    async with database.transaction() as slow:
        await append_events(slow, [happened(environment, 1, first)])
        async with database.transaction() as quick:
            await append_events(quick, [happened(environment, 1, second)])
        await relay()
        await append_events(slow, [happened(environment, 2, first)])
        await tell(database, happened(environment, 2, second))
        await relay()
    await tell(database, happened(environment, 3, first))
    await relay()
    told = {
        subject: [one.sequence for one in stream.published if one.subject == subject] for subject in (first, second)
    }
    assert told == {first: [1, 2, 3], second: [1, 2]}


async def test_what_was_taken_back_leaves_a_gap_that_holds_up_nobody(
    database: Database, stream: MemoryEventStream, relay: RelayEvents, environment: str
) -> None:
    async with database.transaction() as connection:
        taken_back = await connection.begin_nested()
        await append_events(connection, [happened(environment)])
        await taken_back.rollback()
    after = happened(environment)
    await tell(database, after)
    assert await relay() == 1
    assert [one.id for one in stream.published] == [after.id]


class PiecesOf(PostgresOutbox):
    """Five events a piece; before the piece of this number (from 1), something happens."""

    def __init__(self, database: Database, number: int, happens: Callable[[], Awaitable[None]]) -> None:
        super().__init__(database, piece=5)
        self._left = number
        self._happens = happens

    async def requeue(self, span: timedelta, *, before: Requeued | None = None) -> Requeued:
        self._left -= 1
        if self._left == 0:
            await self._happens()
        return await super().requeue(span, before=before)


async def twenty_told(database: Database, relay: RelayEvents, environment: str) -> UUID:
    subject = uuid4()
    for sequence in range(1, 21):
        await tell(database, replace(happened(environment, sequence, subject), time=datetime.now(UTC)))
    while await relay():
        pass
    return subject


def of(stream: MemoryEventStream, subject: UUID) -> list[int]:
    return [one.sequence for one in stream.published if one.subject == subject]


async def fail_at_the_third_piece(database: Database, relay: RelayEvents) -> None:
    async def fail() -> None:
        raise TimeoutError

    relay.outbox = PiecesOf(database, 3, fail)
    with pytest.raises(TimeoutError):
        await relay.keep_shards()


async def test_what_redis_has_forgotten_is_queued_in_pieces_and_told_in_order(
    database: Database, stream: MemoryEventStream, relay: RelayEvents, environment: str
) -> None:
    subject = await twenty_told(database, relay, environment)
    stream.forget()
    relay.outbox = PostgresOutbox(database, piece=5)
    await relay.keep_shards()
    while await relay():
        pass
    assert of(stream, subject) == list(range(1, 21))


async def test_nothing_is_told_before_all_is_queued_though_a_piece_failed(
    database: Database, stream: MemoryEventStream, relay: RelayEvents, environment: str
) -> None:
    subject = await twenty_told(database, relay, environment)
    stream.forget()

    replayed = relay.replayed
    await fail_at_the_third_piece(database, relay)
    assert relay.replayed - replayed == 10
    assert await relay() == 0
    assert not stream.published
    await relay.keep_shards()
    while await relay():
        pass
    assert of(stream, subject) == list(range(1, 21))


async def test_a_relay_that_had_queued_some_begins_anew_once_that_was_told_into_a_stream_that_is_lost_too(
    database: Database, stream: MemoryEventStream, relay: RelayEvents, environment: str
) -> None:
    subject = await twenty_told(database, relay, environment)
    stream.forget()

    await fail_at_the_third_piece(database, relay)
    other = RelayEvents(PostgresOutbox(database), stream, holder=new_id())
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE outbox_shards SET lease_until = NULL"))
    await other.keep_shards()
    while await other():
        pass
    await other.stop()
    stream.forget()
    async with database.transaction() as connection:  # as the first piece of another one's queueing does
        await connection.execute(text("DELETE FROM outbox_marks"))
    await relay.keep_shards()
    while await relay():
        pass
    assert of(stream, subject) == list(range(1, 21))


async def test_nothing_more_is_queued_behind_a_stream_that_another_relay_has_begun(
    database: Database, stream: MemoryEventStream, relay: RelayEvents, environment: str
) -> None:
    subject = await twenty_told(database, relay, environment)
    stream.forget()

    async def begun_by_another() -> None:
        other = RelayEvents(PostgresOutbox(database), stream, holder=new_id())
        await other.keep_shards()
        async with database.transaction() as connection:
            await connection.execute(text("UPDATE outbox_shards SET lease_until = NULL"))
        await other.keep_shards()
        while await other():
            pass
        await other.stop()

    relay.outbox = PiecesOf(database, 3, begun_by_another)
    await relay.keep_shards()
    await relay.keep_shards()
    while await relay():
        pass
    told = of(stream, subject)
    assert told[:20] == list(range(1, 21))
    assert len(told) <= 25  # the piece before which it happened


async def test_what_redis_has_lost_is_queued_in_pieces_and_its_loss_seen_until_the_last(
    database: Database, relay: RelayEvents, environment: str
) -> None:
    subject = await twenty_told(database, relay, environment)
    outbox = PostgresOutbox(database, piece=5)
    marks = await outbox.marks()
    lost = {shard: Reached(mark - 1, None) for shard, mark in marks.items()}
    piece = await outbox.requeue_after(lost, otherwise=timedelta(hours=1))
    assert await outbox.marks() == marks
    pieces = 1
    while not piece.is_all:
        pieces += 1
        piece = await outbox.requeue_after(lost, otherwise=timedelta(hours=1), before=piece)
    assert await outbox.marks() == {shard: mark - 1 for shard, mark in marks.items()}
    waiting = [
        one.event.sequence for one in await outbox.pending(list(marks), limit=1000) if one.event.subject == subject
    ]
    assert waiting == list(range(1, 21))
