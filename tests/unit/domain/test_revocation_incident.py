"""What becomes of accounts once an operator has decided about a mass revocation."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain_examples import HOUR, NOW, a_standing, an_account
from tokenkeep.domain.account import AccountState, Custody, DisabledReason
from tokenkeep.domain.events import EventType
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.revocation_incident import NotedRevocation, believe, disbelieve
from tokenkeep.domain.standing import Standing

IDLE = {"phase": Phase.IDLE, "attempt_id": None, "lease_until": None}


def said(**changes: Any) -> NotedRevocation:
    noted = NotedRevocation(an_account().id, 1, 4, NOW - HOUR, held=True, reason=DisabledReason.REVOKED, detail="so")
    return replace(noted, **changes)


def disabled(reason: DisabledReason = DisabledReason.REVOKED, *, by: str = "tokenkeep", **changes: Any) -> Standing:
    account = an_account(**changes).turned_off(reason, detail="so", at=NOW - HOUR, by=by)
    return a_standing(account=account, lease={**IDLE, "next_refresh_at": None, "due_at": None})


def test_a_believed_revocation_disables_as_the_provider_had_it() -> None:
    settlement = believe(a_standing(lease=IDLE), said(), now=NOW)
    assert settlement is not None
    account = settlement.standing.account
    assert account.state is AccountState.DISABLED
    assert account.disabled is not None
    assert (account.disabled.reason, account.disabled.detail) == (DisabledReason.REVOKED, "so")
    assert account.disabled.by == "tokenkeep"
    assert [one.type for one in settlement.happenings] == [EventType.DISABLED]


@pytest.mark.parametrize("noted", [said(generation=3), said(epoch=2), said(held=False)])
def test_what_was_said_of_other_credentials_disables_nobody(noted: NotedRevocation) -> None:
    assert believe(a_standing(lease=IDLE), noted, now=NOW) is None


def test_an_account_that_is_disabled_already_is_not_told_again() -> None:
    assert believe(disabled(DisabledReason.BY_OPERATOR), said(), now=NOW) is None


def test_who_was_held_is_due_at_once_when_the_provider_is_not_believed() -> None:
    aside = {**IDLE, "next_refresh_at": NOW + HOUR, "due_at": NOW + HOUR, "not_before": NOW + timedelta(minutes=5)}
    settlement = disbelieve(a_standing(lease=aside), said(), now=NOW)
    assert settlement is not None
    lease = settlement.standing.lease
    assert (lease.next_refresh_at, lease.due_at, lease.not_before) == (NOW, NOW, None)
    assert settlement.happenings == ()


def test_who_was_disabled_before_the_pause_is_enabled_and_due_at_once() -> None:
    settlement = disbelieve(disabled(), said(held=False), now=NOW)
    assert settlement is not None
    assert settlement.standing.account.state is AccountState.ACTIVE
    assert settlement.standing.lease.next_refresh_at == NOW
    assert [one.type for one in settlement.happenings] == [EventType.ENABLED]


@pytest.mark.parametrize(
    "standing",
    [
        disabled(by="key_1"),
        disabled(DisabledReason.BY_OPERATOR),
        disabled(DisabledReason.EXPIRED),
        disabled(custody=Custody.RELEASED),
        a_standing(),
    ],
)
def test_who_is_disabled_for_another_cause_stays_so(standing: Standing) -> None:
    assert disbelieve(standing, said(held=False), now=NOW) is None


def test_a_grant_that_was_renewed_meanwhile_is_left_alone() -> None:
    assert disbelieve(disabled(), said(held=False, generation=3), now=NOW) is None
