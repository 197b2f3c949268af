"""Changes of state that no token endpoint has a part in."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from domain_examples import HOUR, NOW, a_standing, an_account
from tokenkeep.domain.account import AccountState, Custody, Disabled, DisabledReason, Health
from tokenkeep.domain.arrival import Arrival
from tokenkeep.domain.conflicts import AccountPending, ReauthorizationRequired
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.settlement import Settlement, Standing
from tokenkeep.domain.transitions import disable, enable, first_scheduled, run_out

IDLE = {"phase": Phase.IDLE, "attempt_id": None, "lease_until": None}


def a_disabled(reason: DisabledReason = DisabledReason.BY_OPERATOR, **lease: object) -> Standing:
    account = an_account().turned_off(reason, detail=None, at=NOW).evolve(health=Health.FAILING)
    return a_standing(account=account, lease={**IDLE, "next_refresh_at": None, "due_at": None, **lease})


def test_disabling_takes_the_account_off_the_schedule_and_is_told_once() -> None:
    off = disable(a_standing(lease=IDLE), DisabledReason.BY_OPERATOR, by="key_1", now=NOW)
    assert off is not None
    assert off.standing.lease.next_refresh_at is None
    assert off.standing.lease.due_at is None
    assert [one.type for one in off.happenings] == [EventType.DISABLED]
    assert disable(off.standing, DisabledReason.BY_OPERATOR, by="key_1", now=NOW) is None


def test_disabling_leaves_a_refresh_in_flight_to_be_looked_after() -> None:
    off = disable(a_standing(), DisabledReason.BY_OPERATOR, by="key_1", now=NOW)
    assert off is not None
    assert off.standing.lease.phase is Phase.SENT
    assert off.standing.lease.due_at is not None


@pytest.mark.parametrize("found", [DisabledReason.REVOKED, DisabledReason.IN_DOUBT, DisabledReason.EXPIRED])
def test_an_operators_word_takes_the_place_of_what_was_found_out(found: DisabledReason) -> None:
    off = disable(a_standing(), found, by="tokenkeep", now=NOW)
    assert off is not None
    settled = disable(off.standing, DisabledReason.BY_OPERATOR, by="key", now=NOW + HOUR)
    assert settled is not None
    assert settled.standing.account.disabled == Disabled(DisabledReason.BY_OPERATOR, found.value, NOW + HOUR, "key")
    assert (settled.happenings, settled.standing.lease) == ((), off.standing.lease)
    assert disable(settled.standing, DisabledReason.BY_OPERATOR, by="another", now=NOW + HOUR) is None
    assert disable(settled.standing, found, by="tokenkeep", now=NOW + HOUR) is None


def test_whoever_has_his_token_back_is_not_put_out_of_service_too() -> None:
    released = disable(a_standing(), DisabledReason.RELEASED, by="key", now=NOW)
    assert released is not None
    assert disable(released.standing, DisabledReason.BY_OPERATOR, by="key", now=NOW) is None


def test_enabling_refreshes_at_once_with_a_clean_slate() -> None:
    on = enable(a_disabled(consecutive_failures=7), now=NOW)
    assert isinstance(on, Settlement)
    assert on.standing.account.state is AccountState.ACTIVE
    assert on.standing.account.health is Health.HEALTHY
    assert on.standing.lease.next_refresh_at == NOW
    assert on.standing.lease.consecutive_failures == 0
    assert enable(on.standing, now=NOW) is None


def test_enabling_does_not_get_round_a_providers_retry_after() -> None:
    on = enable(a_disabled(not_before=NOW + HOUR), now=NOW)
    assert isinstance(on, Settlement)
    assert on.standing.lease.not_before == NOW + HOUR


def test_what_only_the_user_can_bring_back_is_not_enabled() -> None:
    pending = a_standing(account=an_account(state=AccountState.PENDING), lease=IDLE)
    assert isinstance(enable(pending, now=NOW), AccountPending)
    released = a_disabled(DisabledReason.RELEASED)
    released = replace(released, account=released.account.evolve(custody=Custody.RELEASED))
    assert isinstance(enable(released, now=NOW), ReauthorizationRequired)
    ran_out = a_disabled(DisabledReason.EXPIRED)
    dead = replace(ran_out.credential, refreshable=False, expires_at=NOW - HOUR)
    assert isinstance(enable(replace(ran_out, credential=dead), now=NOW), ReauthorizationRequired)


def test_credentials_that_ran_out_for_good_disable_the_account() -> None:
    standing = a_standing(
        lease={**IDLE, "next_refresh_at": None}, credential={"refreshable": False, "expires_at": NOW - HOUR}
    )
    off = run_out(standing, now=NOW)
    assert off is not None
    assert off.standing.account.disabled is not None
    assert off.standing.account.disabled.reason is DisabledReason.EXPIRED
    assert run_out(off.standing, now=NOW) is None


def test_credentials_that_still_live_or_are_refreshed_do_not_run_out() -> None:
    living = a_standing(lease={**IDLE, "next_refresh_at": None})
    assert run_out(living, now=NOW) is None
    assert run_out(a_standing(lease=IDLE, credential={"expires_at": NOW - HOUR}), now=NOW) is None


def test_first_due_times() -> None:
    policy = RefreshPolicy()

    def due(**credential: object) -> object:
        lease = first_scheduled(a_standing(lease=IDLE, credential=credential), now=NOW, policy=policy)
        return lease.next_refresh_at, lease.due_at

    assert due(expires_at=NOW - HOUR) == (NOW, NOW)
    assert due(expires_at=None) == (NOW, NOW)
    assert due(refreshable=False, expires_at=NOW + HOUR) == (None, NOW + HOUR)
    assert due(refreshable=False, expires_at=None) == (None, None)
    lease = first_scheduled(
        a_standing(lease=IDLE, credential={"obtained_at": NOW, "expires_at": NOW + HOUR}), now=NOW, policy=policy
    )
    first = lease.next_refresh_at
    assert first == lease.due_at
    assert first is not None
    assert NOW + HOUR / 2 <= first <= NOW + timedelta(minutes=45)


def test_an_account_in_doubt_waits_for_its_probe_when_it_is_switched_on() -> None:
    off = an_account().turned_off(DisabledReason.BY_OPERATOR, detail=None, at=NOW, by="key_1")
    lease = {"phase": Phase.IDLE, "attempt_id": None, "lease_until": None, "next_refresh_at": None, "doubts": 1}
    on = enable(a_standing(account=off, lease={**lease, "sent_at": NOW}), now=NOW)
    assert isinstance(on, Settlement)
    assert on.standing.lease.next_refresh_at == NOW + timedelta(minutes=9)


@pytest.mark.parametrize("arrival", [None, Arrival(NOW)])
@pytest.mark.parametrize("life_s", [-60, 10, 600])
def test_what_comes_to_a_provider_that_refreshes_late_waits_for_that(life_s: int, arrival: Arrival | None) -> None:
    policy = RefreshPolicy().within(timedelta(seconds=25))
    for number in range(20):
        ends_at = NOW + timedelta(seconds=life_s)
        account = an_account(id=AccountId(UUID(int=number)))
        standing = a_standing(account=account, lease=IDLE, credential={"obtained_at": NOW, "expires_at": ends_at})
        lease = first_scheduled(standing, now=NOW, policy=policy, arrival=arrival)
        assert lease.next_refresh_at is not None
        assert lease.next_refresh_at >= max(NOW, ends_at - timedelta(seconds=25))
        assert lease.not_before == ends_at - timedelta(seconds=25)
