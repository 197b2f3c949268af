"""What follows from a token endpoint's answer: the one place that decides it.

`settle` is handed the account as the database holds it now, locked, not as the worker remembers it. So whatever
happened during the flight (an operator's disable, a re-authorisation, a takeover) is seen and wins where it must.
"""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from tokenkeep.domain.account import AccountState, DisabledReason, FailureReason, Health
from tokenkeep.domain.attempt import Attempt, Outcome, Resolution
from tokenkeep.domain.client_refusal import client_refused
from tokenkeep.domain.credential import CredentialVersion, TokenSet
from tokenkeep.domain.due_time import (
    has_lost_its_place,
    is_steady,
    next_refresh_at,
    place_in_round,
    place_of_its_own,
)
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.expiry_notice import due_for_notice, notice
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.postponement import backoff, held_back, postponed
from tokenkeep.domain.refusal import refused
from tokenkeep.domain.standing import Circumstances, Orphan, Rules, Settlement, Standing
from tokenkeep.domain.verdict import (
    Granted,
    Misconfigured,
    NotSent,
    RateLimited,
    Revoked,
    Unavailable,
    Verdict,
)

__all__ = ["Circumstances", "Orphan", "Rules", "Settlement", "Standing", "settle"]

_AS_IT_IS = Circumstances()


def settle(
    standing: Standing,
    attempt: Attempt,
    verdict: Verdict,
    *,
    now: datetime,
    rules: Rules,
    circumstances: Circumstances = _AS_IT_IS,
) -> Settlement:
    """The account as it stands once the provider has spoken.

    Only the provider's explicit word disables. An unreachable provider says nothing about the grant, so an outage of
    any length pushes the next attempt away and does no more.
    """
    if isinstance(verdict, Granted):
        return _granted(standing, attempt, verdict, now=now, rules=rules, circumstances=circumstances)
    lease = standing.lease
    if lease.fence != attempt.fence or lease.epoch != attempt.epoch or lease.attempt_id != attempt.id:
        return _stale(standing, verdict)
    match verdict:
        case Revoked():
            return refused(standing, attempt, verdict, now=now, rules=rules, circumstances=circumstances)
        case Misconfigured():
            return client_refused(standing, verdict, now=now, rules=rules, circumstances=circumstances)
        case RateLimited():
            return _limited(standing, verdict, now=now, rules=rules)
        case Unavailable(maybe_spent=True) if rules.rotation.spends:
            return _doubtful(standing, attempt, verdict, now=now, rules=rules, circumstances=circumstances)
        case Unavailable(reason=reason, http_status=status, code=code, retry_after=retry_after):
            wait = backoff(standing, rules)
            if retry_after is not None:
                wait = max(wait, rules.policy.throttle(retry_after))
            settled = postponed(standing, reason, status, code, until=now + wait, now=now, rules=rules)
            return settled if retry_after is None else held_back(settled, now + wait)
        case NotSent(reason=reason):
            wait = backoff(standing, rules)
            settled = postponed(standing, reason, None, None, until=now + wait, now=now, rules=rules)
            return replace(settled, outcome=Outcome.NOT_SENT)
        case _:
            assert_never(verdict)


def _limited(standing: Standing, verdict: RateLimited, *, now: datetime, rules: Rules) -> Settlement:
    """Nobody asks before the time that was named.

    Where none was, the limit may be this grant's own: who asks every few seconds never comes out of it. It may as well be
    everybody's and be over, so whoever waits for a token may ask after a minute.
    """
    wait = binding = rules.policy.throttle(verdict.retry_after)
    if verdict.retry_after is None:
        wait = max(wait, backoff(standing, rules))
        binding = min(wait, rules.policy.misconfigured_backoff)
    status = verdict.http_status
    settled = postponed(standing, FailureReason.RATE_LIMITED, status, None, until=now + wait, now=now, rules=rules)
    return held_back(settled, now + binding)


