"""What it takes until a provider's word disables an account."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain_examples import NOW, STRICT, a_standing, an_account, an_attempt, granted
from tokenkeep.domain.account import AccountState, DisabledReason, Health
from tokenkeep.domain.attempt import Outcome, Resolution
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import AttemptId, new_id
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.settlement import settle
from tokenkeep.domain.standing import Circumstances, Orphan, Rules, Standing
from tokenkeep.domain.verdict import Revoked

REVOKED = Revoked("invalid_grant", None, 400)
WARY = replace(STRICT, confirm_revocation=timedelta(seconds=60))
ORPHAN = Orphan(
    AttemptId(new_id()),
    TokenSet(Secret("late access"), refresh_token=Secret("late refresh"), expires_at=NOW + timedelta(hours=1)),
)


def test_a_token_set_that_came_too_late_is_tried_before_the_grant_is_given_up() -> None:
    settled = settle(
        a_standing(), an_attempt(), REVOKED, now=NOW, rules=STRICT, circumstances=Circumstances(orphan=ORPHAN)
    )
    stored, lease = settled.standing.credential, settled.standing.lease
    assert settled.standing.account.state is AccountState.ACTIVE
    assert settled.tried == ORPHAN.attempt_id
    assert (stored.generation, stored.installed_fence) == (5, 7)
    assert lease.phase is Phase.IDLE
    assert lease.next_refresh_at == NOW + STRICT.policy.shortest_wait
    assert settled.happenings == ()


def test_an_unproven_access_token_is_installed_as_expired() -> None:
    settled = settle(
        a_standing(), an_attempt(), REVOKED, now=NOW, rules=STRICT, circumstances=Circumstances(orphan=ORPHAN)
    )
    assert settled.install is not None
    assert settled.install.expires_at == NOW
    assert settled.standing.credential.expires_at == NOW


def test_when_the_late_token_set_is_dead_too_a_rotation_was_lost() -> None:
    tried = settle(
        a_standing(), an_attempt(), REVOKED, now=NOW, rules=STRICT, circumstances=Circumstances(orphan=ORPHAN)
    )
    lease = replace(tried.standing.lease, phase=Phase.SENT, fence=8, attempt_id=an_attempt().id)
    again = settle(
        replace(tried.standing, lease=lease),
        an_attempt(fence=8, presented_generation=5),
        REVOKED,
        now=NOW,
        rules=STRICT,
    )
    disabled = again.standing.account.disabled
    assert disabled is not None
    assert disabled.reason is DisabledReason.IN_DOUBT
    assert again.resolution is Resolution.LOST


def test_a_held_revocation_leaves_the_account_as_it_is_and_says_what_was_said() -> None:
    settled = settle(
        a_standing(), an_attempt(), REVOKED, now=NOW, rules=STRICT, circumstances=Circumstances(revocations_held=True)
    )
    account, lease = settled.standing.account, settled.standing.lease
    assert settled.held
    assert settled.outcome is Outcome.REFUSED
    assert account.state is AccountState.ACTIVE
    assert account.health is Health.HEALTHY
    assert account.last_error is not None
    assert lease.consecutive_failures == 0
    assert lease.next_refresh_at == lease.not_before == NOW + STRICT.policy.held_wait
    assert settled.happenings == ()


def test_a_provider_known_for_spurious_refusals_is_asked_twice() -> None:
    first = settle(a_standing(), an_attempt(), REVOKED, now=NOW, rules=WARY)
    assert first.standing.account.state is AccountState.ACTIVE
    assert first.standing.lease.suspected_at == NOW
    assert first.standing.lease.not_before == NOW + timedelta(seconds=60)
    later = NOW + timedelta(seconds=61)
    second = settle(on_the_wire(first.standing), an_attempt(), REVOKED, now=later, rules=WARY)
    assert second.standing.account.disabled is not None
    assert second.standing.account.disabled.reason is DisabledReason.REVOKED
    assert [one.type for one in second.happenings] == [EventType.DISABLED]


def test_a_second_refusal_that_comes_too_soon_confirms_nothing() -> None:
    first = settle(a_standing(), an_attempt(), REVOKED, now=NOW, rules=WARY)
    soon = NOW + timedelta(seconds=30)
    second = settle(on_the_wire(first.standing), an_attempt(), REVOKED, now=soon, rules=WARY)
    assert second.standing.account.state is AccountState.ACTIVE
    assert second.standing.lease.suspected_at == NOW
    assert second.standing.lease.not_before == NOW + timedelta(seconds=60)


def test_an_orphan_is_not_tried_on_the_word_of_one_spurious_refusal() -> None:
    settled = settle(
        a_standing(), an_attempt(), REVOKED, now=NOW, rules=WARY, circumstances=Circumstances(orphan=ORPHAN)
    )
    assert settled.tried is None
    assert settled.standing.lease.suspected_at == NOW


def test_a_refusal_of_a_second_presentation_whose_first_was_not_answered_means_a_lost_rotation() -> None:
    settled = settle(
        a_standing(), an_attempt(), REVOKED, now=NOW, rules=STRICT, circumstances=Circumstances(presentations=2)
    )
    disabled = settled.standing.account.disabled
    assert disabled is not None
    assert disabled.reason is DisabledReason.IN_DOUBT


def test_a_grant_clears_the_suspicion() -> None:
    first = settle(a_standing(), an_attempt(), REVOKED, now=NOW, rules=WARY)
    second = settle(on_the_wire(first.standing), an_attempt(), granted(), now=NOW, rules=WARY)
    assert second.standing.lease.suspected_at is None


@pytest.mark.parametrize("rules", [STRICT, WARY])
def test_a_refusal_of_an_account_that_was_switched_off_keeps_its_reason(rules: Rules) -> None:
    off = an_account().turned_off(DisabledReason.BY_OPERATOR, detail=None, at=NOW, by="key_1")
    settled = settle(a_standing(account=off), an_attempt(), REVOKED, now=NOW, rules=rules)
    assert settled.standing.account.disabled == off.disabled
    assert settled.happenings == ()


def test_a_lost_rotation_says_how_often_and_since_when() -> None:
    standing = a_standing(lease={"doubts": 2, "doubt_since": NOW - timedelta(minutes=5)})
    settled = settle(standing, an_attempt(), REVOKED, now=NOW, rules=STRICT)
    disabled = settled.standing.account.disabled
    assert disabled is not None
    assert disabled.detail == "invalid_grant; presented 2 times without an answer since 2026-03-01T11:55:00Z"


def on_the_wire(standing: Standing) -> Standing:
    lease = replace(standing.lease, phase=Phase.SENT, attempt_id=an_attempt().id)
    return replace(standing, lease=lease)
