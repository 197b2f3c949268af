"""What follows from an answer, as a function of values."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_examples import GRACE, HOUR, KEPT, NOW, QUARANTINE, STRICT, a_standing, an_account, an_attempt, granted
from tokenkeep.domain.account import AccountState, Disabled, DisabledReason, FailureReason, Health
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.rotation import RotationKind
from tokenkeep.domain.settlement import settle
from tokenkeep.domain.standing import Circumstances, Rules, Settlement, Standing
from tokenkeep.domain.takeover import take_over
from tokenkeep.domain.verdict import Misconfigured, NotSent, RateLimited, Revoked, Unavailable, Verdict

REVOKED = Revoked("invalid_grant", None, 400)
OUTAGE = Unavailable(FailureReason.TIMEOUT, maybe_spent=False)
LOST = Unavailable(FailureReason.TIMEOUT, maybe_spent=True)
NO_FAULT_OF_THE_ACCOUNT: list[Verdict] = [
    OUTAGE,
    LOST,
    Misconfigured(FailureReason.INVALID_CLIENT, "invalid_client", 401),
    RateLimited(timedelta(seconds=90), 429),
    RateLimited(None, 429),
    NotSent(FailureReason.NETWORK_ERROR),
]


def types(settlement: Settlement) -> list[EventType]:
    return [happening.type for happening in settlement.happenings]


def again(settlement: Settlement, fence: int) -> Standing:
    """The account as it stands when the next attempt is on the wire."""
    lease = replace(settlement.standing.lease, phase=Phase.SENT, fence=fence, attempt_id=an_attempt().id)
    return replace(settlement.standing, lease=lease)


def test_a_grant_is_installed_and_the_next_refresh_planned() -> None:
    settled = settle(a_standing(), an_attempt(), granted(), now=NOW, rules=STRICT)
    lease, stored = settled.standing.lease, settled.standing.credential
    assert settled.outcome is Outcome.OK
    assert settled.install is not None
    assert (stored.generation, stored.installed_fence, stored.obtained_at) == (5, 7, NOW)
    assert lease.phase is Phase.IDLE
    assert lease.next_refresh_at is not None
    assert NOW + HOUR / 2 <= lease.next_refresh_at < NOW + HOUR
    assert lease.due_at == lease.next_refresh_at
    assert types(settled) == [EventType.REFRESHED]


@pytest.mark.parametrize("verdict", NO_FAULT_OF_THE_ACCOUNT)
@pytest.mark.parametrize("rules", [KEPT, GRACE, STRICT])
def test_no_outage_is_long_enough_to_disable(verdict: Verdict, rules: Rules) -> None:
    standing, now = a_standing(), NOW
    for fence in range(8, 300):
        attempt = an_attempt(fence=fence - 1, sent_at=now)
        settled = settle(standing, attempt, verdict, now=now, rules=rules)
        if settled.standing.lease.phase is Phase.DOUBT:
            settled = take_over(settled.standing, now=now + timedelta(hours=1), rules=rules)
        assert settled.standing.lease.next_refresh_at is not None
        # Whoever is not asked for long has been spared by a pause of his source.
        now += timedelta(minutes=10) if isinstance(verdict, Misconfigured) else timedelta(hours=2)
        standing = again(settled, fence)
    assert standing.account.state is AccountState.ACTIVE
    assert standing.account.health is Health.FAILING


def test_invalid_grant_on_the_stored_token_disables() -> None:
    settled = settle(a_standing(), an_attempt(), REVOKED, now=NOW, rules=STRICT)
    account = settled.standing.account
    assert account.disabled == Disabled(DisabledReason.REVOKED, "invalid_grant", NOW, "tokenkeep")
    assert settled.standing.lease.next_refresh_at is None
    assert settled.standing.lease.due_at is None
    assert settled.happenings == (Happening(EventType.DISABLED, "revoked"),)


def test_after_a_lost_answer_the_same_word_means_a_lost_rotation() -> None:
    settled = settle(a_standing(lease={"doubts": 1}), an_attempt(), REVOKED, now=NOW, rules=STRICT)
    assert settled.standing.account.disabled is not None
    assert settled.standing.account.disabled.reason is DisabledReason.IN_DOUBT


def test_a_refresh_token_past_its_end_has_expired_and_was_not_revoked() -> None:
    standing = a_standing(credential={"refresh_token_expires_at": NOW - HOUR})
    settled = settle(standing, an_attempt(), REVOKED, now=NOW, rules=STRICT)
    assert settled.standing.account.disabled is not None
    assert settled.standing.account.disabled.reason is DisabledReason.EXPIRED


WRONG_CLIENT = Misconfigured(FailureReason.INVALID_CLIENT, "invalid_client", 401)
AS_IT_IS = Circumstances()
ON_TRIAL = Circumstances(on_trial=True)


def refused_for(
    standing: Standing,
    times: int,
    *,
    fence: int = 8,
    now: datetime = NOW,
    circumstances: Circumstances = AS_IT_IS,
) -> tuple[list[Settlement], list[timedelta]]:
    """So many refusals of the client in a row, each when the one before lets it, and the waits between them."""
    settled, waits = [], []
    for number in range(fence, fence + times):
        attempt = an_attempt(fence=number - 1)
        one = settle(standing, attempt, WRONG_CLIENT, now=now, rules=STRICT, circumstances=circumstances)
        due = one.standing.lease.due_at
        assert due is not None
        waits.append(due - now)
        settled.append(one)
        now, standing = due, again(one, number)
    return settled, waits


def test_an_account_that_is_refused_while_its_source_goes_on_is_failing_told_once_and_waits_for_longer() -> None:
    settled, waits = refused_for(a_standing(), 20)
    assert waits[:10] == [timedelta(minutes=1)] * 10
    assert waits[9:14] == sorted(waits[9:14])
    assert min(waits[13:]) >= timedelta(minutes=7)
    assert max(waits) <= timedelta(minutes=15)
    assert [one.happenings for one in settled if one.happenings] == [(Happening(EventType.FAILING, "invalid_client"),)]
    last = settled[-1].standing
    assert (last.account.state, last.account.health) == (AccountState.ACTIVE, Health.FAILING)
    assert last.lease.consecutive_failures == 10
    # Whoever waits for a token is let through as before.
    assert last.lease.not_before is not None
    assert last.lease.due_at is not None
    assert last.lease.due_at - last.lease.not_before == waits[-1] - timedelta(minutes=1)


def test_while_its_source_may_still_be_blamed_an_account_is_untouched() -> None:
    settled, _ = refused_for(a_standing(), 9)
    assert [one.happenings for one in settled if one.happenings] == []
    assert settled[-1].standing.account.health is Health.HEALTHY
    assert settled[-1].standing.lease.consecutive_failures == 0


def test_an_account_that_probes_a_blamed_source_is_untouched_however_long_that_takes() -> None:
    settled, waits = refused_for(a_standing(), 100, circumstances=ON_TRIAL)
    assert waits == [timedelta(minutes=1)] * 100
    probed = settled[-1].standing
    assert (probed.account.health, probed.lease.consecutive_failures) == (Health.HEALTHY, 0)
    after, _ = refused_for(again(settled[-1], 200), 9, fence=201, now=NOW + timedelta(minutes=100))
    assert after[-1].standing.account.health is Health.HEALTHY


def test_the_days_for_which_its_source_was_paused_are_not_held_against_an_account() -> None:
    settled, _ = refused_for(a_standing(), 2)
    monday, _ = refused_for(again(settled[-1], 10), 9, fence=11, now=NOW + timedelta(days=3))
    assert [one.happenings for one in monday if one.happenings] == []
    assert monday[-1].standing.account.health is Health.HEALTHY


def test_how_long_an_account_failed_for_other_reasons_is_not_held_against_it_when_its_client_is_refused() -> None:
    outage = settle(a_standing(), an_attempt(), OUTAGE, now=NOW, rules=STRICT)
    settled, _ = refused_for(again(outage, 8), 9, fence=9, now=NOW + HOUR)
    assert [one.happenings for one in settled if one.happenings] == []
    assert settled[-1].standing.lease.consecutive_failures == 1


def test_who_is_limited_again_and_again_without_a_time_waits_for_longer_each_time() -> None:
    standing, now, waits = a_standing(), NOW, []
    for fence in range(8, 28):
        settled = settle(standing, an_attempt(fence=fence - 1), RateLimited(None, 429), now=now, rules=STRICT)
        until, barrier = settled.standing.lease.due_at, settled.standing.lease.not_before
        assert until is not None
        # Whoever waits for a token asks sooner: nobody knows whether the limit is this account's.
        assert barrier == min(until, now + timedelta(minutes=1))
        waits.append(until - now)
        now, standing = until, again(settled, fence)
    assert min(waits) >= timedelta(seconds=5)
    assert timedelta(minutes=3) < sum(waits[10:], timedelta()) / 10 <= timedelta(minutes=15)
    told = settle(standing, an_attempt(fence=27), RateLimited(timedelta(seconds=7), 429), now=now, rules=STRICT)
    assert told.standing.lease.not_before == now + timedelta(seconds=7)


@pytest.mark.parametrize("verdict", [REVOKED, *NO_FAULT_OF_THE_ACCOUNT])
@pytest.mark.parametrize("change", [{"fence": 8}, {"epoch": 2}])
def test_a_fenced_off_workers_bad_news_changes_nothing(verdict: Verdict, change: dict[str, int]) -> None:
    standing = a_standing(lease=change)
    settled = settle(standing, an_attempt(), verdict, now=NOW, rules=STRICT)
    assert settled.stale
    assert settled.standing == standing
    assert settled.happenings == ()


def test_invalid_grant_for_a_token_that_was_replaced_meanwhile_disables_nobody() -> None:
    standing = a_standing(credential={"generation": 5})
    settled = settle(standing, an_attempt(), REVOKED, now=NOW, rules=STRICT)
    assert settled.standing.account.state is AccountState.ACTIVE
    assert settled.stale


def test_a_late_answer_is_installed_when_nobody_has_installed_a_younger_one() -> None:
    standing = a_standing(lease={"fence": 9, "phase": Phase.LEASED})
    settled = settle(standing, an_attempt(), granted(), now=NOW, rules=STRICT)
    assert settled.install is not None
    assert settled.standing.lease.phase is Phase.LEASED
    assert settled.standing.lease.fence == 9


@pytest.mark.parametrize("credential", [{"installed_fence": 8}, {"epoch": 2}])
def test_no_token_overwrites_a_younger_one_or_another_grants(credential: dict[str, int]) -> None:
    standing = a_standing(credential=credential, lease={"fence": 8, "epoch": credential.get("epoch", 1)})
    settled = settle(standing, an_attempt(), granted(), now=NOW, rules=STRICT)
    assert settled.install is None
    assert settled.orphan is not None
    assert settled.stale


def test_an_answer_that_a_restored_backup_knows_nothing_of_keeps_its_place() -> None:
    standing = a_standing(credential={"generation": 4, "installed_fence": 2})
    settled = settle(standing, an_attempt(presented_generation=9), granted(), now=NOW, rules=STRICT)
    assert settled.standing.credential.generation == 10


def test_settling_twice_what_was_committed_once_changes_nothing() -> None:
    first = settle(a_standing(), an_attempt(), granted(), now=NOW, rules=STRICT)
    second = settle(first.standing, an_attempt(), granted(), now=NOW, rules=STRICT)
    assert second.install is None
    assert second.orphan is None
    assert second.standing == first.standing
    assert second.happenings == ()


def test_a_token_that_comes_after_the_account_was_given_up_brings_it_back() -> None:
    lost = an_account().turned_off(DisabledReason.IN_DOUBT, detail=None, at=NOW)
    standing = a_standing(account=lost, lease={"fence": 9, "phase": Phase.IDLE, "next_refresh_at": None})
    settled = settle(standing, an_attempt(), granted(), now=NOW, rules=STRICT)
    assert settled.standing.account.state is AccountState.ACTIVE
    assert settled.standing.lease.next_refresh_at is not None
    assert types(settled) == [EventType.REFRESHED, EventType.RECOVERED]


def test_a_token_that_comes_after_an_operators_disable_is_kept_and_the_account_stays_off() -> None:
    off = an_account().turned_off(DisabledReason.BY_OPERATOR, detail=None, at=NOW, by="key_1")
    settled = settle(
        a_standing(account=off, lease={"next_refresh_at": None}), an_attempt(), granted(), now=NOW, rules=STRICT
    )
    assert settled.install is not None
    assert settled.standing.account.state is AccountState.DISABLED
    assert settled.standing.lease.next_refresh_at is None


def test_a_lost_answer_closes_the_row_until_the_quarantine_is_over() -> None:
    settled = settle(a_standing(), an_attempt(), LOST, now=NOW, rules=STRICT)
    lease = settled.standing.lease
    assert lease.phase is Phase.DOUBT
    assert lease.lease_until == NOW + timedelta(seconds=120)
    assert lease.doubts == 1
    assert EventType.IN_DOUBT in types(settled)


def test_a_lost_answer_of_a_provider_that_keeps_its_tokens_is_only_a_failure() -> None:
    settled = settle(a_standing(), an_attempt(), LOST, now=NOW, rules=KEPT)
    assert settled.standing.lease.phase is Phase.IDLE
    assert settled.standing.lease.doubts == 0
    assert settled.outcome is Outcome.FAILED


def test_doubt_is_told_once_for_each_token() -> None:
    settled = settle(a_standing(lease={"doubts": 2}), an_attempt(), LOST, now=NOW, rules=STRICT)
    assert EventType.IN_DOUBT not in types(settled)
    assert settled.standing.lease.doubts == 3


def test_a_grant_ends_every_doubt() -> None:
    standing = a_standing(lease={"doubts": 2, "doubt_since": NOW - HOUR})
    settled = settle(standing, an_attempt(), granted(), now=NOW, rules=STRICT)
    assert settled.standing.lease.doubts == 0
    assert settled.standing.lease.doubt_since is None


def test_after_a_second_presentation_nobody_overtakes_the_first() -> None:
    once = settle(a_standing(), an_attempt(), granted(), now=NOW, rules=GRACE)
    assert once.standing.lease.not_before is None
    twice = settle(
        a_standing(), an_attempt(), granted(), now=NOW, rules=GRACE, circumstances=Circumstances(presentations=2)
    )
    assert twice.standing.lease.not_before == NOW + QUARANTINE.span(GRACE.rotation)


def test_a_provider_that_refreshes_late_is_asked_by_nobody_before() -> None:
    late = replace(STRICT, policy=STRICT.policy.within(timedelta(seconds=25)))
    opens_at = NOW + HOUR - timedelta(seconds=25)
    for circumstances in (Circumstances(), Circumstances(presentations=2)):
        settled = settle(a_standing(), an_attempt(), granted(), now=NOW, rules=late, circumstances=circumstances)
        lease = settled.standing.lease
        assert lease.not_before == opens_at
        assert lease.next_refresh_at is not None
        assert opens_at <= lease.next_refresh_at < NOW + HOUR
    partly_spent = {"generation": 1, "obtained_at": NOW - timedelta(minutes=1), "expires_at": NOW}
    first = settle(a_standing(credential=partly_spent), an_attempt(), granted(), now=NOW, rules=late)
    assert first.standing.lease.next_refresh_at is not None
    assert first.standing.lease.next_refresh_at >= opens_at


def test_a_retry_after_binds_everybody() -> None:
    settled = settle(a_standing(), an_attempt(), RateLimited(timedelta(seconds=90), 429), now=NOW, rules=STRICT)
    assert settled.standing.lease.not_before == NOW + timedelta(seconds=90)
    assert settled.standing.lease.next_refresh_at == NOW + timedelta(seconds=90)


def test_a_sweeper_frees_an_unused_lease_at_once_and_fences_its_holder_off() -> None:
    swept = take_over(a_standing(lease={"phase": Phase.LEASED}), now=NOW, rules=STRICT)
    assert swept.standing.lease.phase is Phase.IDLE
    assert swept.standing.lease.fence == 8
    assert swept.standing.lease.doubts == 0
    assert swept.happenings == ()


def test_a_sweeper_counts_a_worker_that_died_with_the_token_on_the_wire_as_a_doubt() -> None:
    swept = take_over(a_standing(), now=NOW + timedelta(minutes=2), rules=STRICT)
    assert swept.standing.lease.doubts == 1
    assert swept.standing.lease.consecutive_failures == 1
    assert types(swept) == [EventType.IN_DOUBT]
    assert swept.standing.lease.next_refresh_at is not None
    assert swept.standing.account.state is AccountState.ACTIVE


def test_a_strict_token_is_probed_late_while_its_access_token_works() -> None:
    swept = take_over(a_standing(), now=NOW + timedelta(minutes=2), rules=STRICT)
    assert swept.standing.lease.next_refresh_at == NOW + timedelta(minutes=9)


def test_a_late_grant_leaves_the_row_in_the_hands_that_hold_it_now() -> None:
    off = an_account().turned_off(DisabledReason.BY_OPERATOR, detail=None, at=NOW, by="key_1")
    look = NOW + timedelta(seconds=40)
    standing = a_standing(account=off, lease={"fence": 9, "phase": Phase.SENT, "next_refresh_at": None, "due_at": look})
    settled = settle(standing, an_attempt(), granted(), now=NOW, rules=STRICT)
    assert settled.install is not None
    assert settled.standing.lease.due_at == look


def test_a_refresh_token_that_ends_before_its_access_token_is_used_in_time() -> None:
    verdict = granted(expires_at=NOW + 24 * HOUR, refresh_token_expires_at=NOW + 8 * HOUR)
    settled = settle(a_standing(), an_attempt(), verdict, now=NOW, rules=STRICT)
    assert settled.standing.lease.next_refresh_at is not None
    assert settled.standing.lease.next_refresh_at < NOW + 8 * HOUR


def test_a_new_refresh_token_does_not_inherit_the_end_of_the_old_one() -> None:
    standing = a_standing(credential={"refresh_token_expires_at": NOW + HOUR})
    settled = settle(standing, an_attempt(), granted(), now=NOW, rules=STRICT)
    assert settled.standing.credential.refresh_token_expires_at is None
    kept = settle(standing, an_attempt(), granted(refresh_token=None), now=NOW, rules=STRICT)
    assert kept.standing.credential.refresh_token_expires_at == NOW + HOUR


def test_bad_news_that_were_settled_before_count_once() -> None:
    first = settle(a_standing(), an_attempt(), OUTAGE, now=NOW, rules=STRICT)
    second = settle(first.standing, an_attempt(), OUTAGE, now=NOW, rules=STRICT)
    assert second.stale
    assert second.standing == first.standing


@given(
    kind=st.sampled_from(RotationKind),
    verdicts=st.lists(st.sampled_from([*NO_FAULT_OF_THE_ACCOUNT, granted()]), max_size=12),
)
def test_every_active_account_is_owed_a_refresh_or_held(kind: RotationKind, verdicts: list[Verdict]) -> None:
    rules = replace(STRICT, rotation=replace(GRACE.rotation, kind=kind))
    standing, now = a_standing(), NOW
    for fence, verdict in enumerate(verdicts, start=8):
        attempt = an_attempt(fence=fence - 1, sent_at=now, presented_generation=standing.credential.generation)
        settled = settle(standing, attempt, verdict, now=now, rules=rules)
        lease = settled.standing.lease
        assert lease.due_at is not None
        assert lease.next_refresh_at is not None
        assert settled.standing.account.state is AccountState.ACTIVE
        now += timedelta(minutes=30)
        if lease.phase is not Phase.IDLE:
            settled = take_over(settled.standing, now=now, rules=rules)
            assert settled.standing.lease.phase is Phase.IDLE
            assert settled.standing.lease.due_at is not None
        standing = again(settled, fence)