def _granted(
    standing: Standing,
    attempt: Attempt,
    verdict: Granted,
    *,
    now: datetime,
    rules: Rules,
    circumstances: Circumstances,
) -> Settlement:
    """A received token set is installed unless a younger attempt's, or another grant's, is there already."""
    account, lease, stored = standing.account, standing.lease, standing.credential
    status = verdict.http_status
    holds = lease.fence == attempt.fence and lease.attempt_id == attempt.id
    if stored.epoch == attempt.epoch and stored.installed_fence == attempt.fence and not holds:
        return Settlement(standing, Outcome.OK, http_status=status)
    if stored.epoch != attempt.epoch or stored.installed_fence > attempt.fence:
        freed = replace(standing, lease=lease.freed()) if holds else standing
        # Of a grant that was erased before another one came nothing is kept: it is its owner's.
        orphan = verdict.tokens if stored.epoch - attempt.epoch <= 1 else None
        return Settlement(freed, Outcome.SUPERSEDED, http_status=status, orphan=orphan, stale=True)
    obtained_at = attempt.sent_at or now
    # What was presented is younger than what is stored where a backup was restored meanwhile: the successor keeps its own place,
    # so that nobody takes it for what the backup had.
    generation = max(stored.generation, attempt.presented_generation) + 1
    tokens = verdict.tokens
    # A database that failed over with loss may have given a number out twice: then its present holder takes the next one.
    fence = max(attempt.fence, stored.installed_fence + 1)
    refresh_end, derived = _refresh_end(tokens, stored, same_token=circumstances.same_token)
    credential = CredentialVersion(
        epoch=stored.epoch,
        generation=generation,
        installed_fence=fence,
        obtained_at=obtained_at,
        expires_at=tokens.expires_at,
        refresh_token_expires_at=refresh_end,
        refreshable=stored.refreshable,
        refresh_end_derived=derived,
    )
    happenings = [Happening(EventType.REFRESHED)]
    lost_and_found = account.disabled is not None and account.disabled.reason is DisabledReason.IN_DOUBT
    if account.health is Health.FAILING or lost_and_found:
        happenings.append(Happening(EventType.RECOVERED))
    on = account.state is AccountState.ACTIVE or lost_and_found
    healthy = account.turned_on() if on else account.evolve(health=Health.HEALTHY, last_error=None)
    settled = lease
    in_others_hands = lease.phase is not Phase.IDLE and not holds
    # A first request that was given up may still be on its way: to use its successor's successor would make it a reuse.
    quiet_until = obtained_at + rules.quarantine.span(rules.rotation) if circumstances.unanswered else None
    barriers = [moment for moment in (quiet_until, rules.policy.opens_at(credential.expires_at)) if moment is not None]
    not_before = max(barriers, default=None)
    due = None
    if on:
        settled, expiring = notice(settled, credential, now=now)
        happenings += expiring
        # A provider that gives tokens which are dead on arrival is not asked without end.
        earliest = max(now + rules.policy.shortest_wait, not_before or now)
        due = _due_after(stored, Standing(account, settled, credential), rules=rules, earliest=earliest)
    settled = replace(
        settled,
        phase=Phase.IDLE if holds else lease.phase,
        attempt_id=None if holds else lease.attempt_id,
        lease_until=None if holds else lease.lease_until,
        fence=max(lease.fence, fence),
        next_refresh_at=due,
        due_at=lease.due_at if in_others_hands else due,
        not_before=not_before,
        consecutive_failures=0,
        failing_since=None,
        doubts=0,
        doubt_since=None,
        suspected_at=None,
    )
    return Settlement(
        Standing(healthy, settled, credential),
        Outcome.OK,
        http_status=status,
        install=tokens,
        resolution=Resolution.RECOVERED if lease.doubts or circumstances.unanswered else None,
        happenings=tuple(happenings),
    )


