"""What becomes of an account that is disabled with its grant."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain_examples import NOW, a_standing
from tokenkeep.domain.account import AccountState, Custody, DisabledReason
from tokenkeep.domain.conflicts import AccountPending, NotHeld
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.ids import AttemptId, new_id
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.standing import Settlement, Standing
from tokenkeep.domain.withdrawal import ERASED, withdraw


def withdrawn(standing: Standing) -> Settlement:
    decided = withdraw(standing, by="key_1", now=NOW)
    assert isinstance(decided, Settlement)
    return decided


def test_an_account_loses_its_grant_and_its_place_in_the_schedule() -> None:
    standing = a_standing()
    settlement = withdrawn(standing)
    account, lease = settlement.standing.account, settlement.standing.lease
    assert (account.state, account.custody) == (AccountState.DISABLED, Custody.NONE)
    assert account.disabled is not None
    assert (account.disabled.reason, account.disabled.detail) == (DisabledReason.BY_OPERATOR, ERASED)
    assert (account.disabled.at, account.disabled.by) == (NOW, "key_1")
    assert (lease.next_refresh_at, lease.due_at, lease.not_before) == (None, None, None)
    assert settlement.happenings == (Happening(EventType.DISABLED, "by_operator"),)


@pytest.mark.parametrize("phase", list(Phase))
def test_whoever_holds_its_lease_is_fenced_off(phase: Phase) -> None:
    standing = a_standing()
    held = replace(
        standing.lease,
        phase=phase,
        attempt_id=AttemptId(new_id()),
        lease_until=NOW + timedelta(minutes=1),
        sent_at=NOW,
        presented_generation=1,
    )
    lease = withdrawn(replace(standing, lease=held)).standing.lease
    assert (lease.phase, lease.attempt_id, lease.fence) == (Phase.IDLE, None, held.fence + 1)


@pytest.mark.parametrize("reason", [it for it in DisabledReason if it is not DisabledReason.BY_OPERATOR])
def test_an_operators_word_takes_the_place_of_another_reason_and_is_not_told_again(reason: DisabledReason) -> None:
    standing = a_standing()
    off = standing.account.turned_off(reason, detail="d", at=NOW - timedelta(days=1))
    settlement = withdrawn(replace(standing, account=off))
    disabled = settlement.standing.account.disabled
    assert disabled is not None
    assert (disabled.reason, disabled.detail) == (DisabledReason.BY_OPERATOR, ERASED)
    assert settlement.happenings == ()


def test_what_an_operator_disabled_before_says_that_it_is_bare_now() -> None:
    standing = a_standing()
    off = standing.account.turned_off(DisabledReason.BY_OPERATOR, detail=None, at=NOW - timedelta(days=1), by="key_2")
    settlement = withdrawn(replace(standing, account=off))
    disabled = settlement.standing.account.disabled
    assert disabled is not None
    assert (disabled.detail, disabled.by) == (ERASED, "key_2")
    assert settlement.happenings == ()


def test_what_is_not_held_is_not_withdrawn() -> None:
    standing = a_standing()
    pending = replace(standing, account=standing.account.evolve(state=AccountState.PENDING, custody=Custody.NONE))
    assert isinstance(withdraw(pending, by="x", now=NOW), AccountPending)
    released = standing.account.turned_off(DisabledReason.RELEASED, detail=None, at=NOW)
    handed_back = replace(standing, account=released.evolve(custody=Custody.RELEASED))
    assert isinstance(withdraw(handed_back, by="x", now=NOW), NotHeld)
