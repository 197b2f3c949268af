"""New credentials for an account that exists."""

from datetime import timedelta

import pytest

from domain_examples import HOUR, NOW, STRICT, a_standing, an_account, an_attempt, granted
from tokenkeep.domain.account import AccountState, Custody, DisabledReason, FailureReason, Health, LastError
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.events import EventType
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.reauthorization import reauthorize
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.settlement import settle
from tokenkeep.domain.standing import Settlement, Standing
from tokenkeep.domain.verdict import Revoked

NEW = TokenSet(Secret("access"), refresh_token=Secret("refresh"), scopes=("read",), expires_at=NOW + HOUR)


def renewed(standing: Standing, tokens: TokenSet = NEW) -> Settlement:
    return reauthorize(standing.account, standing.lease, standing.credential, tokens, now=NOW, policy=RefreshPolicy())


@pytest.mark.parametrize("reason", list(DisabledReason))
def test_whatever_an_account_was_it_is_active_afterwards_and_told_once(reason: DisabledReason) -> None:
    off = an_account(health=Health.FAILING, last_error=LastError(FailureReason.INVALID_GRANT, 400, NOW)).turned_off(
        reason, detail="x", at=NOW
    )
    on = renewed(a_standing(account=off.evolve(custody=Custody.RELEASED), lease={"phase": Phase.SENT, "doubts": 2}))
    account, lease = on.standing.account, on.standing.lease
    assert (account.state, account.custody, account.health) == (AccountState.ACTIVE, Custody.HELD, Health.HEALTHY)
    assert account.disabled is None
    assert account.last_error is None
    assert lease.phase is Phase.IDLE
    assert lease.doubts == 0
    assert lease.next_refresh_at is not None
    assert [one.type for one in on.happenings] == [EventType.REAUTHORIZED]


def test_the_numbers_only_grow_even_over_credentials_that_were_erased() -> None:
    before = a_standing()
    on = renewed(before).standing
    assert on.credential.epoch == on.lease.epoch == before.lease.epoch + 1
    assert on.credential.generation == before.credential.generation + 1
    assert on.credential.installed_fence == on.lease.fence == before.lease.fence + 1
    erased = reauthorize(before.account, before.lease, None, NEW, now=NOW, policy=RefreshPolicy())
    assert before.lease.presented_generation == 4
    assert erased.standing.credential.generation == 5


def test_a_pending_account_is_activated() -> None:
    pending = a_standing(account=an_account(state=AccountState.PENDING, custody=Custody.NONE))
    assert [one.type for one in renewed(pending).happenings] == [EventType.ACTIVATED]


def test_without_a_refresh_token_there_is_no_custody_but_an_end() -> None:
    on = renewed(a_standing(), TokenSet(Secret("access"), expires_at=NOW + timedelta(minutes=5))).standing
    assert on.account.custody is Custody.NONE
    assert on.lease.next_refresh_at is None
    assert on.lease.due_at == NOW + timedelta(minutes=5)


def test_a_refresh_of_the_former_grant_changes_nothing_whatever_it_brings() -> None:
    on = renewed(a_standing()).standing
    late = settle(on, an_attempt(), granted(), now=NOW, rules=STRICT)
    assert late.standing == on
    assert late.install is None
    assert late.orphan is not None
    refused = settle(on, an_attempt(), Revoked("invalid_grant", None, 400), now=NOW, rules=STRICT)
    assert refused.stale
    assert refused.standing == on


def test_a_new_grant_is_under_no_suspicion_and_in_no_doubt() -> None:
    lease = {"suspected_at": NOW, "doubts": 3, "doubt_since": NOW, "not_before": NOW + timedelta(hours=1)}
    on = renewed(a_standing(lease=lease)).standing.lease
    assert (on.suspected_at, on.doubts, on.doubt_since, on.not_before) == (None, 0, None, None)


def test_generations_go_on_counting_over_credentials_that_were_erased() -> None:
    lease = a_standing(lease={"presented_generation": 7}).lease
    on = reauthorize(an_account(), lease, None, NEW, now=NOW, policy=RefreshPolicy())
    assert on.standing.credential.generation > 7
