"""One suite for the gate in memory and the gate in Redis."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from fakes import MemoryCustodyLocks
from tokenkeep.adapters.redis.custody_lock import RedisCustodyLocks
from tokenkeep.application.custody import Taken
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


async def take(locks: CustodyLocks, account_ids: list[AccountId], owner: str) -> list[AccountId]:
    return [one.account_id for one in await locks.take(account_ids, owner)]


async def test_what_is_free_is_taken_and_what_is_taken_is_not(locks: CustodyLocks) -> None:
    first, second, third = some(3)
    assert await take(locks, [first, second], "a") == [first, second]
    assert await take(locks, [second, third], "b") == [third]


async def test_only_its_owner_gives_a_lock_back(locks: CustodyLocks) -> None:
    [one] = some(1)
    await locks.take([one], "a")
    await locks.give_back([(one, "b", None)])
    assert await take(locks, [one], "b") == []
    await locks.give_back([(one, "a", None)])
    assert await take(locks, [one], "b") == [one]


async def test_nothing_asked_nothing_taken(locks: CustodyLocks) -> None:
    assert await locks.take([], "a") == []


async def test_the_mirror_shows_the_newest_generation_that_was_noted(locks: CustodyLocks) -> None:
    known, unknown = some(2)
    await locks.give_back([(known, "a", 4), (unknown, "a", None)])
    first, second = await locks.take([known, unknown], "b")
    assert first.mirrored is not None
    assert first.mirrored.generation == 4
    assert abs((datetime.now(UTC) - first.mirrored.written_at).total_seconds()) < 60
    assert second.mirrored is None


async def test_the_mirror_only_moves_forward_until_it_is_corrected(locks: CustodyLocks) -> None:
    [one] = some(1)
    for generation in (4, 3, 10):
        await locks.give_back([(one, "a", generation)])
    assert await generation_of(locks, one) == 10
    await locks.give_back([(one, "a", 9)])
    assert await generation_of(locks, one) == 10
    await locks.correct(one, 2)
    assert await generation_of(locks, one) == 2


async def generation_of(locks: CustodyLocks, account_id: AccountId) -> int | None:
    [taken] = await locks.take([account_id], "c")
    await locks.give_back([(account_id, "c", None)])
    return None if taken.mirrored is None else taken.mirrored.generation


async def test_a_lock_lives_for_as_long_as_it_is_renewed_and_by_its_owner_only(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        locks = RedisCustodyLocks(client, ttl=timedelta(minutes=1))
        mine, others = some(2)
        await locks.take([mine], "a")
        await locks.take([others], "b")
        for one in (mine, others):
            await client.pexpire(f"tokenkeep:custody:{one.hex}", 1_000)
        await locks.renew([(mine, "a"), (others, "a")])
        assert await client.pttl(f"tokenkeep:custody:{mine.hex}") > 50_000
        assert await client.pttl(f"tokenkeep:custody:{others.hex}") <= 1_000


async def test_the_gate_stands_open_when_redis_is_away() -> None:
    async with Redis(unix_socket_path="/nowhere.sock") as client:
        locks = RedisCustodyLocks(client, ttl=timedelta(minutes=1))
        ids = some(2)
        assert await locks.take(ids, "a") == [Taken(one) for one in ids]
        await locks.renew([(one, "a") for one in ids])
        await locks.give_back([(one, "a", 3) for one in ids])
        await locks.correct(ids[0], 2)
