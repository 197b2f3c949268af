"""What is committed late is told late, and never left out."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from fakes import MemoryEventStream
from feeding import happened, tell
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import append_events
from tokenkeep.adapters.postgres.outbox import PostgresOutbox
from tokenkeep.application.relay_events import RelayEvents
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
