import math
from typing import Any

import pytest

from tokenkeep.client import Reject, Retry, RetryPolicy
from tokenkeep.client.retrying import (
    LONGEST_REASON,
    LONGEST_RETRY,
    Failed,
    Outcome,
    Postponed,
    Record,
    Rejected,
    outcome_of,
)


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(first=1, longest=10)
    assert [policy.wait_after(n) for n in (1, 2, 3, 4, 5, 500)] == [1, 2, 4, 8, 10, 10]


def test_an_event_is_given_up_after_so_many_failures() -> None:
    policy = RetryPolicy(tries=2)
    once = Record().started().failed()
    assert not policy.exhausted(once)
    assert policy.exhausted(once.started().failed())


def test_to_ask_for_another_time_is_no_failure() -> None:
    record = Record()
    for _ in range(100):
        record = record.started().postponed()
    assert (record.failures, record.deaths) == (0, 0)


def test_an_event_that_kills_its_consumers_is_given_up_too() -> None:
    policy = RetryPolicy(deaths=2)
    record = Record().started().failed().started()
    assert policy.verdict_on_death(record) is None
    assert policy.verdict_on_death(record.started()) == "2 consumers ended while they handled it"


def test_what_a_handler_raises_says_what_becomes_of_the_event() -> None:
    assert outcome_of(Retry(after=3)) == Postponed(3)
    assert outcome_of(Retry(after=-3)) == Postponed(0)
    assert outcome_of(Reject("not ours")) == Rejected("not ours")
    assert outcome_of(KeyError("name")) == Failed("KeyError: 'name'")
    assert outcome_of(TimeoutError()) == Failed("TimeoutError")
    assert outcome_of(ValueError("one\n  two")) == Failed("ValueError: one two")


def test_reasons_are_of_bounded_length() -> None:
    for error in (ValueError("x" * 10_000), Reject("x" * 10_000)):
        outcome = outcome_of(error)
        assert isinstance(outcome, Failed | Rejected)
        assert len(outcome.reason) == LONGEST_REASON
    told = outcome_of(ValueError("x"), lambda _: "y" * 10_000)
    assert told == Failed("y" * LONGEST_REASON)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tries": 0},
        {"deaths": 0},
        {"first": -1},
        {"first": 5, "longest": 4},
        {"first": math.nan},
        {"longest": math.nan},
        {"first": math.inf, "longest": math.inf},
    ],
)
def test_a_policy_that_never_tries_or_never_ends_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least"):
        RetryPolicy(**wrong)


class _WordlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class _SilentRetry(Retry):
    def __init__(self) -> None:
        """It does not say when."""


class _SilentReject(Reject):
    def __init__(self) -> None:
        """It does not say why."""


def _retry_changed_to(after: Any) -> Retry:
    asked = Retry()
    asked.after = after
    return asked


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (ValueError("no file \udcff"), Failed("ValueError: no file ?")),
        (_WordlessError(), Failed("_WordlessError")),
        (Reject("no file \udcff"), Rejected("no file ?")),
        (Reject(ValueError("x")), Rejected("x")),  # type: ignore[arg-type]
        (Reject(_WordlessError()), Rejected("")),  # type: ignore[arg-type]
        (Retry(after=math.inf), Postponed(LONGEST_RETRY)),
        (_retry_changed_to(math.inf), Postponed(LONGEST_RETRY)),
        (_retry_changed_to(math.nan), Failed("Retry: again after 30 s")),
        (_retry_changed_to("soon"), Failed("Retry: again after 30 s")),
        (_SilentRetry(), Failed("_SilentRetry")),
        (_SilentReject(), Failed("_SilentReject")),
    ],
)
def test_whatever_a_handler_raises_says_something_of_its_event(raised: Exception, outcome: Outcome) -> None:
    assert outcome_of(raised) == outcome


def test_to_ask_for_no_time_at_all_is_a_fault_of_the_handler() -> None:
    with pytest.raises(ValueError, match="number of seconds"):
        Retry(after=math.nan)


def test_a_description_that_fails_is_made_up_for() -> None:
    def describe(_: BaseException) -> str:
        raise KeyError("none")

    assert outcome_of(ValueError("x"), describe) == Failed("ValueError: x")
