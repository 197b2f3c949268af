"""What follows when a provider tells by itself that an account's grant is over, or perhaps is."""

from datetime import timedelta

import pytest

from domain_examples import NOW, a_standing, an_account
from tokenkeep.domain.account import AccountState, Disabled, DisabledReason
from tokenkeep.domain.reports import CLOSE, Follows, on_provider_notice, on_provider_suspicion

SECOND = timedelta(seconds=1)
LATER = NOW + timedelta(days=365)
UNRENEWED = {"next_refresh_at": None}


@pytest.mark.parametrize(
    ("younger_by", "follows"),
    [
        (timedelta(days=-300), Follows.DISABLING),
        (timedelta(0), Follows.DISABLING),
        (SECOND, Follows.ASKING),
        (CLOSE, Follows.ASKING),
        (CLOSE + SECOND, Follows.NOTHING),
        (timedelta(days=300), Follows.NOTHING),
    ],
)
def test_a_notice_ends_no_grant_that_is_younger_and_is_asked_about_where_the_order_is_open(
    younger_by: timedelta, follows: Follows
) -> None:
    standing = a_standing(credential={"obtained_at": NOW + younger_by})
    assert on_provider_notice(standing, happened_at=NOW, now=LATER, believed=True) is follows


def test_where_nothing_can_be_asked_the_order_alone_decides() -> None:
    older = a_standing(lease=UNRENEWED, credential={"obtained_at": NOW})
    younger = a_standing(lease=UNRENEWED, credential={"obtained_at": NOW + SECOND})
    for believed in (True, False):
        assert on_provider_notice(older, happened_at=NOW, now=LATER, believed=believed) is Follows.DISABLING
        assert on_provider_notice(younger, happened_at=NOW, now=LATER, believed=believed) is Follows.NOTHING


def test_a_notice_that_is_not_believed_on_its_word_alone_is_asked_about() -> None:
    standing = a_standing(credential={"obtained_at": NOW})
    assert on_provider_notice(standing, happened_at=NOW, now=LATER, believed=False) is Follows.ASKING


def test_a_suspicion_is_asked_about_and_disables_nobody() -> None:
    standing = a_standing(credential={"obtained_at": NOW})
    assert on_provider_suspicion(standing, happened_at=NOW, now=LATER) is Follows.ASKING
    assert on_provider_suspicion(a_standing(lease=UNRENEWED), happened_at=NOW, now=LATER) is Follows.NOTHING
    younger = a_standing(credential={"obtained_at": NOW + CLOSE + SECOND})
    assert on_provider_suspicion(younger, happened_at=NOW, now=LATER) is Follows.NOTHING


def test_an_account_that_is_disabled_stays_as_it_is() -> None:
    disabled = Disabled(DisabledReason.BY_OPERATOR, None, NOW, "key_1")
    standing = a_standing(account=an_account(state=AccountState.DISABLED, disabled=disabled))
    assert on_provider_notice(standing, happened_at=NOW, now=LATER, believed=True) is Follows.NOTHING
    assert on_provider_suspicion(standing, happened_at=NOW, now=LATER) is Follows.NOTHING


@pytest.mark.parametrize(("epoch", "follows"), [(1, Follows.DISABLING), (2, Follows.ASKING)])
def test_one_that_names_no_time_may_mean_the_grant_before_the_one_of_this_minute(epoch: int, follows: Follows) -> None:
    standing = a_standing(lease={"epoch": epoch}, credential={"obtained_at": NOW, "epoch": epoch})
    assert on_provider_notice(standing, happened_at=None, now=NOW + SECOND, believed=True) is follows
    assert on_provider_notice(standing, happened_at=None, now=NOW + CLOSE, believed=True) is Follows.DISABLING


@pytest.mark.parametrize(("ahead", "follows"), [(SECOND, Follows.DISABLING), (20 * SECOND, Follows.ASKING)])
def test_one_of_a_clock_that_is_ahead_may_mean_the_grant_before_the_one_of_this_minute(
    ahead: timedelta, follows: Follows
) -> None:
    standing = a_standing(credential={"obtained_at": NOW})
    now = NOW + SECOND
    assert on_provider_notice(standing, happened_at=now + ahead, now=now, believed=True) is follows
    assert on_provider_notice(standing, happened_at=now + ahead, now=NOW + CLOSE, believed=True) is Follows.DISABLING
