"""Handing a refresh token back: what must be waited for, and what the account is afterwards."""

from datetime import timedelta

import pytest

from domain_examples import HOUR, NOW, STRICT, a_standing, an_account, an_attempt, granted
from tokenkeep.domain.account import AccountState, Custody, DisabledReason
from tokenkeep.domain.conflicts import AccountDisabled, AccountPending, NotHeld, ReauthorizationRequired
from tokenkeep.domain.errors import CredentialsErased
from tokenkeep.domain.events import EventType
from tokenkeep.domain.handover import DOUBT_PATIENCE, Release, Unanswered, hand_back, refuse_handover
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.settlement import settle
from tokenkeep.domain.standing import Settlement, Standing
from tokenkeep.domain.verdict import Revoked

IDLE = {"phase": Phase.IDLE, "attempt_id": None, "lease_until": None}
MINUTE = timedelta(minutes=1)


def handed_back(standing: Standing) -> Settlement:
    decided = hand_back(standing, by="key_1", now=NOW)
    assert isinstance(decided, Settlement)
    return decided


def test_an_idle_account_is_handed_back_and_never_comes_due_again() -> None:
    released = handed_back(a_standing(lease=IDLE))
    account, lease = released.standing.account, released.standing.lease
    assert account.state is AccountState.DISABLED
    assert account.custody is Custody.RELEASED
    assert account.disabled is not None
    assert (account.disabled.reason, account.disabled.by) == (DisabledReason.RELEASED, "key_1")
    assert lease.next_refresh_at is None
    assert lease.due_at is None
    assert [one.type for one in released.happenings] == [EventType.RELEASED]


def test_a_lease_under_which_nothing_has_left_is_outdated_and_not_waited_for() -> None:
    leased = a_standing(lease={"phase": Phase.LEASED, "sent_at": None, "presented_generation": None})
    released = handed_back(leased)
    assert released.standing.lease.phase is Phase.IDLE
    assert released.standing.lease.fence == leased.lease.fence + 1
    assert released.standing.lease.doubts == 0


def test_an_answer_that_may_still_come_is_waited_for() -> None:
    waited = hand_back(a_standing(), by="key_1", now=NOW)
    assert waited == Unanswered(NOW + DOUBT_PATIENCE, in_flight=True)


def test_a_probe_in_flight_is_waited_for_however_old_the_doubt_is() -> None:
    probing = a_standing(lease={"doubts": 2, "doubt_since": NOW - HOUR, "sent_at": NOW})
    assert isinstance(hand_back(probing, by="key_1", now=NOW), Unanswered)


@pytest.mark.parametrize("phase", [IDLE, {"phase": Phase.DOUBT}])
def test_a_doubt_is_waited_for_five_minutes_and_then_told(phase: dict[str, object]) -> None:
    young = a_standing(lease={**phase, "doubts": 1, "doubt_since": NOW - 4 * MINUTE})
    assert hand_back(young, by="key_1", now=NOW) == Unanswered(NOW + MINUTE, in_flight=False)
    old = a_standing(lease={**phase, "doubts": 1, "doubt_since": NOW - 5 * MINUTE})
    assert handed_back(old).standing.lease.doubts == 1


def test_a_holder_that_was_never_heard_of_again_leaves_a_doubt() -> None:
    released = handed_back(a_standing(lease={"sent_at": NOW - 6 * MINUTE}))
    assert released.standing.lease.phase is Phase.IDLE
    assert released.standing.lease.doubts == 1
    assert released.standing.lease.doubt_since == NOW - 6 * MINUTE


def test_a_late_grant_is_installed_into_a_released_account_which_stays_released() -> None:
    released = handed_back(a_standing(lease={"sent_at": NOW - 6 * MINUTE})).standing
    late = settle(released, an_attempt(), granted(), now=NOW + MINUTE, rules=STRICT)
    assert late.install is not None
    assert late.standing.lease.doubts == 0
    assert late.standing.lease.next_refresh_at is None
    assert late.standing.account.state is AccountState.DISABLED
    assert late.standing.account.custody is Custody.RELEASED


def test_a_late_refusal_says_nothing_about_a_released_account() -> None:
    released = handed_back(a_standing(lease={"sent_at": NOW - 6 * MINUTE})).standing
    late = settle(released, an_attempt(), Revoked("invalid_grant", None, 400), now=NOW + MINUTE, rules=STRICT)
    assert late.stale
    assert late.standing == released


def test_what_cannot_be_handed_back_is_refused_for_its_reason() -> None:
    account = an_account()
    assert refuse_handover(account, None) is None
    assert isinstance(refuse_handover(an_account(state=AccountState.PENDING), None), AccountPending)
    assert isinstance(refuse_handover(an_account(custody=Custody.NONE), None), NotHeld)
    for reason in (
        DisabledReason.REVOKED,
        DisabledReason.EXPIRED,
        DisabledReason.IN_DOUBT,
        DisabledReason.UNINSTALLED,
    ):
        off = account.turned_off(reason, detail=None, at=NOW)
        assert isinstance(refuse_handover(off, None), ReauthorizationRequired)
    deleted = account.turned_off(DisabledReason.SOURCE_DELETED, detail=None, at=NOW)
    assert isinstance(refuse_handover(deleted, None), AccountDisabled)
    assert refuse_handover(account.turned_off(DisabledReason.BY_OPERATOR, detail=None, at=NOW), None) is None


def test_what_was_released_can_be_shown_again_until_it_is_erased() -> None:
    account = an_account().turned_off(DisabledReason.RELEASED, detail=None, at=NOW).evolve(custody=Custody.RELEASED)
    kept = Release(NOW, NOW + HOUR, None, in_doubt=False, generation=4)
    assert refuse_handover(account, kept) is None
    assert isinstance(
        refuse_handover(account, Release(NOW, NOW + HOUR, NOW, in_doubt=False, generation=4)), CredentialsErased
    )
