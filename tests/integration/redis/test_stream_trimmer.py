"""The stream is trimmed in a real Valkey, and not under those who read it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tokenkeep.adapters.redis.event_stream import STREAM
from tokenkeep.adapters.redis.stream_trimmer import StreamTrimmer
from tokenkeep.domain.stream_trimming import Keeping

OLD_DAYS = 10
COUNT = 1_000
NODE = 100
"""How many entries go or stay together; trimming in whole nodes leaves up to so many more."""


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    """A Valkey with so many entries of ten days ago, and as many of now."""
    async with Redis.from_url(redis_url) as client:
        await client.flushall()
        seconds, _ = await client.time()
        old_ms = (seconds - OLD_DAYS * 86_400) * 1000
        async with client.pipeline(transaction=False) as pipeline:
            for number in range(COUNT):
                pipeline.xadd(STREAM, {"n": number}, id=f"{old_ms}-{number}")
            for number in range(COUNT, 2 * COUNT):
                pipeline.xadd(STREAM, {"n": number})
            await pipeline.execute()
        yield client


async def left(redis: "Redis") -> list[int]:
    entries: Any = await redis.xrange(STREAM)
    return [int(fields[b"n"]) for _, fields in entries]


async def take(redis: "Redis", count: int, *, acknowledge: bool = True) -> list[int]:
    """As a consumer of the group `billing` that reads so many."""
    answer: Any = await redis.xreadgroup("billing", "me", {STREAM: ">"}, count=count)
    entries = answer[0][1] if answer else []
    if acknowledge and entries:
        await redis.xack(STREAM, "billing", *[entry_id for entry_id, _ in entries])
    return [int(fields[b"n"]) for _, fields in entries]


async def test_old_entries_go_and_young_ones_stay(redis: "Redis") -> None:
    assert await StreamTrimmer(redis, Keeping())() == COUNT
    assert await left(redis) == list(range(COUNT, 2 * COUNT))
    assert await StreamTrimmer(redis, Keeping())() == 0


async def test_a_stream_that_is_not_there_is_no_trouble(redis: "Redis") -> None:
    await redis.delete(STREAM)
    assert await StreamTrimmer(redis, Keeping())() == 0


async def test_nothing_is_taken_away_that_a_live_group_has_not_read(redis: "Redis") -> None:
    await redis.xgroup_create(STREAM, "billing", id="0")
    trim = StreamTrimmer(redis, Keeping())
    seen = await take(redis, 550)
    with capture_logs() as log:
        await trim()
        assert (await left(redis))[0] in range(551 - NODE, 551)
        while batch := await take(redis, 300):
            seen += batch
            await trim()
    assert seen == list(range(2 * COUNT))
    assert await left(redis) == list(range(COUNT, 2 * COUNT))
    assert log == []


async def test_what_was_read_and_not_acknowledged_stays(redis: "Redis") -> None:
    await redis.xgroup_create(STREAM, "billing", id="0")
    await take(redis, 300)
    await take(redis, 1, acknowledge=False)
    await take(redis, 2 * COUNT)
    await StreamTrimmer(redis, Keeping())()
    assert (await left(redis))[0] in range(301 - NODE, 301)
    [pending] = await redis.xpending_range(STREAM, "billing", "-", "+", 10)
    assert await redis.xrange(STREAM, pending["message_id"], pending["message_id"])


async def test_a_group_without_consumers_holds_nothing(redis: "Redis") -> None:
    await redis.xgroup_create(STREAM, "forgotten", id="0")
    assert await StreamTrimmer(redis, Keeping())() == COUNT


@pytest.mark.parametrize(
    "keeping",
    [Keeping(age=timedelta(days=1), longest=timedelta(days=9)), Keeping(entries=COUNT)],
    ids=["age", "length"],
)
async def test_beyond_the_bound_it_goes_whoever_wants_it_and_the_log_says_so(redis: "Redis", keeping: Keeping) -> None:
    await redis.xgroup_create(STREAM, "billing", id="0")
    await take(redis, 10)
    lost: list[str] = []
    with capture_logs() as log:
        trim = StreamTrimmer(redis, keeping, lost=lambda: lost.append("some"))
        assert await trim() in range(COUNT - NODE, COUNT + 1)
    [line] = log
    assert lost == ["some"]
    assert (line["event"], line["group"]) == ("stream_trimmed_unread", "billing")
    assert (await take(redis, 1))[0] >= COUNT - NODE


async def test_a_loss_is_told_of_once_though_the_entry_stays_pending(redis: "Redis") -> None:
    await redis.xgroup_create(STREAM, "billing", id="0")
    await take(redis, 1, acknowledge=False)
    await take(redis, 2 * COUNT)
    lost: list[str] = []
    trim = StreamTrimmer(redis, Keeping(entries=COUNT), lost=lambda: lost.append("some"))
    assert await trim() > 0
    for number in range(3 * NODE):
        await redis.xadd(STREAM, {"n": number})
    await take(redis, COUNT)
    assert await trim() > 0
    assert lost == ["some"]
    assert (await redis.xpending(STREAM, "billing"))["pending"] == 1
    assert await trim.unread() == {"billing": timedelta(0)}


async def test_a_long_backlog_goes_in_one_round(redis: "Redis") -> None:
    seconds, _ = await redis.time()
    await redis.delete(STREAM)
    old_ms = (seconds - OLD_DAYS * 86_400) * 1000
    async with redis.pipeline(transaction=False) as pipeline:
        for number in range(25_000):
            pipeline.xadd(STREAM, {"n": number}, id=f"{old_ms}-{number}")
        await pipeline.execute()
    assert await StreamTrimmer(redis, Keeping())() == 25_000
