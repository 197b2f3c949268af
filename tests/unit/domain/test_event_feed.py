"""The horizon of the feed, against every order in which transactions may draw positions and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.event_feed import Horizon, full_type, full_types

STEPS = st.lists(st.tuples(st.sampled_from(["draw", "end", "look"]), st.integers(0, 3)), max_size=60)


def test_nobody_writing_settles_everything() -> None:
    assert Horizon().seen(7, frozenset()) == Horizon(7)


def test_a_writer_that_was_there_holds_the_horizon_until_it_ends() -> None:
    horizon = Horizon(3).seen(7, frozenset({"a", "b"}))
    assert horizon.settled == 3
    assert horizon.seen(9, frozenset({"b", "c"})).settled == 3
    assert horizon.seen(9, frozenset({"c"})).settled == 7


def test_writers_that_came_later_hold_back_only_what_they_may_have_drawn() -> None:
    horizon = Horizon().seen(7, frozenset({"a"})).seen(9, frozenset({"b"}))
    assert horizon.settled == 7
    assert horizon.seen(12, frozenset({"c"})).settled == 9


@given(STEPS)
def test_nothing_below_the_horizon_is_ever_open(steps: list[tuple[str, int]]) -> None:
    horizon, drawn, number = Horizon(), 0, 0
    open_positions: dict[str, list[int]] = {}
    names: dict[int, str] = {}
    for step, slot in steps:
        match step:
            case "draw":
                if slot not in names:
                    number += 1
                    names[slot] = f"{slot}/{number}"
                drawn += 1
                open_positions.setdefault(names[slot], []).append(drawn)
            case "end":
                open_positions.pop(names.pop(slot, ""), None)
            case _:
                former = horizon.settled
                horizon = horizon.seen(drawn, frozenset(names.values()))
                assert horizon.settled >= former
        assert all(position > horizon.settled for positions in open_positions.values() for position in positions)
    for _ in range(2):
        horizon = horizon.seen(drawn, frozenset())
    assert horizon.settled == drawn


def test_a_type_may_be_named_in_short() -> None:
    assert full_type("account.disabled") == full_type("tokenkeep.account.disabled") == "tokenkeep.account.disabled"
    assert full_types([]) is None


@pytest.mark.parametrize("name", ["", "disabled", "account.unauthorized", "tokenkeep.", "ACCOUNT.DISABLED"])
def test_a_type_that_is_never_sent_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        full_type(name)
    assert refused.value.field == "type"
