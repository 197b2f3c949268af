"""Faults that meet a refresh by a hook: nothing is lost and nothing spent twice that a built-in exchange would have kept."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from callout_server import SECRET, CalloutServer
from faults.house import House
from faults.judging import judged
from faults.services import Nursery, eventually
from faults.street import Stores, open_street
from installed_packages import install_refreshers
from provider_client import BASIC
from token_server import Said
from tokenkeep.adapters.failpoints.spec import Point
from tokenkeep.domain.secret import Secret


@pytest.fixture
def hooked_nursery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nursery]:
    """Forks services that find an installed refresher."""
    install_refreshers(tmp_path, demo="faults.demo_refresher:refresh")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])]))
    warm = Nursery()
    yield warm
    warm.close()


@pytest.fixture
async def house(stores: Stores, hooked_nursery: Nursery, short_dir: Path) -> AsyncIterator[House]:
    """One house, at a strict provider, without accounts."""
    async with open_street(stores, hooked_nursery, short_dir, {Point.ANSWERED: "strict"}) as street:
        [only] = street.houses
        yield only


@pytest.fixture
async def callouts(house: House) -> AsyncIterator[CalloutServer]:
    """Refreshes at the house's provider for whoever asks with the right signature."""

    async def relayed(message: dict[str, Any]) -> Said:
        form = {"grant_type": "refresh_token", "refresh_token": message["refresh_token"]}
        try:
            answer = await house.http.post("/token", data=form, auth=BASIC)
        except httpx.HTTPError:
            return Said(drop=True)
        return Said(answer.status_code, answer.content)

    async with CalloutServer(answer=relayed) as started:
        yield started


@pytest.fixture(params=["refresher", "callout"])
async def hooked(request: pytest.FixtureRequest, house: House, callouts: CalloutServer) -> House:
    """Its two accounts are connected, at a source with a hook of either kind; no process runs yet."""
    options = {"refresher": {"refresher": "demo"}, "callout": {"refresh_callout_url": callouts.url}}
    await house.connect(callout_secret=Secret(SECRET), **options[request.param])
    return house


async def test_accounts_that_a_hook_refreshes_come_through_a_killed_worker(hooked: House) -> None:
    """The hook has answered; the answer dies with the worker. What was lost is called lost, and nobody else is touched."""
    await hooked.open("kill")
    await hooked.make_due(most=1)
    await eventually(lambda: not hooked.worker.is_alive(), hooked.said, within_s=20)
    await hooked.note_the_lost()
    await hooked.start("worker")
    await hooked.make_due()
    await hooked.recover()

    assert await judged(hooked) == []
    assert sorted((one.state, one.reason) for one in (await hooked.stands()).values()) == [
        ("active", None),
        ("disabled", "in_doubt"),
    ]


async def test_an_answer_of_a_hook_outlives_its_process_in_the_spool(hooked: House) -> None:
    await hooked.open("stop", also=f"{Point.SPOOLED.value}=kill")
    await hooked.make_due(most=1)
    await eventually(hooked.worker.is_stopped, hooked.said, within_s=20)
    await hooked.sql("ALTER TABLE credentials RENAME TO away")
    hooked.worker.go_on()
    await eventually(lambda: not hooked.worker.is_alive(), hooked.said, within_s=20)
    await hooked.sql("ALTER TABLE away RENAME TO credentials")

    await hooked.start("worker")
    await hooked.make_due()
    await hooked.recover()

    assert await judged(hooked) == []
    assert {one.state for one in (await hooked.stands()).values()} == {"active"}


async def test_a_worker_that_is_killed_while_its_hook_is_at_work_leaves_a_doubt(hooked: House) -> None:
    """What the hook does then is beyond anybody's reach: the token is quarantined and probed late, never sent meanwhile."""
    await hooked.open("stop")
    await hooked.make_due(most=1)
    await eventually(lambda: len(hooked.provider.presentations()) > 0, hooked.said, within_s=20)
    hooked.worker.kill()
    await eventually(lambda: not hooked.worker.is_alive(), hooked.said, within_s=20)
    await hooked.note_the_lost()
    await hooked.start("worker")
    await hooked.recover()

    assert await judged(hooked) == []
