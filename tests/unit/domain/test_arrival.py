"""Accounts that come in by the thousand do not come due as a herd."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_examples import HOUR, NOW, a_standing, an_account
from tokenkeep.domain.arrival import OVERDUE_IN_A_WINDOW, OVERDUE_WINDOW, Arrival, is_overdue
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.lease import Lease
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.standing import Standing
from tokenkeep.domain.transitions import first_scheduled

POLICY = RefreshPolicy()
DAY = timedelta(days=1)
MANY = 4_000


def due(number: int, arrival: Arrival | None = None, *, now: datetime = NOW, **changes: Any) -> datetime:
    stored = a_standing(
        credential={"obtained_at": now, "generation": 1, "expires_at": now + HOUR, **changes}
    ).credential
    account = replace(an_account(), id=AccountId(UUID(int=number * 7919)))
    standing = Standing(account, Lease(fence=0, epoch=1), stored)
    lease = first_scheduled(standing, now=now, policy=POLICY, arrival=arrival or Arrival(NOW))
    assert lease.due_at == lease.next_refresh_at
    assert lease.next_refresh_at is not None
    return lease.next_refresh_at


def is_uniform(moments: list[datetime], start: datetime, end: datetime, *, parts: int = 20) -> bool:
    """Whether all lie between these two, and no twentieth holds a third more or less than its share."""
    counts = Counter(int((moment - start) / (end - start) * parts) for moment in moments)
    assert set(counts) == set(range(parts)), counts
    share = len(moments) / parts
    return all(share * 2 / 3 < count < share * 4 / 3 for count in counts.values())


@pytest.mark.parametrize(
    ("life", "lead"), [(HOUR, timedelta(minutes=15)), (DAY, timedelta(minutes=15)), (timedelta(minutes=10), HOUR / 24)]
)
def test_equal_expiries_are_spread_over_a_round_and_leave_the_lead(life: timedelta, lead: timedelta) -> None:
    moments = [due(number, expires_at=NOW + life) for number in range(MANY)]
    earliest, latest = NOW + life - lead - life / 5, NOW + life - lead
    assert max(moments) <= latest
    before = [moment for moment in moments if moment < earliest]
    assert is_uniform(before, NOW, earliest)
    # Of a round, whose length is between the two, so much lies before the earliest end.
    share = (earliest - NOW) / ((earliest - NOW + (latest - NOW)) / 2)
    assert abs(len(before) / MANY - share) < 0.02


def test_tokens_that_have_run_out_are_spread_over_five_minutes() -> None:
    moments = [due(number, expires_at=NOW - HOUR) for number in range(MANY)]
    assert is_uniform(moments, NOW, NOW + OVERDUE_WINDOW)


def test_tokens_of_whose_life_nothing_is_said_are_spread_as_those_that_have_run_out() -> None:
    moments = [due(number, expires_at=None) for number in range(MANY)]
    assert is_uniform(moments, NOW, NOW + OVERDUE_WINDOW)


def test_more_than_a_window_holds_go_into_the_next_so_the_rate_is_bounded() -> None:
    for window in range(4):
        arrivals = [Arrival(NOW, window * OVERDUE_IN_A_WINDOW + number) for number in (0, OVERDUE_IN_A_WINDOW - 1)]
        for number, arrival in enumerate(arrivals):
            at = due(number, arrival, expires_at=NOW - HOUR)
            assert NOW + window * OVERDUE_WINDOW <= at < NOW + (window + 1) * OVERDUE_WINDOW
    assert OVERDUE_IN_A_WINDOW / OVERDUE_WINDOW.total_seconds() == 100


def test_an_import_that_takes_longer_than_its_windows_is_spread_from_now() -> None:
    late = NOW + HOUR
    moments = [due(number, Arrival(NOW), now=late, expires_at=NOW) for number in range(MANY)]
    assert is_uniform(moments, late, late + OVERDUE_WINDOW)


def test_a_refresh_token_that_is_said_to_have_ended_is_used_after_its_access_token_and_no_herd_either() -> None:
    moments = [due(number, refresh_token_expires_at=NOW - DAY) for number in range(MANY)]
    assert is_uniform(moments, NOW + HOUR, NOW + HOUR + OVERDUE_WINDOW)


def test_equal_ends_of_refresh_tokens_gather_nobody() -> None:
    ends: dict[str, Any] = {"expires_at": NOW + 365 * DAY, "refresh_token_expires_at": NOW + 90 * DAY}
    moments = [due(number, **ends) for number in range(MANY)]
    assert is_uniform(moments, NOW, NOW + 83 * DAY)


def test_an_account_that_comes_alone_is_scheduled_as_ever() -> None:
    standing = a_standing(credential={"obtained_at": NOW, "expires_at": NOW - HOUR}, lease={"phase": "idle"})
    assert first_scheduled(standing, now=NOW, policy=POLICY).next_refresh_at == NOW


def test_the_same_account_comes_due_at_the_same_moment_whenever_it_is_asked() -> None:
    assert {due(3) for _ in range(5)} == {due(3)}
    assert due(3) != due(4)


@given(
    access=st.none() | st.integers(-10_000, 10_000_000),
    end=st.none() | st.integers(-10_000, 10_000_000),
    overdue=st.integers(0, 1_000_000),
)
def test_nobody_is_due_before_now_or_after_a_token_that_lives(
    access: int | None, end: int | None, overdue: int
) -> None:
    def at(seconds: int | None) -> datetime | None:
        return None if seconds is None else NOW + timedelta(seconds=seconds)

    moment = due(1, Arrival(NOW, overdue), expires_at=at(access), refresh_token_expires_at=at(end))
    assert moment >= NOW
    has_ended = end is not None and end <= 0
    if access is not None and access > 0 and not has_ended:
        assert moment <= NOW + timedelta(seconds=access)


def test_what_cannot_be_refreshed_is_not_overdue() -> None:
    credential = a_standing(credential={"expires_at": NOW - HOUR}).credential
    assert is_overdue(credential, now=NOW)
    assert not is_overdue(replace(credential, refreshable=False), now=NOW)
    assert not is_overdue(replace(credential, expires_at=NOW + HOUR), now=NOW)
