"""Workers that die between the credential store and the database, and a store that goes away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faults.house import House
from faults.judging import judged
from faults.services import Nursery, eventually
from faults.street import Stores, open_street
from tokenkeep.adapters.failpoints.spec import Point


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the credentials lie."""
    home = tmp_path / "credentials"
    home.mkdir()
    return home


async def connected(house: House, home: Path) -> House:
    """Two accounts, whose credentials have come to the store."""
    await house.connect()
    while await house.road.refreshing.move():
        pass
    assert len(lying(home)) == 2
    return house


def lying(home: Path) -> list[Path]:
    return [path for path in home.glob("*/*") if path.name != "owner"]


@pytest.fixture(params=[Point.SETTLE_UNCOMMITTED, Point.SETTLE_COMMITTED])
async def dying(
    request: pytest.FixtureRequest, stores: Stores, nursery: Nursery, short_dir: Path, home: Path
) -> AsyncIterator[House]:
    case = {request.param: "strict"}
    async with open_street(stores, nursery, short_dir, case, credential_store=f"directory:{home}") as street:
        yield await connected(street.houses[0], home)


async def test_what_was_stored_and_never_committed_is_lost_as_an_answer_is_and_nothing_else(dying: House) -> None:
    await dying.open("kill")
    await dying.make_due(most=1)
    await eventually(lambda: not dying.worker.is_alive(), dying.said, within_s=20)
    await dying.note_the_lost()
    await dying.start("worker")
    await dying.make_due()
    await dying.recover()

    assert await judged(dying) == []


@pytest.fixture
async def answered(stores: Stores, nursery: Nursery, short_dir: Path, home: Path) -> AsyncIterator[House]:
    case = {Point.ANSWERED: "strict"}
    async with open_street(stores, nursery, short_dir, case, credential_store=f"directory:{home}") as street:
        yield await connected(street.houses[0], home)


async def test_an_answer_outlives_its_process_and_the_absence_of_the_store(answered: House, home: Path) -> None:
    await answered.open("stop", also=f"{Point.SPOOLED.value}=kill")
    await answered.make_due(most=1)
    await eventually(answered.worker.is_stopped, answered.said, within_s=20)
    away = home.with_name("unmounted")
    await asyncio.to_thread(home.rename, away)
    answered.worker.go_on()
    await eventually(lambda: not answered.worker.is_alive(), answered.said, within_s=20)

    await answered.start("worker")  # it has the spool to drain, and nowhere to put what is in it
    await eventually(lambda: "spool_not_drained" in answered.worker.said(), answered.said, within_s=20)
    await asyncio.to_thread(away.rename, home)
    await answered.make_due()
    await answered.recover()

    assert await judged(answered) == []
    assert {one.state for one in (await answered.stands()).values()} == {"active"}
