"""Every step boundary of a refresh, every fault: afterwards nothing is lost that the provider did not make us lose.

Each point meets each fault once, points and faults meeting strict providers and those with a grace period in turn; with
`FAULTS=all` each meets both.
"""

import os
from pathlib import Path

import pytest

from faults.judging import judged
from faults.mishaps import MISHAPS, Mishap, strike
from faults.services import Nursery
from faults.street import Stores, open_street
from faults.terms import SCHEDULER_POINTS, WORKER_POINTS
from tokenkeep.adapters.failpoints.spec import Action, Point

KINDS = [("strict", "grace")]
if os.environ.get("FAULTS") == "all":
    KINDS.append(("grace", "strict"))


async def _survives(
    mishap: Mishap, points: dict[Point, str], stores: Stores, nursery: Nursery, directory: Path
) -> None:
    async with open_street(stores, nursery, directory, points) as street:
        await street.each(lambda house: house.connect())
        await street.each(lambda house: house.open(mishap.action))
        await strike(street, mishap)
        await street.each(lambda house: house.recover())
        await street.each(judged)
        wrong = street.wrong()
    assert not wrong, wrong


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
@pytest.mark.parametrize("mishap", MISHAPS, ids=lambda mishap: mishap.name)
async def test_no_grant_is_lost_at_any_step_of_a_worker(
    mishap: Mishap, kinds: tuple[str, str], stores: Stores, nursery: Nursery, short_dir: Path
) -> None:
    turn = MISHAPS.index(mishap)
    points = {point: kinds[(turn + place) % 2] for place, point in enumerate(WORKER_POINTS)}
    await _survives(mishap, points, stores, nursery, short_dir)


@pytest.mark.parametrize("mishap", [one for one in MISHAPS if one.action != Action.STOP], ids=lambda one: one.name)
async def test_no_grant_is_lost_at_any_step_of_a_scheduler(
    mishap: Mishap, stores: Stores, nursery: Nursery, short_dir: Path
) -> None:
    turn = MISHAPS.index(mishap)
    points = {point: KINDS[0][(turn + place) % 2] for place, point in enumerate(sorted(SCHEDULER_POINTS))}
    await _survives(mishap, points, stores, nursery, short_dir)