def _due_after(former: CredentialVersion, standing: Standing, *, rules: Rules, earliest: datetime) -> datetime | None:
    """When credentials that a refresh brought are refreshed in their turn. The lease still says when that one was due."""
    steady = is_steady(former, standing.credential)
    credential, account = standing.credential, standing.account
    due = next_refresh_at(credential, account, rules.policy, idle_life=rules.idle_life, steady=steady)
    told = credential.told_refresh_end
    own = place_of_its_own(former, account, rules.policy, idle_life=rules.idle_life) if former.generation == 1 else None
    brought_one = own is not None and own == standing.lease.next_refresh_at
    # An end that is told has its own times; to come before them would bring nothing.
    if has_lost_its_place(former, credential, brought_one=brought_one) and (
        told is None or (due is not None and told > due)
    ):
        due = place_in_round(
            credential, account, rules.policy, start=credential.obtained_at, idle_life=rules.idle_life, steady=steady
        )
    due = due_for_notice(due, standing.lease)
    return None if due is None else max(due, earliest)


def _refresh_end(tokens: TokenSet, stored: CredentialVersion, *, same_token: bool) -> tuple[datetime | None, bool]:
    """When the refresh token ends, and whether that is only derived.

    The answer's word comes first. One that kept the former token, or gave it back, began no new life; and a new token of which
    nothing is known does not inherit the end of the old one.
    """
    end, derived = tokens.refresh_token_expires_at, tokens.refresh_end_derived
    told = tokens.refresh_endless or (end is not None and not derived)
    if told or (tokens.refresh_token is not None and not same_token):
        return end, derived
    return stored.refresh_token_expires_at, stored.refresh_end_derived


def _stale(standing: Standing, verdict: Verdict) -> Settlement:
    """A fenced-off worker's bad news says nothing: it may be the loser of a race whose winner is fine."""
    return Settlement(
        standing,
        Outcome.SUPERSEDED,
        reason=_reason_of(verdict),
        http_status=getattr(verdict, "http_status", None),
        stale=True,
    )


def _doubtful(
    standing: Standing,
    attempt: Attempt,
    verdict: Unavailable,
    *,
    now: datetime,
    rules: Rules,
    circumstances: Circumstances,
) -> Settlement:
    """The token may be spent. The row stays closed until the quarantine has passed; then `release_doubt` decides."""
    lease = standing.lease
    if lease.phase is Phase.DOUBT:
        return Settlement(standing, Outcome.IN_DOUBT, reason=verdict.reason, http_status=verdict.http_status)
    sent_at = attempt.sent_at or now
    settled = postponed(
        standing,
        verdict.reason,
        verdict.http_status,
        verdict.code,
        until=sent_at + rules.quarantine.span(rules.rotation),
        now=now,
        rules=rules,
    )
    doubtful = replace(
        settled.standing.lease,
        phase=Phase.DOUBT,
        attempt_id=attempt.id,
        lease_until=sent_at + rules.quarantine.span(rules.rotation),
        sent_at=sent_at,
        presented_generation=attempt.presented_generation,
        doubts=lease.doubts + 1 + circumstances.unanswered,
        doubt_since=lease.doubt_since or sent_at,
        due_at=sent_at + rules.quarantine.span(rules.rotation),
    )
    first = lease.doubts == 0
    told = (Happening(EventType.IN_DOUBT, verdict.reason.value),) if first else ()
    return replace(
        settled,
        standing=replace(settled.standing, lease=doubtful),
        outcome=Outcome.IN_DOUBT,
        happenings=(*told, *settled.happenings),
    )


def _reason_of(verdict: Verdict) -> FailureReason | None:
    match verdict:
        case RateLimited():
            return FailureReason.RATE_LIMITED
        case Revoked() | Misconfigured() | Unavailable() | NotSent():
            return verdict.reason
        case Granted():
            return None
        case _:
            assert_never(verdict)
