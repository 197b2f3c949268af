"""Limits of sources: who may go, who waits, and that waiting is nobody's failure."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from road import Road, open_road
from token_server import TokenServer, says
from tokenkeep.adapters.postgres.schedule import PostgresSchedule
from tokenkeep.domain.account import Health
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.source_window import SourceWindow
from tokenkeep_worker.wiring import wire as wire_worker


async def accounts(road: Road, source_id: SourceId, count: int) -> list[AccountId]:
    return [await road.account(source_id, f"g{n}") for n in range(count)]


async def waits(road: Road) -> list[float]:
    """In how many seconds those are looked at again that are still owed a refresh."""
    rows = await road.sql(
        "SELECT extract(epoch FROM due_at - clock_timestamp()) AS wait_s FROM leases"
        " WHERE next_refresh_at <= clock_timestamp() AND phase = 'idle' ORDER BY due_at"
    )
    return [float(row["wait_s"]) for row in rows]


async def test_no_more_go_than_the_rate_lets_and_the_others_come_one_after_the_other(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url, refresh_rate_per_min=6, refresh_burst=2)
    ids = await accounts(road, source_id, 6)
    assert len(await road.refresh(*ids)) == 2
    assert len(server.presented) == 2
    later = await waits(road)
    assert len(later) == 4
    assert all(second - first == pytest.approx(10.0, abs=0.05) for first, second in pairwise(later))
    assert await road.tick() == 0
    failed = await road.sql("SELECT 1 FROM leases WHERE consecutive_failures > 0 OR fence > 1")
    assert failed == []


async def test_a_rate_is_shared_by_all_workers(road: Road, server: TokenServer) -> None:
    ids = await accounts(road, await road.source(server.url, refresh_rate_per_min=1, refresh_burst=3), 6)
    other = wire_worker(road.foundation)
    await road.refresh(*ids[:3])
    await other.refresh(ids[3:], trigger=Trigger.SCHEDULE, correlation_id="cor_test")
    assert len(server.presented) == 3
    await other.refresh.drain()
    await other.close()


async def test_who_still_has_a_living_token_goes_before_who_has_lost_it(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url, refresh_rate_per_min=1, refresh_burst=2)
    run_out = await road.account(source_id, "lost")
    late = await road.account(source_id, "late", expires_in_s=900)
    soon = await road.account(source_id, "soon", expires_in_s=90)
    for one in (late, soon):
        await road.make_due(one)
    await road.refresh(run_out, late, soon)
    assert set(server.presented) == {"soon.1", "late.1"}


@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_is_honoured_for_the_whole_source_in_every_worker(
    road: Road, server: TokenServer, status: int
) -> None:
    source_id = await road.source(server.url)
    first, second, third = await accounts(road, source_id, 3)
    server.script.append(says(status, {"error": "slow_down"}, retry_after="120"))
    began = asyncio.get_running_loop().time()
    await road.refresh(first)
    await road.refreshing.refresh._admission.drain()
    other = wire_worker(road.foundation)
    await road.refresh(second)
    await other.refresh([third], trigger=Trigger.SCHEDULE, correlation_id="cor_test", source_id=source_id)
    assert server.presented == ["g0.1"]
    for one in (second, third):
        view = await road.view(one)
        assert (view.account.health, view.account.last_error) == (Health.HEALTHY, None)
    left = await waits(road)
    elapsed = asyncio.get_running_loop().time() - began
    assert len(left) == 2
    assert all(120 - elapsed - 0.5 <= wait_s <= 121 for wait_s in left)
    elsewhere = await road.account(await road.source(server.url), "elsewhere")
    await road.refresh(elsewhere)
    assert server.presented == ["g0.1", "elsewhere.1"]
    await other.refresh.drain()
    await other.close()


async def test_a_demand_at_a_source_that_is_held_is_told_until_when(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    first, second = await accounts(road, source_id, 2)
    server.script.append(says(429, {}, retry_after="40"))
    began = asyncio.get_running_loop().time()
    await road.refresh(first)
    await road.refresh(second, trigger=Trigger.DEMAND)
    [row] = await road.sql(
        "SELECT extract(epoch FROM not_before - clock_timestamp()) AS wait_s FROM leases WHERE account_id = :id",
        id=second,
    )
    elapsed = asyncio.get_running_loop().time() - began
    assert 40 - elapsed - 0.5 <= float(row["wait_s"]) <= 41
    assert server.presented == ["g0.1"]


async def test_a_wait_that_is_asked_for_with_an_error_of_one_account_holds_nobody_else(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    first, second = await accounts(road, source_id, 2)
    server.script.append(says(423, {"error": "account_locked"}, retry_after="1800"))
    await road.refresh(first)
    assert len(await road.refresh(second)) == 1
    assert server.presented == ["g0.1", "g1.1"]


async def test_where_one_goes_at_a_time_the_dead_are_not_left_behind_for_ever(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url, refresh_rate_per_min=60_000, refresh_burst=1)
    dead = await road.account(source_id, "dead")
    for number in range(4):
        living = await road.account(source_id, f"living{number}", expires_in_s=600)
        await road.make_due(living)
        await road.refresh(dead, living)
    assert "dead.1" in server.presented


async def test_a_hint_that_comes_late_gives_a_disabled_account_no_due_time(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    first, second = await accounts(road, source_id, 2)
    server.script.append(says(429, {}, retry_after="40"))
    await road.refresh(first)
    await road.sql("UPDATE leases SET demanded_at = clock_timestamp() WHERE account_id = :id", id=second)
    await road.toggle(second, on=False)
    await road.refresh(second, trigger=Trigger.DEMAND)
    assert await road.sql("SELECT 1 FROM leases WHERE account_id = :id AND due_at IS NOT NULL", id=second) == []


async def test_accounts_that_somebody_else_holds_leave_their_places_at_once(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url, refresh_concurrency=3)
    first, second, third = await accounts(road, source_id, 3)
    server.gate = asyncio.Event()
    under_way = []
    for batch, presented in (([first], 1), ([first, second], 2), ([third], 3)):
        under_way.append(asyncio.ensure_future(road.refresh(*batch, trigger=Trigger.DEMAND)))
        async with asyncio.timeout(10):
            while len(server.presented) < presented:  # noqa: ASYNC110 - the server tells of the first alone
                await asyncio.sleep(0.01)
    server.gate.set()
    assert [len(settled) for settled in await asyncio.gather(*under_way)] == [1, 1, 1]


async def test_a_throttled_source_rests_for_longer_each_time(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 3)
    server.script += [says(429, {}), says(429, {})]
    redis, held = road.foundation.redis, f"tokenkeep:limit:held:{source_id.hex}"
    await road.refresh(ids[0])
    await road.refreshing.refresh._admission.drain()
    await asyncio.sleep(await redis.pttl(held) / 1000)
    began = asyncio.get_running_loop().time()
    await road.refresh(ids[1])
    await road.refreshing.refresh._admission.drain()
    left_ms = await redis.pttl(held)
    elapsed_ms = (asyncio.get_running_loop().time() - began) * 1000
    assert left_ms <= 2_500
    assert left_ms + elapsed_ms > 2_400
    if not await redis.pexpire(held, 60_000):  # the third one comes in time, however slow the machine is
        assert elapsed_ms > 2_400
        await redis.set(held, "", px=60_000)
    await road.refresh(ids[2])
    assert len(server.presented) == 2


async def test_no_more_are_under_way_than_there_are_places_and_the_first_goes_to_who_waits(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url, refresh_concurrency=5)
    ids = await accounts(road, source_id, 8)
    server.gate = asyncio.Event()
    scheduled = asyncio.ensure_future(road.refresh(*ids[:7]))
    demanded = asyncio.ensure_future(road.refresh(ids[7], trigger=Trigger.DEMAND))
    async with asyncio.timeout(10):
        while len(server.presented) < 5:  # noqa: ASYNC110 - the server tells of the first alone
            await asyncio.sleep(0.01)
    server.gate.set()
    assert len(await demanded) == 1
    assert len(await scheduled) == 4
    assert await road.foundation.redis.keys("tokenkeep:limit:places:*") == []


async def test_a_demand_waits_for_its_turn_without_a_lease(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url, refresh_rate_per_min=20, refresh_burst=1)
    first, second = await accounts(road, source_id, 2)
    await road.refresh(first)
    waiting = asyncio.ensure_future(road.refresh(second, trigger=Trigger.DEMAND))
    await asyncio.sleep(0)
    assert await road.sql("SELECT 1 FROM leases WHERE phase <> 'idle'") == []
    assert len(await waiting) == 1


async def test_without_redis_each_worker_keeps_to_its_share(database_url: str, server: TokenServer) -> None:
    async with open_road(database_url, "redis://127.0.0.1:1/0") as road:
        source_id = await road.source(server.url, refresh_rate_per_min=4_800, refresh_burst=80)
        ids = await accounts(road, source_id, 30)
        await road.refresh(*ids)
        # Of the eight workers that there may be each has ten tokens a second, and begins with none.
        assert len(server.presented) < 3
        later = await waits(road)
        assert later == sorted(later)
        assert len(later) > 27
        unlimited = [await road.account(await road.source(server.url), "free")]
        assert len(await road.refresh(*unlimited)) == 1


async def test_a_place_of_a_killed_worker_comes_free(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url, refresh_concurrency=1)
    [one] = await accounts(road, source_id, 1)
    key = f"tokenkeep:limit:places:source:{source_id.hex}"
    await road.foundation.redis.zadd(key, {"of-the-dead:0": 1.0})
    assert len(await road.refresh(one)) == 1


async def test_an_hour_of_holding_leaves_nobody_failing(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    first, *others = await accounts(road, source_id, 5)
    server.script.append(says(429, {}, retry_after="3600"))
    await road.refresh(first)
    for _ in range(3):
        await road.sql("UPDATE leases SET due_at = now() WHERE due_at < now() + interval '2 hours'")
        await road.refresh(*others)
    assert [(await road.view(one)).account.health for one in others] == [Health.HEALTHY] * 4
    assert min(await waits(road)) > timedelta(minutes=59).total_seconds()


async def test_an_answer_is_kept_whatever_happens_to_what_is_noted_of_its_source(
    road: Road, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await road.account(await road.source(server.url))

    def fails(*_: object, **__: object) -> None:
        raise ArithmeticError

    monkeypatch.setattr(SourceWindow, "note", fails)
    await road.refresh(account_id)
    assert (await road.view(account_id)).generation == 2


async def test_a_batch_that_fails_leaves_nobody_behind_who_takes_a_place_later(
    road: Road, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, slow = await road.source(server.url), await road.source(server.url, refresh_rate_per_min=60, refresh_burst=1)
    first, second = await accounts(road, held, 2)
    others = [await road.account(slow, f"s{n}") for n in range(2)]
    server.script.append(says(429, {}, retry_after="40"))
    await road.refresh(first)

    async def fails(*_: object, **__: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(PostgresSchedule, "put_off", fails)
    with pytest.raises(OSError, match="no room"):
        await road.refresh(second, *others, trigger=Trigger.DEMAND)
    waiting = [one for one in asyncio.all_tasks() if "Admission" in getattr(one.get_coro(), "__qualname__", "")]
    assert waiting == []
    page, _ = road.foundation.metrics.render("")
    assert b"tokenkeep_refreshes_under_way 0.0" in page
    assert server.presented == ["g0.1"]
