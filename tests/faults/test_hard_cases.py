"""Faults that come together, or whose end is the question."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faults.house import House
from faults.judging import judged
from faults.mishaps import lose_answers
from faults.services import Nursery, eventually
from faults.street import Stores, Street, open_street
from tokenkeep.adapters.failpoints.spec import Point


@pytest.fixture
async def street(stores: Stores, nursery: Nursery, short_dir: Path) -> AsyncIterator[Street]:
    """One house, at a strict provider."""
    async with open_street(stores, nursery, short_dir, {Point.ANSWERED: "strict"}) as opened:
        yield opened


@pytest.fixture
async def house(street: Street) -> House:
    """Its two accounts are connected; no process runs yet."""
    [only] = street.houses
    await only.connect()
    return only


async def test_an_answer_in_the_spool_outlives_its_process_and_the_database(street: Street, house: House) -> None:
    await house.open("stop", also=f"{Point.SPOOLED.value}=kill")
    await house.make_due(most=1)
    await eventually(house.worker.is_stopped, house.said, within_s=20)
    os.kill(street.stores.postgres.pid, signal.SIGQUIT)
    house.worker.go_on()
    try:
        await eventually(lambda: not house.worker.is_alive(), house.said, within_s=20)
    finally:
        await asyncio.to_thread(street.stores.postgres.restart)

    await house.start("worker")
    await house.make_due()
    await house.recover()

    assert await judged(house) == []
    assert {one.state for one in (await house.stands()).values()} == {"active"}


async def test_a_strict_source_all_of_whose_accounts_are_in_doubt_is_tried_again(house: House) -> None:
    lose_answers(house, most=2)
    await house.start("scheduler")
    await house.start("worker")
    await house.make_due()

    await house.until_refreshed({}, within_s=60)

    assert await judged(house) == []
    assert {(one.state, one.reason) for one in (await house.stands()).values()} == {("disabled", "in_doubt")}


async def test_a_scheduler_whose_wall_clock_is_set_back_goes_on(house: House) -> None:
    await house.start("scheduler")
    await house.start("worker")
    await eventually(house.services["scheduler"].is_ready, house.said, within_s=20)
    await house.make_due()
    await house.until_refreshed({}, within_s=20)

    house.services["scheduler"].clock.step(-600)
    scheduler = house.services["scheduler"]
    await eventually(lambda: "wall_clock_stepped" in scheduler.said(), house.said, within_s=20)
    await house.recover()

    assert await judged(house) == []


async def test_a_relay_that_slept_through_a_loss_of_redis_tells_nothing_out_of_order(house: House) -> None:
    # The first time it reads what the accounts' creation told, the second time what their refresh did.
    await house.start("scheduler", f"{Point.RELAY_READ.value}=stop@2")
    await house.start("worker")
    await eventually(house.services["scheduler"].is_ready, house.said, within_s=20)
    await house.until_told()
    await house.make_due()
    await eventually(house.services["scheduler"].is_stopped, house.said, within_s=20)
    redis = house.road.foundation.redis
    await redis.flushall()
    await house.start("scheduler", name="another")
    async with asyncio.timeout(20):
        while not await redis.exists("tokenkeep:events:epoch"):  # noqa: ASYNC110 - another process sets it
            await asyncio.sleep(0.05)
    house.services["scheduler"].go_on()

    await house.recover()

    assert await judged(house) == []
