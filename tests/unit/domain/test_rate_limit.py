"""A token bucket that is one number."""

from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.domain.rate_limit import Rate, give_back, take

RATE = Rate(per_s=2, burst=4)
START = 1_000_000.0


def spend(full_at: float, count: int, *, now: float, rate: Rate = RATE) -> tuple[float, int]:
    """The bucket after so many requests at once, and how many of them were let through."""
    let = 0
    for _ in range(count):
        taken = take(full_at, rate, now=now)
        full_at, let = taken.full_at, let + (taken.retry_after_s is None)
    return full_at, let


def test_a_full_bucket_holds_its_burst_and_then_asks_to_wait() -> None:
    full_at = START
    for remaining in (3, 2, 1, 0):
        taken = take(full_at, RATE, now=START)
        assert (taken.remaining, taken.retry_after_s) == (remaining, None)
        full_at = taken.full_at
    refused = take(full_at, RATE, now=START)
    assert refused.retry_after_s == 0.5
    assert refused.reset_s == RATE.window_s == 2.0
    assert refused.full_at == full_at


def test_who_waits_as_long_as_he_is_told_gets_through() -> None:
    full_at, _ = spend(START, 10, now=START)
    refused = take(full_at, RATE, now=START + 0.3)
    assert refused.retry_after_s is not None
    assert take(full_at, RATE, now=START + 0.3 + refused.retry_after_s).retry_after_s is None


def test_a_request_that_does_not_count_leaves_the_bucket_as_it_was() -> None:
    full_at, _ = spend(START, 2, now=START)
    taken = take(full_at, RATE, now=START)
    assert give_back(taken.full_at, RATE) == full_at


def test_a_bucket_is_never_fuller_than_full() -> None:
    assert spend(START - 10_000, 100, now=START)[1] == RATE.burst
    assert take(give_back(START, RATE), RATE, now=START).remaining == RATE.burst - 1


@given(
    st.floats(0.01, 10_000),
    st.integers(1, 1_000),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), min_size=1, max_size=30),
    st.floats(0, 1e8),
)
def test_no_pattern_of_asking_gets_more_than_the_rate_allows(
    per_s: float, burst: int, asks: list[tuple[float, int]], start: float
) -> None:
    rate = Rate(per_s, burst)
    now, full_at, let = start, start, 0
    for pause, count in asks:
        now += pause
        full_at, through = spend(full_at, count, now=now, rate=rate)
        let += through
    assert let <= burst + (now - start) * per_s + 1
    assert let >= min(burst, sum(count for _, count in asks))
