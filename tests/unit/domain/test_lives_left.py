"""A herd is told from a running system by the lives that its tokens have left."""

import random
from datetime import timedelta

import pytest

from tokenkeep.domain.lives_left import LivesLeft

HOUR = timedelta(hours=1)
MANY = 2_000


def lives(*shares: float) -> LivesLeft:
    """Those of tokens that live for an hour."""
    noted = LivesLeft()
    for share in shares:
        noted.note(HOUR * share)
    return noted


def evenly(least: float, most: float, *, count: int = MANY) -> list[float]:
    dice = random.Random(4711)  # noqa: S311 - the same lives each time
    return [dice.uniform(least, most) for _ in range(count)]


@pytest.mark.parametrize("least", [0.0, 0.08])
def test_tokens_of_a_running_system_come_due_as_their_lives_end(least: float) -> None:
    """Though that system leaves none to its very end."""
    noted = lives(*evenly(least, 1.0))
    rooms = [noted.room(HOUR * share) for share in evenly(least, 1.0, count=500)]
    assert sum(rooms) / len(rooms) > 0.9


@pytest.mark.parametrize(
    "shares",
    [
        pytest.param([1.0] * MANY, id="all just given"),
        pytest.param(evenly(0.85, 0.9), id="all given at about the same time"),
        pytest.param(evenly(0.5, 1.0), id="none old"),
        pytest.param(evenly(0.0, 1.0, count=100), id="too few to tell"),
        pytest.param([*evenly(0.0, 0.3), *[-0.1] * MANY], id="the rest of a system that stood still"),
        pytest.param([], id="none"),
    ],
)
def test_others_are_spread(shares: list[float]) -> None:
    noted = lives(*shares)
    assert all(noted.room(HOUR * share) == 0 for share in evenly(0.0, 1.0, count=100))


def test_a_herd_amid_a_running_system_is_spread_and_the_system_is_not() -> None:
    noted = lives(*evenly(0.0, 1.0), *[0.5] * (MANY // 2))
    assert noted.room(HOUR * 0.5) == 0
    assert noted.room(HOUR * 0.2) == 1


def test_the_order_in_which_they_come_changes_nothing_of_what_is_counted() -> None:
    shares = evenly(0.0, 1.0)
    counted = [lives(*order) for order in (shares, sorted(shares), sorted(shares, reverse=True))]
    assert counted[0] == counted[1] == counted[2]


def test_a_life_longer_than_any_before_has_no_room_and_one_that_is_over_none() -> None:
    noted = lives(*evenly(0.0, 1.0))
    assert noted.room(24 * HOUR) == noted.room(-HOUR) == 0
