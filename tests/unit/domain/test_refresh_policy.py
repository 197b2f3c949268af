"""When to refresh, and how long to wait after a failure."""

from datetime import timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from domain_examples import NOW
from tokenkeep.domain.refresh_policy import RefreshPolicy, spread

POLICY = RefreshPolicy()
JITTER = st.floats(0, 1, exclude_max=True)


@given(life_s=st.integers(1, 400 * 86_400), jitter=JITTER)
def test_a_token_is_refreshed_in_the_second_half_of_its_life(life_s: int, jitter: float) -> None:
    life = timedelta(seconds=life_s)
    due = POLICY.due_at(obtained_at=NOW, expires_at=NOW + life, jitter=jitter)
    assert NOW + life / 2 <= due < NOW + life


def test_an_hours_token_is_refreshed_fifteen_minutes_ahead_or_earlier() -> None:
    due = POLICY.due_at(obtained_at=NOW, expires_at=NOW + timedelta(hours=1), jitter=0)
    assert due == NOW + timedelta(minutes=45)


def test_a_short_life_keeps_two_minutes_of_lead_where_it_allows() -> None:
    due = POLICY.due_at(obtained_at=NOW, expires_at=NOW + timedelta(minutes=7), jitter=0)
    assert due == NOW + timedelta(minutes=5)


@given(life_s=st.integers(1, 400 * 86_400))
def test_however_short_a_life_there_is_room_for_jitter(life_s: int) -> None:
    life = timedelta(seconds=life_s)
    early, late = (POLICY.due_at(obtained_at=NOW, expires_at=NOW + life, jitter=jitter) for jitter in (0.99, 0.0))
    assert late - early > life * 0.19


def test_a_token_that_was_born_dead_is_due_at_once() -> None:
    due = POLICY.due_at(obtained_at=NOW, expires_at=NOW - timedelta(minutes=5), jitter=0.5)
    assert due <= NOW


@given(failures=st.integers(0, 10_000), jitter=JITTER)
def test_a_backoff_is_bounded_at_both_ends(failures: int, jitter: float) -> None:
    assert POLICY.shortest_wait <= POLICY.backoff(failures, jitter=jitter) <= POLICY.longest_backoff


@given(seconds=st.one_of(st.none(), st.integers(-10, 10**9)))
def test_a_retry_after_is_bounded_at_both_ends(seconds: int | None) -> None:
    asked = None if seconds is None else timedelta(seconds=seconds)
    assert timedelta(seconds=1) <= POLICY.throttle(asked) <= timedelta(hours=1)


def test_the_spread_is_even_and_the_same_when_asked_again() -> None:
    ids = [uuid4() for _ in range(4_000)]
    shares = [spread(one, 1) for one in ids]
    assert shares == [spread(one, 1) for one in ids]
    assert all(0 <= share < 1 for share in shares)
    for tenth in range(10):
        inside = sum(tenth / 10 <= share < (tenth + 1) / 10 for share in shares)
        assert 250 < inside < 550


def test_a_run_of_failures_is_told_at_the_third_or_when_half_the_lead_is_gone() -> None:
    facts = {"obtained_at": NOW, "expires_at": NOW + timedelta(hours=1)}
    early, late = NOW + timedelta(minutes=46), NOW + timedelta(minutes=53)
    assert not POLICY.is_failing(failures=2, now=early, **facts)
    assert POLICY.is_failing(failures=3, now=early, **facts)
    assert POLICY.is_failing(failures=1, now=late, **facts)
    assert not POLICY.is_failing(failures=0, now=late, **facts)
