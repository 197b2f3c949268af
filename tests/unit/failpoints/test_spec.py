"""What TOKENKEEP_FAILPOINTS may say."""

import pytest

from tokenkeep.adapters import failpoints
from tokenkeep.adapters.failpoints.spec import Action, Armed, Point, parse
from tokenkeep.domain.errors import SettingsError


def test_a_point_is_armed_for_the_first_time_that_it_is_reached_unless_told_otherwise() -> None:
    assert parse("settle.uncommitted=kill@3, sent=pause:40,lock.taken=raise@2+,answered=stop") == (
        Armed(Point.SETTLE_UNCOMMITTED, Action.KILL, at=3),
        Armed(Point.SENT, Action.PAUSE, seconds=40.0),
        Armed(Point.LOCK_TAKEN, Action.RAISE, at=2, onwards=True),
        Armed(Point.ANSWERED, Action.STOP),
    )


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "sent",
        "sent=",
        "sent=explode",
        "sent=pause",
        "sent=pause:-1",
        "sent=kill:3",
        "sent=kill@0",
        "sent=kill,",
        "=kill",
    ],
)
def test_what_is_not_understood_is_refused_in_one_line_that_names_the_variable(spec: str) -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_FAILPOINTS: must be like [^\n]+$"):
        parse(spec)


def test_a_point_that_there_is_not_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_FAILPOINTS: there is no point settle\.halfway$"):
        parse("settle.halfway=kill")


def test_a_third_hit_is_the_third_alone_and_with_a_plus_all_from_then_on() -> None:
    once, onwards = Armed(Point.SENT, Action.KILL, at=3), Armed(Point.SENT, Action.KILL, at=3, onwards=True)
    assert [once.strikes(hit) for hit in range(1, 6)] == [False, False, True, False, False]
    assert [onwards.strikes(hit) for hit in range(1, 6)] == [False, False, True, True, True]


@pytest.mark.parametrize("point", Point)
def test_every_point_is_described(point: Point) -> None:
    assert failpoints.__doc__ is not None
    assert point.value in failpoints.__doc__
