"""When credentials are refreshed next."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_examples import HOUR, NOW, a_standing, an_account
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.due_time import is_steady, last_chance, next_refresh_at
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.providers.catalogue import load_catalogue
from tokenkeep.providers.options import effective_rules

DAY = timedelta(days=1)
POLICY = RefreshPolicy()


def stored(**changes: Any) -> CredentialVersion:
    return a_standing(credential={"obtained_at": NOW, "expires_at": NOW + HOUR, **changes}).credential


def due(idle_life: timedelta | None = None, *, steady: bool = False, **changes: Any) -> datetime | None:
    return next_refresh_at(stored(**changes), an_account(), POLICY, idle_life=idle_life, steady=steady)


@pytest.mark.parametrize(
    ("changes", "idle_life", "ends_in"),
    [
        ({"expires_at": NOW + HOUR}, None, HOUR),
        ({"expires_at": NOW + HOUR}, 14 * DAY, HOUR),
        ({"expires_at": NOW + 60 * DAY}, 14 * DAY, 14 * DAY),
        ({"expires_at": None}, 14 * DAY, 14 * DAY),
        ({"expires_at": NOW + DAY, "refresh_token_expires_at": NOW + HOUR}, None, HOUR),
        ({"expires_at": NOW + DAY, "refresh_token_expires_at": NOW + 8 * HOUR}, HOUR, HOUR),
        ({"expires_at": None, "refresh_token_expires_at": NOW + 5 * DAY}, 14 * DAY, 5 * DAY),
        ({"expires_at": NOW + DAY, "refresh_token_expires_at": NOW - HOUR}, None, DAY),
        ({"expires_at": NOW + DAY, "refresh_token_expires_at": NOW}, None, DAY),
    ],
)
def test_the_first_end_that_a_refresh_can_forestall_counts(
    changes: dict[str, Any], idle_life: timedelta | None, ends_in: timedelta
) -> None:
    at = due(idle_life, **changes)
    assert at is not None
    assert NOW + ends_in / 2 <= at < NOW + ends_in


@pytest.mark.parametrize(
    "changes",
    [{"refreshable": False}, {"expires_at": None}, {"expires_at": None, "refresh_token_expires_at": NOW + DAY}],
)
def test_nothing_is_due_where_nothing_ends_or_nothing_can_be_done(changes: dict[str, Any]) -> None:
    assert due(**changes) is None


def test_without_a_refresh_token_idleness_harms_nobody() -> None:
    assert due(DAY, refreshable=False) is None


def test_before_an_end_that_stands_a_refresh_must_be_worth_it() -> None:
    near: dict[str, Any] = {"expires_at": NOW + HOUR, "refresh_token_expires_at": NOW + timedelta(minutes=20)}
    rolling = due(**near)
    assert rolling is not None
    assert rolling < NOW + timedelta(minutes=20)
    assert due(steady=True, **near) == NOW + HOUR
    worth_it = due(steady=True, expires_at=NOW + HOUR, refresh_token_expires_at=NOW + timedelta(minutes=40))
    assert worth_it is not None
    assert worth_it < NOW + timedelta(minutes=40)


@given(jitter=st.floats(0, 1, exclude_max=True), life_s=st.integers(1, 100_000), window_s=st.integers(1, 1_000))
def test_nothing_is_due_before_the_provider_refreshes_it(jitter: float, life_s: int, window_s: int) -> None:
    window, life = timedelta(seconds=window_s), timedelta(seconds=life_s)
    policy = POLICY.within(window)
    at = next_refresh_at(stored(expires_at=NOW + life), an_account(), policy, jitter=jitter)
    assert at is not None
    assert NOW + life - window <= at < NOW + life
    assert policy.opens_at(NOW + life) == NOW + life - window


def test_at_exact_online_a_refresh_waits_for_the_last_half_minute_of_ten() -> None:
    window = effective_rules(load_catalogue().get("exact-online"), {}).refresh_window
    accounts = [an_account(id=AccountId(UUID(int=number))) for number in range(200)]
    token = stored(expires_at=NOW + timedelta(seconds=600))
    times = [next_refresh_at(token, account, POLICY.within(window)) for account in accounts]
    lived = [(at - NOW).total_seconds() for at in times if at is not None]
    assert len(lived) == len(accounts)
    assert min(lived) >= 570
    assert max(lived) <= 590
    assert max(lived) - min(lived) > 5


def test_an_end_that_nobody_told_does_not_keep_us_from_trying() -> None:
    near: dict[str, Any] = {"expires_at": NOW + HOUR, "refresh_token_expires_at": NOW + timedelta(minutes=20)}
    at = due(steady=True, refresh_end_derived=True, **near)
    assert at is not None
    assert NOW + HOUR / 2 <= at < NOW + HOUR


def test_a_refresh_token_that_has_ended_is_not_kept_alive_for_an_access_token_that_never_does() -> None:
    ends_soon: dict[str, Any] = {"expires_at": None, "refresh_token_expires_at": NOW + DAY}
    assert due(14 * DAY, steady=True, **ends_soon) is None
    assert due(14 * DAY, steady=True, refresh_end_derived=True, **ends_soon) is not None


@given(
    access=st.none() | st.integers(60, 10_000_000),
    idle=st.none() | st.integers(60, 10_000_000),
    end=st.none() | st.integers(-10_000, 10_000_000),
    steady=st.booleans(),
    derived=st.booleans(),
)
def test_nothing_is_due_at_once_or_after_its_access_token(
    access: int | None, idle: int | None, end: int | None, *, steady: bool, derived: bool
) -> None:
    def at(seconds: int | None) -> datetime | None:
        return None if seconds is None else NOW + timedelta(seconds=seconds)

    changes: dict[str, Any] = {
        "expires_at": at(access),
        "refresh_token_expires_at": at(end),
        "refresh_end_derived": derived,
    }
    moment = due(None if idle is None else timedelta(seconds=idle), steady=steady, **changes)
    if moment is not None:
        assert moment > NOW
        assert access is None or moment <= NOW + timedelta(seconds=access)
        dead_by = None if idle is None else NOW + timedelta(seconds=idle)
        told = None if derived or end is None or end <= 0 else NOW + timedelta(seconds=end)
        assert dead_by is None or moment < dead_by or (told is not None and told < dead_by)
    else:
        assert access is None


@pytest.mark.parametrize(
    ("moved_by", "steady"),
    [(-HOUR, True), (timedelta(0), True), (timedelta(seconds=20), True), (45 * HOUR / 60, False), (HOUR, False)],
)
def test_an_end_that_rolls_moves_with_the_refreshes(moved_by: timedelta, *, steady: bool) -> None:
    before = stored(refresh_token_expires_at=NOW + 30 * DAY)
    after = replace(before, obtained_at=NOW + HOUR, refresh_token_expires_at=NOW + 30 * DAY + moved_by)
    assert is_steady(before, after) is steady


@pytest.mark.parametrize(("before", "after"), [(None, NOW), (NOW, None), (None, None)])
def test_an_end_that_is_not_known_does_not_stand(before: datetime | None, after: datetime | None) -> None:
    former, latter = stored(refresh_token_expires_at=before), stored(refresh_token_expires_at=after)
    assert not is_steady(former, latter)


@pytest.mark.parametrize(
    ("changes", "idle_life", "chance"),
    [
        ({}, None, NOW + HOUR),
        ({"expires_at": None}, None, None),
        ({"expires_at": None}, DAY, NOW + DAY),
        ({"expires_at": NOW + 60 * DAY}, DAY, NOW + DAY),
        ({"expires_at": NOW + 60 * DAY, "refresh_token_expires_at": NOW + 2 * DAY}, None, NOW + 2 * DAY),
        ({"refresh_token_expires_at": NOW - HOUR}, None, NOW + HOUR),
        ({"expires_at": NOW - HOUR}, DAY, NOW - HOUR),
    ],
)
def test_a_probe_comes_in_time_for_whatever_ends_first(
    changes: dict[str, Any], idle_life: timedelta | None, chance: datetime | None
) -> None:
    assert last_chance(stored(**changes), now=NOW, idle_life=idle_life) == chance
