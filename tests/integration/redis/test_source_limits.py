"""Limits that all workers share."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from tokenkeep.adapters.redis.connection import connect
from tokenkeep.adapters.redis.source_limits import RedisSourceLimits
from tokenkeep.application.admission_ports import Asked, Delay
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.rate_limit import Rate
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source_limits import Bound

SLOW = Rate(0.01, 10)
"""So slow that nothing comes back within a test."""


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    opened = connect(Secret(redis_url))
    await opened.flushall()
    yield opened
    await opened.aclose()


def limits(client: Redis) -> RedisSourceLimits:
    return RedisSourceLimits(client, worker=uuid4().hex, place_s=60.0)


def asked(*bounds: Bound, count: int = 1, demanded: bool = False) -> Asked:
    return Asked(SourceId(uuid4()), bounds, count, demanded, uuid4().hex)


async def taken(shared: RedisSourceLimits, one: Asked) -> int:
    allowed = await shared.take(one)
    assert allowed is not None
    return allowed.count


async def test_workers_that_ask_at_once_get_no_more_than_there_is(client: Redis) -> None:
    workers, bound = [limits(client) for _ in range(8)], Bound("b", SLOW)
    counts = await asyncio.gather(*(taken(one, asked(bound, count=3)) for one in workers))
    assert sum(counts) == 8  # of ten, two are kept for those that somebody waits for
    assert await taken(workers[0], asked(bound, count=3, demanded=True)) == 2


async def test_who_gets_nothing_is_told_when_to_ask_again(client: Redis) -> None:
    shared, bound = limits(client), Bound("b", Rate(0.1, 1))
    assert await taken(shared, asked(bound)) == 1
    allowed = await shared.take(asked(bound))
    assert allowed is not None
    assert (allowed.count, allowed.why) == (0, Delay.RATE)
    assert 0 < allowed.wait_s <= 10


async def test_the_narrowest_bound_decides_and_the_others_keep_what_was_not_used(client: Redis) -> None:
    shared = limits(client)
    own, common = Bound("source:1", Rate(0.01, 4)), Bound("provider:p", SLOW)
    assert await taken(shared, asked(own, common, count=9, demanded=True)) == 4
    assert await taken(shared, asked(common, count=9, demanded=True)) == 6


async def test_places_come_free_when_they_are_left_or_when_their_holder_is_taken_for_dead(client: Redis) -> None:
    shared, bound = limits(client), Bound("b", concurrency=3)
    first = asked(bound, count=3, demanded=True)
    assert await taken(shared, first) == 3
    full = await shared.take(asked(bound))
    assert full is not None
    assert (full.count, full.why) == (0, Delay.CONCURRENCY)
    await shared.leave([bound], [f"{first.places}:1"])
    assert await taken(shared, asked(bound, count=3, demanded=True)) == 1
    await client.zadd("tokenkeep:limit:places:b", {f"{first.places}:0": 1.0})
    assert await taken(shared, asked(bound, count=3, demanded=True)) == 1


async def test_a_hold_is_everybodys_and_only_grows(client: Redis) -> None:
    one, other = limits(client), limits(client)
    wanted = asked()
    await one.hold(wanted.source_id, 30.0)
    await other.hold(wanted.source_id, 5.0)
    held = await other.take(wanted)
    assert held is not None
    assert (held.count, held.why) == (0, Delay.HELD)
    assert 25 < held.wait_s <= 30
    assert await taken(other, asked()) == 1


async def test_workers_are_counted(client: Redis) -> None:
    one, other = limits(client), limits(client)
    assert await one.count_workers() == 1
    assert await other.count_workers() == 2
    assert await one.count_workers() == 2


async def test_without_redis_nothing_is_said_and_nothing_raised() -> None:
    nowhere = connect(Secret("redis://127.0.0.1:1/0"))
    shared, bound = limits(nowhere), Bound("b", SLOW, 3)
    assert await shared.take(asked(bound)) is None
    assert await shared.count_workers() is None
    await shared.hold(SourceId(uuid4()), 1.0)
    await shared.leave([bound], ["x:0"])
    await nowhere.aclose()


async def test_while_a_demand_waits_what_is_scheduled_leaves_the_next_token_to_it_however_small_the_bucket(
    client: Redis,
) -> None:
    shared, bound, source_id = limits(client), Bound("b", Rate(0.01, 1)), SourceId(uuid4())
    scheduled = Asked(source_id, (bound,), 1, False, uuid4().hex)  # noqa: FBT003 - one of its fields
    demanded = Asked(source_id, (bound,), 1, True, uuid4().hex)  # noqa: FBT003 - one of its fields
    assert await taken(shared, scheduled) == 1
    waits = await shared.take(demanded)
    assert waits is not None
    assert waits.count == 0
    assert await taken(shared, scheduled) == 0
    await client.delete("tokenkeep:limit:bucket:b")  # its next token is there
    assert await taken(shared, scheduled) == 0
    assert await taken(shared, demanded) == 1
    await client.delete("tokenkeep:limit:bucket:b")
    assert await taken(shared, scheduled) == 1


async def test_a_demand_that_waits_for_what_sources_share_goes_before_what_is_scheduled_of_another_one(
    client: Redis,
) -> None:
    shared, common = limits(client), Bound("provider:p", Rate(0.01, 1))
    mine, other = SourceId(uuid4()), SourceId(uuid4())
    scheduled = Asked(other, (common,), 1, False, uuid4().hex)  # noqa: FBT003 - one of its fields
    assert await taken(shared, scheduled) == 1
    assert await taken(shared, Asked(mine, (common,), 1, True, uuid4().hex)) == 0  # noqa: FBT003 - as above
    await client.delete("tokenkeep:limit:bucket:provider:p")  # its next token is there
    assert await taken(shared, scheduled) == 0
    assert await taken(shared, Asked(mine, (common,), 1, True, uuid4().hex)) == 1  # noqa: FBT003 - as above
