"""The feed over a real database: nobody misses an event, whatever order transactions commit in."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from databases import AGE_WHAT_CAME_BEFORE
from feeding import Tails, happened, tell
from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.event_feed import Drawn, PostgresEventFeed
from tokenkeep.adapters.postgres.event_log import OUTBOX_CHANNEL, append_events
from tokenkeep.adapters.postgres.event_tail import EventTail, Follower
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep.adapters.postgres.notifications import Listener
from tokenkeep.domain.errors import CursorExpired
from tokenkeep.domain.event_feed import ORIGIN, FeedFilter, Place
from tokenkeep.domain.events import Event, EventType
from tokenkeep.domain.secret import Secret


async def read(tail: EventTail, environment: str, place: Place | None = None) -> list[Event]:
    with tail.following(FeedFilter(environment), place) as follower:
        return [one.event for one in await follower.read(500)]


async def until_told(follower: Follower, count: int) -> list[Event]:
    """So many events, however long they take."""
    told: list[Event] = []
    while len(told) < count:
        told += [one.event for one in await follower.read(500)]
        if len(told) < count:
            await follower.wait(10)
    return told


async def test_what_is_committed_is_read_at_once_when_nobody_else_writes(
    database: Database, tails: Tails, environment: str
) -> None:
    first = happened(environment)
    await tell(database, first)
    assert await read(await tails(), environment) == [first]


async def test_an_event_that_commits_late_with_a_lower_position_is_told_before_its_followers(
    database: Database, tails: Tails, environment: str
) -> None:
    tail = await tails()
    late, early = happened(environment), [happened(environment) for _ in range(3)]
    async with asyncio.timeout(30):
        with tail.following(FeedFilter(environment), None) as follower:
            async with database.transaction() as slow:
                await append_events(slow, [late])
                for event in early:
                    await tell(database, event)
                assert await follower.read(500) == []
                await tail.look()
                assert await follower.read(500) == []
            assert await until_told(follower, 4) == [late, *early]


async def test_an_event_that_is_taken_back_holds_nothing_up(database: Database, tails: Tails, environment: str) -> None:
    tail = await tails()
    kept = happened(environment)
    async with asyncio.timeout(30):
        with tail.following(FeedFilter(environment), None) as follower:
            async with database._engine.connect() as slow:
                await append_events(slow, [happened(environment)])
                await tell(database, kept)
                assert await follower.read(500) == []
                await slow.rollback()
            assert await until_told(follower, 1) == [kept]


async def test_now_is_behind_what_was_under_way_and_all_before_it(
    database: Database, tails: Tails, environment: str
) -> None:
    """Of a process that has looked at nothing before."""
    await tell(database, *[happened(environment) for _ in range(3)])
    tail = await tails()
    async with asyncio.timeout(30):
        with tail.following(FeedFilter(environment), None) as follower:
            async with database.transaction() as slow:
                await append_events(slow, [happened(environment)])
                skipping = asyncio.create_task(follower.skip())
                await asyncio.sleep(0.1)
            await skipping
            assert await follower.read(500) == []
            event = happened(environment)
            await tell(database, event)
            assert await until_told(follower, 1) == [event]


async def test_who_asks_while_somebody_writes_is_told_what_there_was_before(
    database: Database, tails: Tails, environment: str
) -> None:
    events = [happened(environment) for _ in range(3)]
    await tell(database, *events)
    tail = await tails()
    async with asyncio.timeout(30):
        async with database.transaction() as slow:
            await append_events(slow, [happened(f"{environment}-other")])
            reading = asyncio.create_task(read(tail, environment))
            await asyncio.sleep(0.1)
        assert await reading == events


async def test_a_look_that_was_given_up_is_nobody_elses(database: Database, environment: str) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    class Hanging(PostgresEventFeed):
        async def drawn(self) -> Drawn:
            begun.set()
            await gate.wait()
            return await super().drawn()

    event = happened(environment)
    await tell(database, event)
    tail = EventTail(Hanging(database))
    async with asyncio.timeout(30), tail._looking:
        first, second = (asyncio.create_task(tail.look()) for _ in range(2))
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await begun.wait()
        first.cancel()
        gate.set()
        await second
    assert tail.settled > 0


async def test_other_long_transactions_hold_nothing_back(database: Database, tails: Tails, environment: str) -> None:
    async with database.transaction() as other:
        await other.execute(text("CREATE TEMPORARY TABLE mine (a int)"))
        await other.execute(text("SELECT pg_current_xact_id()"))
        await other.execute(text("SELECT count(*) FROM events"))
        event = happened(environment)
        await tell(database, event)
        assert await read(await tails(), environment) == [event]


async def test_a_writer_that_falls_silent_holds_the_feed_no_longer_than_the_database_lets_it(
    feed_url: str, database: Database, tails: Tails, environment: str
) -> None:
    tail = await tails()
    event = happened(environment)
    async with asyncio.timeout(60):
        engine = create_engine(Secret(feed_url))
        with capture_logs() as log:
            async with engine.connect() as silent:
                await append_events(silent, [happened(environment)])
                await tell(database, event)
                with tail.following(FeedFilter(environment), None) as follower:
                    assert await until_told(follower, 1) == [event]
                await silent.invalidate()
        await engine.dispose()
    assert "event_feed_held_back" in {line["event"] for line in log}


async def test_a_burst_larger_than_what_is_held_in_memory_is_told_whole(
    database: Database, tails: Tails, environment: str
) -> None:
    tail = await tails()
    await tell(database, happened(environment))
    with tail.following(FeedFilter(environment), None) as follower, tail.following(FeedFilter("none"), None):
        assert len(await follower.read(500)) == 1
        events = [happened(environment) for _ in range(130)]
        await tell(database, *events)
        async with asyncio.timeout(30):
            told: list[Event] = []
            while len(told) < 130:
                await follower.wait(10)
                told += [one.event for one in await follower.read(9)]
        assert told == events


async def test_a_filter_that_leaves_out_many_goes_on_in_steps(
    database: Database, tails: Tails, environment: str
) -> None:
    rare = replace(happened(environment), type=EventType.DISABLED)
    await tell(database, *[happened(environment) for _ in range(45)], rare, *[happened(environment) for _ in range(45)])
    wanted = FeedFilter(environment, frozenset({EventType.DISABLED.value}))
    with (await tails()).following(wanted, None) as follower:
        told: list[Event] = []
        reads = 0
        while reads == 0 or follower.behind:
            told += [one.event for one in await follower.read(500)]
            reads += 1
    assert told == [rare]
    assert reads > 8
    everything = await read(await tails(), environment)
    assert follower.place is not None
    assert follower.place.check == everything[-1].id.bytes[-8:]


async def test_nothing_of_another_environment_is_told(database: Database, tails: Tails, environment: str) -> None:
    tail = await tails()
    with tail.following(FeedFilter(environment), None) as follower:
        assert await follower.read(10) == []
        mine = happened(environment)
        await tell(database, happened(f"{environment}-other"), mine, happened("elsewhere"))
        async with asyncio.timeout(30):
            assert await until_told(follower, 1) == [mine]


async def old(database: Database, event: Event) -> None:
    """As if an event had happened 31 days ago, and Redis had it."""
    async with database.transaction() as connection:
        facts = {"id": event.id, "span": timedelta(days=31)}
        await connection.execute(text("UPDATE events SET time = time - CAST(:span AS interval) WHERE id = :id"), facts)
        await connection.execute(
            text("DELETE FROM outbox WHERE position = (SELECT position FROM events WHERE id = :id)"), facts
        )
        await connection.execute(text(AGE_WHAT_CAME_BEFORE))


async def places(tail: EventTail, environment: str) -> list[Place]:
    with tail.following(FeedFilter(environment), None) as follower:
        return [one.place for one in await follower.read(500)]


async def test_a_cursor_before_what_was_deleted_is_refused_and_one_after_it_is_not(
    database: Database, tails: Tails, environment: str
) -> None:
    tail = await tails()
    now = text("SELECT now()")
    async with database.reading() as connection:
        present = (await connection.execute(now)).scalar_one()
    events = [replace(happened(environment), time=present) for _ in range(4)]
    await tell(database, *events)
    first, second, third, _ = await places(tail, environment)
    for event in events[:2]:
        await old(database, event)
    await keep_house(database, audit_days=0)
    for gone in (ORIGIN, first):
        with pytest.raises(CursorExpired):
            await read(tail, environment, gone)
    assert await read(tail, environment, second) == events[2:]
    assert await read(tail, environment, third) == events[3:]
    assert await read(tail, environment) == events[2:]


async def test_history_is_kept_for_as_long_as_is_wanted(database: Database, tails: Tails, environment: str) -> None:
    tail = await tails()
    event = happened(environment)
    await tell(database, event)
    await old(database, event)
    await keep_house(database, audit_days=0, history_days=3_650)
    assert [kept.id for kept in await read(tail, environment)] == [event.id]
    await keep_house(database, audit_days=0, history_days=7)
    assert await read(tail, environment) == []


async def test_an_environment_in_which_nothing_happens_for_a_month_keeps_its_cursors(
    database: Database, tails: Tails, environment: str
) -> None:
    tail = await tails()
    event = happened(environment)
    await tell(database, event)
    [place] = await places(tail, environment)
    await old(database, event)
    await tell(database, *[happened(f"{environment}-other") for _ in range(3)])
    await keep_house(database, audit_days=0)
    assert await read(tail, environment, place) == []
    with tail.following(FeedFilter(environment), None) as follower:
        assert await follower.read(10) == []
        assert follower.place == place
    with tail.following(FeedFilter(environment), None) as follower:
        await follower.skip()
        assert follower.place == place


async def test_a_cursor_of_a_history_that_was_taken_back_is_refused(
    database: Database, tails: Tails, environment: str
) -> None:
    tail = await tails()
    kept, lost = happened(environment), happened(environment)
    await tell(database, kept, lost)
    first, second = await places(tail, environment)
    async with database.transaction() as connection:
        await connection.execute(text("DELETE FROM events WHERE id = :id"), {"id": lost.id})
    with pytest.raises(CursorExpired):
        await read(tail, environment, second)
    assert await read(tail, environment, first) == []
    with pytest.raises(CursorExpired):
        await read(tail, environment, Place(first.position, second.check))
    with pytest.raises(CursorExpired):
        await read(tail, environment, Place(2**62, second.check))


async def test_a_database_that_went_back_is_noticed_by_those_who_follow(
    database: Database, tails: Tails, environment: str
) -> None:
    tail = await tails()
    events = [happened(environment) for _ in range(3)]
    await tell(database, *events)
    with tail.following(FeedFilter(environment), None) as follower:
        assert len(await follower.read(10)) == 3
        async with database.transaction() as connection:
            drawn = (await connection.execute(text("SELECT max(position) FROM events"))).scalar_one()
            await connection.execute(text("DELETE FROM events WHERE id = :id"), {"id": events[-1].id})
            await connection.execute(text("DELETE FROM outbox WHERE position = :position"), {"position": drawn})
            name = "pg_get_serial_sequence('events', 'position')"
            await connection.execute(text(f"SELECT setval(CAST({name} AS regclass), {drawn - 1})"))
        await tail.look()
        with pytest.raises(CursorExpired):
            await follower.read(10)
        other = happened(environment)
        await tell(database, other)
        with pytest.raises(CursorExpired):
            await follower.read(10)
        assert await read(tail, environment) == [*events[:2], other]


async def test_those_who_wait_cost_the_database_no_statement(
    database: Database, feed_url: str, environment: str
) -> None:
    looks = 0

    class Counted(PostgresEventFeed):
        async def drawn(self) -> Drawn:
            nonlocal looks
            looks += 1
            return await super().drawn()

    tail = EventTail(Counted(database), sweep_s=600)
    tail.start_watching()
    listener = Listener(Secret(feed_url), OUTBOX_CHANNEL, tail.notify)
    listener.start()
    arrived = 0
    everybody = asyncio.Event()

    async def wait_for_one() -> list[Event]:
        nonlocal arrived
        with tail.following(FeedFilter(environment), None) as follower:
            await follower.read(10)
            arrived += 1
            if arrived == 200:
                everybody.set()
            return await until_told(follower, 1)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        waiting = [group.create_task(wait_for_one()) for _ in range(200)]
        await everybody.wait()
        before = looks
        event = happened(environment)
        await tell(database, event)
    assert [task.result() for task in waiting] == [[event]] * 200
    assert looks - before <= 3
    await listener.stop()
    await tail.stop()


async def test_a_notification_that_is_missed_delays_and_loses_nothing(database: Database, environment: str) -> None:
    deaf = EventTail(PostgresEventFeed(database), sweep_s=0.2)
    deaf.start_watching()
    event = happened(environment)
    async with asyncio.timeout(30):
        with deaf.following(FeedFilter(environment), None) as follower:
            assert await follower.read(10) == []
            await tell(database, event)
            assert await until_told(follower, 1) == [event]
    await deaf.stop()
