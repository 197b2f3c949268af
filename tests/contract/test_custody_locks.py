"""One suite for the gate in memory and the gate in Redis."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from fakes import MemoryCustodyLocks
from tokenkeep.adapters.redis.custody_lock import RedisCustodyLocks
from tokenkeep.application.ports import CustodyLocks
from tokenkeep.domain.ids import AccountId


@pytest.fixture(params=["memory", "redis"])
async def locks(request: pytest.FixtureRequest) -> AsyncIterator[CustodyLocks]:
    if request.param == "memory":
        yield MemoryCustodyLocks()
        return
    async with Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield RedisCustodyLocks(client, ttl=timedelta(minutes=1))


def some(count: int) -> list[AccountId]:
    return [AccountId(uuid4()) for _ in range(count)]


async def test_what_is_free_is_taken_and_what_is_taken_is_not(locks: CustodyLocks) -> None:
    first, second, third = some(3)
    assert await locks.take([first, second], "a") == [first, second]
    assert await locks.take([second, third], "b") == [third]


async def test_only_its_owner_gives_a_lock_back(locks: CustodyLocks) -> None:
    [one] = some(1)
    await locks.take([one], "a")
    await locks.give_back([(one, "b")])
    assert await locks.take([one], "b") == []
    await locks.give_back([(one, "a")])
    assert await locks.take([one], "b") == [one]


async def test_nothing_asked_nothing_taken(locks: CustodyLocks) -> None:
    assert await locks.take([], "a") == []


async def test_the_gate_stands_open_when_redis_is_away() -> None:
    async with Redis(unix_socket_path="/nowhere.sock") as client:
        locks = RedisCustodyLocks(client, ttl=timedelta(minutes=1))
        ids = some(2)
        assert await locks.take(ids, "a") == ids
        await locks.give_back([(one, "a") for one in ids])
