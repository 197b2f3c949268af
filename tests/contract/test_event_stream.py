"""One suite for the stream in memory and the stream in Redis."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import orjson
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from fakes import MemoryEventStream, PendingInMemory, an_event
from tokenkeep.adapters.redis.event_stream import STREAM, RedisEventStream
from tokenkeep.application.relay_events import EventStream, Reached, StreamLost
from tokenkeep.domain.ids import IdKind, format_id

Subject = tuple[EventStream, Callable[[], Awaitable[list[str]]]]


@pytest.fixture(params=["memory", "redis"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """A stream, and the ids of the events in it."""
    if request.param == "memory":
        memory = MemoryEventStream()
        await memory.begin()

        async def remembered() -> list[str]:
            return [format_id(IdKind.EVENT, event.id) for event in memory.published]

        yield memory, remembered
        return
    async with Redis.from_url(request.getfixturevalue("redis_url")) as client:
        await client.flushall()

        async def read() -> list[str]:
            entries: Any = await client.xrange(STREAM)
            assert all(orjson.loads(fields[b"event"])["id"] == fields[b"id"].decode() for _, fields in entries)
            return [fields[b"id"].decode() for _, fields in entries]

        stream = RedisEventStream(client)
        await stream.begin()
        yield stream, read


def pending(count: int, *, shard: int = 1) -> list[PendingInMemory]:
    account = uuid4()
    return [PendingInMemory(n, shard, an_event(account, n)) for n in range(1, count + 1)]


async def publish(
    stream: EventStream, fences: dict[int, int], events: list[PendingInMemory], marks: dict[int, int] | None = None
) -> dict[int, int]:
    epoch = await stream.epoch()
    assert epoch is not None
    return await stream.publish(fences, events, epoch=epoch, marks=marks or {})


def ids(events: list[PendingInMemory]) -> list[str]:
    return [format_id(IdKind.EVENT, one.event.id) for one in events]


async def test_events_are_appended_in_order(subject: Subject) -> None:
    stream, read = subject
    events = pending(5)
    assert await publish(stream, {1: 3}, events) == {1: 5}
    assert await read() == ids(events)


async def test_a_number_that_was_overtaken_is_refused(subject: Subject) -> None:
    stream, read = subject
    await stream.fence({1: 4})
    assert await publish(stream, {1: 3}, pending(2)) == {}
    assert await read() == []


async def test_a_shard_that_is_refused_does_not_hold_up_the_others(subject: Subject) -> None:
    stream, read = subject
    await stream.fence({1: 4})
    refused, good = pending(2, shard=1), pending(2, shard=2)
    assert await publish(stream, {1: 3, 2: 3}, [refused[0], good[0], refused[1], good[1]]) == {2: 2}
    assert await read() == ids(good)


async def test_publishing_under_a_number_makes_it_known(subject: Subject) -> None:
    stream, read = subject
    events = pending(1)
    assert await publish(stream, {1: 9}, events) == {1: 1}
    assert await publish(stream, {1: 8}, pending(1)) == {}
    assert await read() == ids(events)


async def test_nothing_is_published_on_a_stream_that_was_lost(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        real, memory = RedisEventStream(client), MemoryEventStream()
        former = {id(stream): await stream.begin() for stream in (real, memory)}
        await client.flushall()
        memory.name = None
        for stream in (real, memory):
            assert await stream.epoch() is None
            with pytest.raises(StreamLost):
                await stream.publish({1: 1}, pending(1), epoch=former[id(stream)], marks={})
            epoch = await stream.begin()
            assert await stream.epoch() == await stream.begin() == epoch
            assert await stream.publish({1: 1}, pending(1), epoch=epoch, marks={}) == {1: 1}


class OldRedis(Redis):
    """Refuses what Redis 6.2 does. So many times it has another's name when ours is set, and has forgotten it when it is read."""

    forgetting = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        execute: Any = super().execute_command
        if args[0] == "SET" and {"NX", "GET"} <= set(args):
            raise ResponseError("syntax error")
        if self.forgetting and args[0] == "SET":
            await execute("SET", args[1], "another's")
        if self.forgetting and args[0] == "GET":
            self.forgetting -= 1
            await execute("FLUSHALL")
        return await execute(*args, **options)


async def test_the_oldest_redis_that_is_taken_begins_a_stream(redis_url: str) -> None:
    client: Any = OldRedis.from_url(redis_url)
    async with client:
        await client.flushall()
        stream = RedisEventStream(client)
        first = await stream.begin()
        assert await stream.begin() == first
        client.forgetting = 1
        second = await stream.begin()
        assert await stream.epoch() == second != first
        client.forgetting = 100
        with pytest.raises(StreamLost):
            await stream.begin()


async def test_what_was_read_before_a_loss_is_not_published_into_the_stream_after_it(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        real, memory = RedisEventStream(client), MemoryEventStream()
        for stream in (real, memory):
            former = await stream.begin()
            await client.flushall()
            memory.name = None
            await stream.begin()
            with pytest.raises(StreamLost):
                await stream.publish({1: 1}, pending(1), epoch=former, marks={})


async def test_a_lower_number_never_replaces_a_higher_one(subject: Subject) -> None:
    stream, _ = subject
    await stream.fence({1: 9})
    await stream.fence({1: 2})
    assert await publish(stream, {1: 5}, pending(1)) == {}


async def test_it_tells_how_far_it_is_in_each_shard(subject: Subject) -> None:
    stream, _ = subject
    assert await stream.reached([1, 2]) == {1: Reached(0, None), 2: Reached(0, None)}
    await publish(stream, {1: 1}, pending(3))
    assert await publish(stream, {1: 1}, pending(2)) == {1: 5}
    assert await stream.reached([1, 2]) == {1: Reached(5, 2), 2: Reached(0, None)}
    assert await stream.reached([]) == {}


async def test_nothing_is_appended_to_a_stream_that_has_less_than_it_had(subject: Subject) -> None:
    stream, read = subject
    first, second = pending(2), pending(1, shard=2)
    assert await publish(stream, {1: 1}, first) == {1: 2}
    with pytest.raises(StreamLost):
        await publish(stream, {1: 1, 2: 1}, [*pending(1), *second], marks={1: 3, 2: 0})
    assert await read() == ids(first)
    assert await publish(stream, {1: 1, 2: 1}, second, marks={1: 3, 2: 0}) == {2: 1}
