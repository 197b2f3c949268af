"""How many refreshes of one source are under way at most."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_examples import granted
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.source_window import FIRST_LIMIT, SourceWindow
from tokenkeep.domain.verdict import NotSent, RateLimited, Unavailable, Verdict

SLOW: tuple[Verdict, ...] = (
    RateLimited(None, 429),
    RateLimited(timedelta(seconds=9), 429),
    Unavailable(FailureReason.TIMEOUT, maybe_spent=True),
    Unavailable(FailureReason.PROVIDER_5XX, maybe_spent=False, http_status=503),
    NotSent(FailureReason.TIMEOUT),
)


def full(most: int = 1_000) -> SourceWindow:
    window = SourceWindow(most)
    window.enter(window.room(0.0), 0.0)
    return window


def answer_all(window: SourceWindow, verdict: Verdict, *, now: float, took_s: float = 0.1) -> None:
    for _ in range(window.in_flight):
        window.note(verdict, took_s=took_s, now=now)
        window.leave()


def test_a_source_that_answers_soon_has_all_the_room_after_a_few_rounds() -> None:
    window, now = SourceWindow(1_000), 0.0
    rounds = 0
    while window.room(now) < 1_000:
        window.enter(window.room(now), now)
        now += 0.1
        answer_all(window, granted(), now=now)
        rounds += 1
    assert rounds <= 12
    assert window.room(now) == 1_000


def test_a_source_that_never_answered_gets_no_more_than_a_first_window_and_after_silence_none() -> None:
    window = full()
    assert window.in_flight == FIRST_LIMIT
    assert window.room(1.0) == 0
    assert window.room(3.0) == 0
    assert window.is_silent(3.0)


def test_what_answers_slowly_is_not_taken_for_silent() -> None:
    window = full()
    answer_all(window, granted(), now=1.5, took_s=1.5)
    window.enter(50, 2.0)
    assert not window.is_silent(6.0)
    assert window.is_silent(8.5)


def test_a_window_that_is_hardly_used_does_not_grow() -> None:
    window, now = SourceWindow(1_000), 0.0
    for _ in range(500):
        window.enter(1, now)
        now += 1
        answer_all(window, granted(), now=now)
    assert window.limit == FIRST_LIMIT


@pytest.mark.parametrize("verdict", SLOW)
def test_one_round_of_bad_answers_halves_the_window_once(verdict: Verdict) -> None:
    window = full()
    answer_all(window, verdict, now=0.1)
    assert window.limit == FIRST_LIMIT / 2


def test_the_errors_of_a_few_accounts_do_not_narrow_the_window_of_all() -> None:
    window, now, calls = SourceWindow(1_000), 0.0, 0
    for _ in range(50):
        window.enter(window.room(now), now)
        now += 0.1
        for _ in range(window.in_flight):
            calls += 1
            window.note(SLOW[3] if calls % 50 == 0 else granted(), took_s=0.1, now=now)
            window.leave()
    assert window.room(now) == 1_000


def test_faults_of_ours_say_nothing_of_the_endpoint() -> None:
    window = full()
    answer_all(window, NotSent(FailureReason.INTERNAL_ERROR), now=0.1)
    assert window.limit == FIRST_LIMIT


def test_those_that_somebody_waits_for_have_room_besides() -> None:
    window = full()
    assert window.room(0.1) == 0
    assert window.room(0.1, demanded=True) == FIRST_LIMIT // 4
    assert SourceWindow(1, limit=1.0, in_flight=1).room(0.1, demanded=True) == 2


def test_many_that_go_at_once_beside_one_that_takes_long_are_not_met_with_silence() -> None:
    window = SourceWindow(1_000)
    window.enter(1, 0.0)
    window.enter(50, 3.0)
    assert not window.is_silent(3.1)
    assert window.room(3.1) > 0
    assert window.is_silent(5.1)


def test_after_an_outage_that_many_probes_have_seen_a_source_soon_has_the_room_of_before_by_half() -> None:
    window, now = SourceWindow(1_000, limit=1_000.0), 0.0
    window.enter(1_000, now)
    answer_all(window, NotSent(FailureReason.TIMEOUT), now=20.0, took_s=20.0)
    for probe in range(30):
        now = 120.0 * (probe + 1)
        window.enter(1, now)
        answer_all(window, NotSent(FailureReason.NETWORK_ERROR), now=now + 1, took_s=1.0)
    assert window.room(now) == 1
    rounds = 0
    while window.room(now) < 500:
        window.enter(window.room(now), now)
        now += 1.0
        answer_all(window, granted(), now=now, took_s=1.0)
        rounds += 1
    assert rounds <= 25


@given(
    steps=st.lists(st.tuples(st.sampled_from([granted(), *SLOW]), st.floats(0, 30), st.booleans()), max_size=60),
    most=st.integers(1, 500),
)
def test_a_window_is_never_shut_for_good_nor_wider_than_it_may_be(
    steps: list[tuple[Verdict, float, bool]], most: int
) -> None:
    window, now = SourceWindow(most), 0.0
    for verdict, took_s, demanded in steps:
        room = window.room(now, demanded=demanded)
        assert 0 <= room <= most + max(2, most // 4)
        window.enter(room, now)
        now += took_s
        answer_all(window, verdict, now=now, took_s=took_s)
    assert window.in_flight == 0
    assert window.room(now) >= 1
    per_s = window.per_s()
    assert per_s is None or per_s > 0
