"""A breaker for endpoints that fail."""

import pytest

from domain_examples import GRACE, KEPT, STRICT, granted
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.outage_breaker import Gate, OutageBreaker
from tokenkeep.domain.standing import Rules
from tokenkeep.domain.verdict import Misconfigured, NotSent, RateLimited, Revoked, Unavailable, Verdict

LOST = Unavailable(FailureReason.TIMEOUT, maybe_spent=True)
DOWN = NotSent(FailureReason.NETWORK_ERROR)


def test_two_lost_answers_of_a_strict_provider_stop_us_at_once() -> None:
    breaker = OutageBreaker(STRICT.rotation)
    breaker.record(LOST, 0.0)
    assert breaker.gate(1.0) is Gate.OPEN
    breaker.record(LOST, 1.0)
    assert breaker.gate(2.0) is Gate.CLOSED


def test_a_lost_answer_now_and_then_among_many_does_not() -> None:
    breaker = OutageBreaker(STRICT.rotation)
    for second in range(50):
        breaker.record(LOST if second % 10 == 0 else granted(), float(second))
        assert second < 10 or breaker.gate(second + 0.5) is Gate.OPEN


@pytest.mark.parametrize("rules", [KEPT, GRACE])
def test_where_a_lost_answer_costs_nothing_half_of_the_calls_must_fail(rules: Rules) -> None:
    breaker = OutageBreaker(rules.rotation)
    for second in range(9):
        breaker.record(LOST, float(second))
    assert breaker.gate(9.0) is Gate.OPEN
    breaker.record(LOST, 9.0)
    assert breaker.gate(10.0) is Gate.CLOSED


def test_after_a_rest_one_account_shows_how_things_are() -> None:
    breaker = broken(at=0.0)
    assert breaker.gate(9.9) is Gate.CLOSED
    assert breaker.gate(10.1) is Gate.ONE
    breaker.send_probe(10.1)
    assert breaker.gate(10.2) is Gate.CLOSED
    breaker.record(granted(), 10.5)
    assert breaker.gate(10.6) is Gate.OPEN


def test_each_probe_that_fails_makes_the_next_rest_longer_up_to_two_minutes() -> None:
    breaker, now, rests = broken(at=0.0), 0.0, []
    for _ in range(6):
        assert breaker.resting_until is not None
        rests.append(breaker.resting_until - now)
        now = breaker.resting_until
        breaker.send_probe(now)
        breaker.record(DOWN, now)
    assert rests == [10.0, 20.0, 40.0, 80.0, 120.0, 120.0]


def test_a_probe_that_never_comes_back_is_not_waited_for_for_ever() -> None:
    breaker = broken(at=0.0)
    breaker.send_probe(11.0)
    assert breaker.gate(70.0) is Gate.CLOSED
    assert breaker.gate(71.0) is Gate.ONE


def test_calls_that_were_under_way_when_it_broke_do_not_prolong_the_rest() -> None:
    breaker = broken(at=0.0)
    breaker.record(DOWN, 3.0)
    assert breaker.gate(10.1) is Gate.ONE


@pytest.mark.parametrize(
    "said",
    [
        RateLimited(None, 429),
        Revoked("invalid_grant", None, 400),
        Misconfigured(FailureReason.INVALID_CLIENT, "invalid_client", 401),
        Unavailable(FailureReason.PROVIDER_4XX, maybe_spent=False),
        Unavailable(FailureReason.INSUFFICIENT_RESPONSE, maybe_spent=False, http_status=200),
    ],
)
def test_an_endpoint_that_speaks_is_not_down(said: Verdict) -> None:
    breaker = OutageBreaker(STRICT.rotation)
    for second in range(50):
        breaker.record(said, float(second))
    assert breaker.gate(50.0) is Gate.OPEN


def test_what_we_did_not_send_ourselves_opens_and_closes_nothing() -> None:
    unsent = NotSent(FailureReason.INTERNAL_ERROR)
    resting = broken(at=0.0)
    resting.record(unsent, 1.0)
    assert resting.gate(9.0) is Gate.CLOSED
    resting.send_probe(11.0)
    resting.record(unsent, 12.0)
    assert resting.gate(12.0) is Gate.ONE
    breaker = OutageBreaker(STRICT.rotation)
    for second in range(50):
        breaker.record(unsent, float(second))
    assert breaker.gate(50.0) is Gate.OPEN


def test_what_is_a_minute_ago_is_forgotten() -> None:
    breaker = OutageBreaker(STRICT.rotation)
    breaker.record(LOST, 0.0)
    breaker.record(LOST, 61.0)
    assert breaker.gate(62.0) is Gate.OPEN


def broken(*, at: float) -> OutageBreaker:
    breaker = OutageBreaker(STRICT.rotation)
    breaker.record(LOST, at)
    breaker.record(LOST, at)
    return breaker
