"""How long a provider is left alone between two tries to have a grant revoked, and when that ends."""

from datetime import timedelta
from itertools import pairwise

import pytest

from tokenkeep.domain.revocation_waits import LONGEST_KEPT, MOST_TRIES, is_given_up, rest_after, wait_after

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("tries", "least", "most"),
    [(1, MINUTE, MINUTE), (2, 3 * MINUTE, 3 * MINUTE), (4, 27 * MINUTE, 27 * MINUTE), (9, 12 * HOUR, 12 * HOUR)],
)
def test_waits_grow_and_are_spread(tries: int, least: timedelta, most: timedelta) -> None:
    assert wait_after(tries, retry_after=None, jitter=0.0) == least * 0.75
    assert wait_after(tries, retry_after=None, jitter=0.5) == least
    assert wait_after(tries, retry_after=None, jitter=0.999) < most * 1.25


def test_no_jitter_makes_a_later_wait_the_shorter_one_before_the_longest_is_reached() -> None:
    for tries, following in pairwise(range(1, 8)):
        longest = wait_after(tries, retry_after=None, jitter=0.999)
        assert longest < wait_after(following, retry_after=None, jitter=0.0)


def test_a_provider_that_asks_for_more_gets_it_and_one_that_asks_for_less_does_not() -> None:
    assert wait_after(1, retry_after=HOUR, jitter=0.0) == HOUR
    assert wait_after(5, retry_after=MINUTE, jitter=0.5) == 81 * MINUTE


def test_there_is_an_end_after_ten_tries_or_three_days() -> None:
    assert not is_given_up(MOST_TRIES - 1, LONGEST_KEPT - MINUTE)
    assert is_given_up(MOST_TRIES, timedelta(0))
    assert is_given_up(1, LONGEST_KEPT)
    total = sum((wait_after(n, retry_after=None, jitter=0.999) for n in range(1, MOST_TRIES)), timedelta(0))
    assert total < LONGEST_KEPT


def test_the_rest_of_a_host_grows_with_each_silence_up_to_an_hour() -> None:
    assert [rest_after(timeouts) for timeouts in (1, 2, 3, 4, 5, 1000)] == [
        MINUTE,
        3 * MINUTE,
        9 * MINUTE,
        27 * MINUTE,
        HOUR,
        HOUR,
    ]
