"""Where accounts wait that can't go now, how long a throttled source rests, and who goes first."""

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.need import by_need
from tokenkeep.domain.throttling import Throttling
from tokenkeep.domain.waiting_line import REACH_S, WaitingLine

ONE = AccountId(UUID(int=1))


def ids(count: int) -> list[AccountId]:
    return [AccountId(UUID(int=(number + 1) * 7919)) for number in range(count)]


def test_a_short_line_moves_at_the_sources_pace_after_its_wait() -> None:
    line = WaitingLine()
    assert line.places(ids(3), now=100.0, wait_s=10.0, per_s=2.0) == [10.5, 11.0, 11.5]
    assert line.places(ids(2), now=101.0, wait_s=0.0, per_s=2.0) == [11.0, 11.5]


def test_a_line_that_nobody_stands_in_begins_anew() -> None:
    line = WaitingLine()
    line.places(ids(3), now=0.0, wait_s=0.0, per_s=1.0)
    assert line.places(ids(1), now=50.0, wait_s=0.0, per_s=1.0) == [1.0]


def test_a_hundred_thousand_are_looked_at_again_within_minutes_and_evenly() -> None:
    line = WaitingLine()
    waits = [
        wait
        for start in range(200)
        for wait in line.places(ids(50 * 200)[start * 50 :][:50], now=0.0, wait_s=2.0, per_s=10.0)
    ]
    assert max(waits) <= 2 + REACH_S + 0.1
    per_minute = [sum(2 + 60 * n < wait <= 62 + 60 * n for wait in waits) for n in range(5)]
    assert all(abs(count - 2_000) < 700 for count in per_minute)


@given(
    calls=st.lists(
        st.tuples(st.integers(1, 40), st.floats(0, 100), st.floats(0, 3_600), st.floats(0.01, 1e5)), max_size=20
    )
)
def test_nobody_is_looked_at_before_his_source_may_go_or_long_after(
    calls: list[tuple[int, float, float, float]],
) -> None:
    line, now = WaitingLine(), 0.0
    for count, passed, wait_s, per_s in calls:
        now += passed
        waits = line.places(ids(count), now=now, wait_s=wait_s, per_s=per_s)
        assert all(wait_s - 1e-6 <= wait <= wait_s + REACH_S + 1e-6 for wait in waits)


def test_each_further_word_makes_a_source_rest_longer_up_to_a_minute_and_calm_is_forgiven() -> None:
    throttling, now = Throttling(), 1_000.0
    spans = []
    for _ in range(9):
        span = throttling.slow_down(ONE, now, sent_at=now - 0.1)
        assert span is not None
        spans.append(span)
        now += span + 0.2
    assert spans == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert throttling.slow_down(ONE, now + 500, sent_at=now + 499) == 1


def test_calls_that_were_sent_before_a_rest_was_over_say_nothing_new() -> None:
    throttling = Throttling()
    assert throttling.slow_down(ONE, 10.0, sent_at=9.0) == 1
    assert [throttling.slow_down(ONE, 10.1, sent_at=9.0) for _ in range(5)] == [None] * 5
    throttling.rest(10.0, 60.0)
    assert throttling.slow_down(ONE, 50.0, sent_at=49.0) is None


def test_a_limit_that_one_account_alone_runs_into_holds_its_source_once() -> None:
    throttling, now = Throttling(), 1_000.0
    others = ids(9)
    for _ in range(50):
        if not throttling.is_its_own(ONE):
            throttling.slow_down(ONE, now, sent_at=now - 0.1)
        now = max(now, throttling.until) + 5.0
        for other in others:
            throttling.note_granted(other, sent_at=now)
    assert (throttling.until, throttling.rests) == (1_001.0, 1)


def test_a_limit_that_several_run_into_holds_their_source_for_longer_each_time() -> None:
    throttling, now, two = Throttling(), 1_000.0, ids(2)
    spans = []
    for number in range(8):
        account_id = two[number % 2]
        assert not throttling.is_its_own(account_id)
        spans.append(throttling.slow_down(account_id, now, sent_at=now - 0.1))
        now = throttling.until + 0.2
        throttling.note_granted(ONE, sent_at=now)
    assert spans == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_grant_that_was_asked_for_before_the_rest_was_over_clears_nobody_else() -> None:
    throttling = Throttling()
    throttling.slow_down(ONE, 10.0, sent_at=9.9)
    for sent_at in (9.9, 10.5):
        throttling.note_granted(ids(1)[0], sent_at=sent_at)
    assert not throttling.is_its_own(ONE)
    throttling.note_granted(ONE, sent_at=12.0)
    assert not throttling.is_its_own(ONE)


def test_living_tokens_go_first_soonest_to_expire_and_every_fourth_place_is_for_the_dead() -> None:
    living, dead, endless = ([AccountId(uuid4()) for _ in range(6)] for _ in range(3))
    lives: dict[AccountId, float | None] = {one: 10.0 * (number + 1) for number, one in enumerate(living)}
    lives |= {one: -10.0 * (number + 1) for number, one in enumerate(dead)}
    lives |= dict.fromkeys(endless)
    order = by_need([*endless, *reversed(living), *dead], lives)
    assert order[:8] == [*living[:3], dead[5], *living[3:6], dead[4]]
    assert order[8:12] == [dead[3], dead[2], dead[1], dead[0]]
    assert order[12:] == endless


def test_where_one_goes_at_a_time_every_fourth_is_still_one_of_the_dead() -> None:
    living, dead = ([AccountId(uuid4()) for _ in range(6)] for _ in range(2))
    lives: dict[AccountId, float | None] = {one: 10.0 if one in living else -10.0 for one in [*living, *dead]}
    first = [by_need([*living, *dead], lives, before=went)[0] for went in range(8)]
    assert [one in dead for one in first] == [False, False, False, True] * 2


@given(lives=st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=60))
def test_everybody_has_one_place_in_the_order(lives: list[float | None]) -> None:
    accounts = ids(len(lives))
    assert sorted(by_need(accounts, dict(zip(accounts, lives, strict=True)))) == sorted(accounts)
