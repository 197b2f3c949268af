"""Telling ahead that credentials will end."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_examples import HOUR, NOW, a_standing
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.expiry_notice import STAGES, due_for_notice, look_at, notice, watched
from tokenkeep.domain.lease import Lease

DAY = timedelta(days=1)
UNWATCHED = Lease(fence=1, epoch=1)


def ending(end: datetime | None, **changes: Any) -> CredentialVersion:
    """Credentials whose refresh token ends then."""
    values = {"expires_at": NOW + HOUR, "refresh_token_expires_at": end, **changes}
    return a_standing(credential=values).credential


def spent(end: datetime | None) -> CredentialVersion:
    """Credentials that can't be refreshed, and end then."""
    return ending(None, expires_at=end, refreshable=False)


@pytest.mark.parametrize(
    ("life", "ahead"),
    [
        (90 * DAY, 7 * DAY),
        (14 * DAY, 7 * DAY),
        (14 * DAY - HOUR, DAY),
        (2 * DAY, DAY),
        (2 * DAY - HOUR, None),
        (DAY, None),
        (HOUR, None),
        (-HOUR, None),
    ],
)
def test_a_stage_is_no_news_of_a_life_that_is_not_well_longer(life: timedelta, ahead: timedelta | None) -> None:
    lease = watched(UNWATCHED, ending(NOW + life), now=NOW)
    assert lease.watched_end == NOW + life
    assert lease.tell_at == (None if ahead is None else NOW + life - ahead)


@pytest.mark.parametrize(
    "credential",
    [ending(None), spent(None), ending(NOW + 30 * DAY, expires_at=None)],
    ids=["no end known", "no end at all", "an access token that never ends"],
)
def test_where_nothing_ends_nothing_is_watched(credential: CredentialVersion) -> None:
    before = replace(UNWATCHED, watched_end=NOW, tell_at=NOW)
    lease, told = notice(before, credential, now=NOW)
    assert (lease.watched_end, lease.tell_at, told) == (None, None, ())


@pytest.mark.parametrize(
    ("credential", "reason"),
    [(ending(NOW + 60 * DAY), "refresh_token"), (spent(NOW + 60 * DAY), "access_token")],
)
def test_each_stage_is_told_once_and_says_what_ends_and_when(credential: CredentialVersion, reason: str) -> None:
    end = NOW + 60 * DAY
    lease, _ = notice(UNWATCHED, credential, now=NOW)
    told: list[datetime] = []
    for hours in range(61 * 24):
        now = NOW + hours * HOUR
        lease, happenings = notice(lease, credential, now=now)
        told += [now for _ in happenings]
        for happening in happenings:
            assert happening == Happening(EventType.EXPIRING, reason, ends_at=end)
    assert told == [end - 7 * DAY, end - DAY]


def test_who_comes_too_late_for_a_stage_tells_only_the_nearest() -> None:
    credential = ending(NOW + 60 * DAY)
    lease = watched(UNWATCHED, credential, now=NOW)
    lease, told = notice(lease, credential, now=NOW + 59 * DAY + HOUR)
    assert len(told) == 1
    assert lease.tell_at is None


def test_an_end_that_has_passed_is_not_told_ahead() -> None:
    credential = ending(NOW + 60 * DAY)
    lease = watched(UNWATCHED, credential, now=NOW)
    lease, told = notice(lease, credential, now=NOW + 60 * DAY)
    assert (lease.tell_at, told) == (None, ())


@pytest.mark.parametrize("moved_by", [timedelta(0), timedelta(seconds=25), -timedelta(seconds=25), HOUR])
def test_an_end_that_is_told_anew_is_not_another_one(moved_by: timedelta) -> None:
    end = NOW + 60 * DAY
    lease, _ = notice(watched(UNWATCHED, ending(end), now=NOW), ending(end), now=end - 6 * DAY)
    again, told = notice(lease, ending(end + moved_by), now=end - 5 * DAY)
    assert told == ()
    assert again == lease
    _, last = notice(again, ending(end + moved_by), now=end - HOUR)
    assert last == (Happening(EventType.EXPIRING, "refresh_token", ends_at=end + moved_by),)


def test_a_new_end_starts_afresh() -> None:
    end = NOW + 60 * DAY
    lease, _ = notice(watched(UNWATCHED, ending(end), now=NOW), ending(end), now=end - HOUR)
    assert lease.tell_at is None
    assert watched(lease, ending(end + 60 * DAY), now=end).tell_at == end + 53 * DAY


@given(
    life_h=st.integers(1, 24 * 100),
    steps=st.lists(st.integers(1, 24 * 12), min_size=1, max_size=60),
    rolls=st.booleans(),
    jitter_s=st.integers(-30, 30),
)
def test_ends_that_stand_are_told_once_a_stage_and_ends_that_roll_never(
    life_h: int, steps: list[int], *, rolls: bool, jitter_s: int
) -> None:
    """Refreshes come when they come, but no later than the stages ask for them; each tells the end anew."""
    end, now = NOW + life_h * HOUR, NOW
    lease, told = notice(UNWATCHED, ending(end), now=now)
    assert told == ()
    stages: list[timedelta] = []
    for step in steps:
        due = due_for_notice(now + step * HOUR, lease)
        assert due is not None
        now = due
        end = now + life_h * HOUR if rolls else end
        shown = end + timedelta(seconds=jitter_s)
        lease, told = notice(lease, ending(shown), now=now)
        stages += [min(stage for stage in STAGES if end - now <= stage + HOUR) for _ in told]
    if rolls:
        assert stages == []
    assert stages == sorted(set(stages), reverse=True)
    assert all(life_h * HOUR >= 2 * stage for stage in stages)
    if not rolls and life_h >= 24 * 14 and now >= end - DAY:
        assert stages


def test_a_refresh_is_drawn_forward_only_where_it_would_come_too_late() -> None:
    lease = replace(UNWATCHED, tell_at=NOW + DAY)
    assert due_for_notice(NOW + 30 * DAY, lease) == NOW + DAY
    assert due_for_notice(NOW + DAY + timedelta(minutes=59), lease) == NOW + DAY + timedelta(minutes=59)
    assert due_for_notice(NOW + HOUR, lease) == NOW + HOUR
    assert due_for_notice(None, lease) is None
    assert due_for_notice(NOW + 30 * DAY, UNWATCHED) == NOW + 30 * DAY


def test_what_cannot_be_refreshed_is_looked_at_for_its_next_stage_and_at_its_end() -> None:
    credential = spent(NOW + 60 * DAY)
    lease = watched(UNWATCHED, credential, now=NOW)
    assert look_at(lease, credential) == NOW + 53 * DAY
    lease, _ = notice(lease, credential, now=NOW + 53 * DAY)
    assert look_at(lease, credential) == NOW + 59 * DAY
    lease, _ = notice(lease, credential, now=NOW + 59 * DAY)
    assert look_at(lease, credential) == NOW + 60 * DAY
    assert look_at(UNWATCHED, spent(None)) is None
