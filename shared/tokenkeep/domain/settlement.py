"""What follows from a token endpoint's answer: the one place that decides it.

`settle` is handed the account as the database holds it now, locked, not as the worker remembers it. So whatever
happened during the flight (an operator's disable, a re-authorisation, a takeover) is seen and wins where it must.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from tokenkeep.domain.account import (
    Account,
    AccountState,
    DisabledReason,
    FailureReason,
    Health,
    LastError,
)
from tokenkeep.domain.attempt import Attempt, Outcome
from tokenkeep.domain.credential import CredentialVersion, TokenSet
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.lease import Lease, Phase
from tokenkeep.domain.refresh_policy import RefreshPolicy, spread
from tokenkeep.domain.rotation import Quarantine, Rotation
from tokenkeep.domain.verdict import (
    Granted,
    Misconfigured,
    NotSent,
    RateLimited,
    Revoked,
    Unavailable,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """An account as the database holds it under a row lock."""

    account: Account
    lease: Lease
    credential: CredentialVersion


@dataclass(frozen=True, slots=True)
class Rules:
    """What the decision goes by, besides the facts."""

    policy: RefreshPolicy
    rotation: Rotation
    quarantine: Quarantine


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is to be written, in one transaction.

    `install`: the token set becomes the account's credentials. `orphan`: it does not (a younger one is there), but it is
    kept in the receipt journal. `stale`: the writer was fenced off; its word changed nothing.
    """

    standing: Standing
    outcome: Outcome
    reason: FailureReason | None = None
    http_status: int | None = None
    error_code: str | None = None
    install: TokenSet | None = None
    orphan: TokenSet | None = None
    stale: bool = False
    happenings: tuple[Happening, ...] = ()

    def with_event_sequence(self, sequence: int) -> "Settlement":
        """A copy whose account has told this many events."""
        lease = replace(self.standing.lease, event_sequence=sequence)
        return replace(self, standing=replace(self.standing, lease=lease))


def settle(standing: Standing, attempt: Attempt, verdict: Verdict, *, now: datetime, rules: Rules) -> Settlement:
    """The account as it stands once the provider has spoken.

    Only the provider's explicit word disables. An unreachable provider says nothing about the grant, so an outage of
    any length pushes the next attempt away and does no more.
    """
    if isinstance(verdict, Granted):
        return _granted(standing, attempt, verdict, now=now, rules=rules)
    lease = standing.lease
    if lease.fence != attempt.fence or lease.epoch != attempt.epoch or lease.attempt_id != attempt.id:
        return _stale(standing, verdict)
    match verdict:
        case Revoked():
            return _revoked(standing, attempt, verdict, now=now)
        case Misconfigured(reason=reason, code=code, http_status=status):
            # A failed client login can burn a grant at some servers: nobody tries again before that.
            until = now + max(rules.policy.misconfigured_backoff, _backoff(standing, rules))
            settled = _postponed(standing, reason, status, code, until=until, now=now, rules=rules)
            return _held_back(settled, until)
        case RateLimited(retry_after=retry_after, http_status=status):
            until = now + rules.policy.throttle(retry_after)
            settled = _postponed(standing, FailureReason.RATE_LIMITED, status, None, until=until, now=now, rules=rules)
            return _held_back(settled, until)
        case Unavailable(maybe_spent=True) if rules.rotation.spends:
            return _doubtful(standing, attempt, verdict, now=now, rules=rules)
        case Unavailable(reason=reason, http_status=status, code=code, retry_after=retry_after):
            wait = _backoff(standing, rules)
            if retry_after is not None:
                wait = max(wait, rules.policy.throttle(retry_after))
            settled = _postponed(standing, reason, status, code, until=now + wait, now=now, rules=rules)
            return settled if retry_after is None else _held_back(settled, now + wait)
        case NotSent(reason=reason):
            wait = _backoff(standing, rules)
            settled = _postponed(standing, reason, None, None, until=now + wait, now=now, rules=rules)
            return replace(settled, outcome=Outcome.NOT_SENT)
        case _:
            assert_never(verdict)


def _granted(standing: Standing, attempt: Attempt, verdict: Granted, *, now: datetime, rules: Rules) -> Settlement:
    """A received token set is installed unless a younger attempt's, or another grant's, is there already."""
    account, lease, stored = standing.account, standing.lease, standing.credential
    status = verdict.http_status
    if stored.epoch == attempt.epoch and stored.installed_fence == attempt.fence:
        return Settlement(standing, Outcome.OK, http_status=status)
    if stored.epoch != attempt.epoch or stored.installed_fence > attempt.fence:
        ours = lease.fence == attempt.fence
        freed = replace(standing, lease=lease.freed()) if ours else standing
        return Settlement(freed, Outcome.SUPERSEDED, http_status=status, orphan=verdict.tokens, stale=True)
    obtained_at = attempt.sent_at or now
    generation = stored.generation + 1
    tokens = verdict.tokens
    credential = CredentialVersion(
        epoch=stored.epoch,
        generation=generation,
        installed_fence=attempt.fence,
        obtained_at=obtained_at,
        expires_at=tokens.expires_at,
        refresh_token_expires_at=_end_of(tokens, stored),
        refreshable=stored.refreshable,
    )
    happenings = [Happening(EventType.REFRESHED)]
    lost_and_found = account.disabled is not None and account.disabled.reason is DisabledReason.IN_DOUBT
    if account.health is Health.FAILING or lost_and_found:
        happenings.append(Happening(EventType.RECOVERED))
    on = account.state is AccountState.ACTIVE or lost_and_found
    healthy = account.turned_on() if on else account.evolve(health=Health.HEALTHY, last_error=None)
    late = lease.fence != attempt.fence
    settled = lease if late else lease.freed()
    in_others_hands = settled.phase is not Phase.IDLE
    due = next_refresh_at(credential, account, rules.policy) if on else None
    if due is not None:  # a provider that gives tokens which are dead on arrival is not asked without end
        due = max(due, now + rules.policy.shortest_wait)
    settled = replace(
        settled,
        next_refresh_at=due,
        due_at=lease.due_at if in_others_hands else due,
        not_before=None,
        consecutive_failures=0,
        failing_since=None,
        doubts=0,
        doubt_since=None,
    )
    return Settlement(
        Standing(healthy, settled, credential),
        Outcome.OK,
        http_status=status,
        install=tokens,
        happenings=tuple(happenings),
    )


def _end_of(tokens: TokenSet, stored: CredentialVersion) -> datetime | None:
    """When the refresh token ends. A new one that tells no end does not inherit that of the old one."""
    if tokens.refresh_token_expires_at is not None or tokens.refresh_token is not None:
        return tokens.refresh_token_expires_at
    return stored.refresh_token_expires_at


def _stale(standing: Standing, verdict: Verdict) -> Settlement:
    """A fenced-off worker's bad news says nothing: it may be the loser of a race whose winner is fine."""
    return Settlement(
        standing,
        Outcome.SUPERSEDED,
        reason=_reason_of(verdict),
        http_status=getattr(verdict, "http_status", None),
        stale=True,
    )


def _revoked(standing: Standing, attempt: Attempt, verdict: Revoked, *, now: datetime) -> Settlement:
    """The provider says that the grant is dead. It counts only against the token that is stored now."""
    account, lease = standing.account, standing.lease
    freed = lease.freed()
    facts = {
        "reason": FailureReason.INVALID_GRANT,
        "http_status": verdict.http_status,
        "error_code": verdict.code,
    }
    if standing.credential.generation != attempt.presented_generation:
        due = replace(freed, due_at=freed.next_refresh_at)
        return Settlement(replace(standing, lease=due), Outcome.SUPERSEDED, stale=True, **facts)  # type: ignore[arg-type]
    failed = replace(
        freed,
        next_refresh_at=None,
        due_at=None,
        consecutive_failures=lease.consecutive_failures + 1,
        failing_since=lease.failing_since or now,
    )
    error = LastError(FailureReason.INVALID_GRANT, verdict.http_status, now)
    if account.state is not AccountState.ACTIVE:
        seen = replace(standing, lease=failed, account=account.evolve(last_error=error))
        return Settlement(seen, Outcome.REFUSED, **facts)  # type: ignore[arg-type]
    why = _why_dead(standing, now=now)
    off = account.turned_off(why, detail=verdict.detail or verdict.code, at=now).evolve(last_error=error)
    return Settlement(
        replace(standing, lease=failed, account=off),
        Outcome.REFUSED,
        happenings=(Happening(EventType.DISABLED, why.value),),
        **facts,  # type: ignore[arg-type]
    )


def _why_dead(standing: Standing, *, now: datetime) -> DisabledReason:
    """Tells a user's revocation from a rotation lost on the wire, and both from a refresh token that ran out."""
    if standing.lease.doubts:
        return DisabledReason.IN_DOUBT
    ends = standing.credential.refresh_token_expires_at
    return DisabledReason.EXPIRED if ends is not None and ends <= now else DisabledReason.REVOKED


def _postponed(
    standing: Standing,
    reason: FailureReason,
    status: int | None,
    code: str | None,
    *,
    until: datetime,
    now: datetime,
    rules: Rules,
) -> Settlement:
    """A fault that is not the account's: the next attempt moves away, and nothing else happens."""
    account, stored = standing.account, standing.credential
    failures = standing.lease.consecutive_failures + 1
    refreshing = account.state is AccountState.ACTIVE and standing.lease.next_refresh_at is not None
    lease = replace(
        standing.lease.freed(),
        next_refresh_at=until if refreshing else None,
        due_at=until if refreshing else None,
        not_before=min(until, now + rules.policy.demand_floor),
        consecutive_failures=failures,
        failing_since=standing.lease.failing_since or now,
    )
    failing = refreshing and rules.policy.is_failing(
        failures=failures, now=now, obtained_at=stored.obtained_at, expires_at=stored.expires_at
    )
    turned = failing and account.health is Health.HEALTHY
    failed = account.evolve(
        health=Health.FAILING if failing else account.health, last_error=LastError(reason, status, now)
    )
    return Settlement(
        Standing(failed, lease, stored),
        Outcome.FAILED,
        reason=reason,
        http_status=status,
        error_code=code,
        happenings=(Happening(EventType.FAILING, reason.value),) if turned else (),
    )


def _held_back(settlement: Settlement, until: datetime) -> Settlement:
    """The provider named a time; on-demand callers are bound by it too."""
    lease = replace(settlement.standing.lease, not_before=until)
    return replace(settlement, standing=replace(settlement.standing, lease=lease))


def _doubtful(standing: Standing, attempt: Attempt, verdict: Unavailable, *, now: datetime, rules: Rules) -> Settlement:
    """The token may be spent. The row stays closed until the quarantine has passed; then `release_doubt` decides."""
    lease = standing.lease
    sent_at = attempt.sent_at or now
    settled = _postponed(
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
        doubts=lease.doubts + 1,
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


def next_refresh_at(credential: CredentialVersion, account: Account, policy: RefreshPolicy) -> datetime | None:
    """When credentials come due for a refresh; None when they do not expire or can't be refreshed.

    A refresh token that ends before its access token does is used before its own end.
    """
    ends = [end for end in (credential.expires_at, credential.refresh_token_expires_at) if end is not None]
    if credential.expires_at is None or not credential.refreshable:
        return None
    return policy.due_at(
        obtained_at=credential.obtained_at,
        expires_at=min(ends),
        jitter=spread(account.id, credential.generation),
    )


def _backoff(standing: Standing, rules: Rules) -> timedelta:
    failures = standing.lease.consecutive_failures
    jitter = spread(standing.account.id, standing.credential.generation + 1000 * (failures + 1))
    return rules.policy.backoff(failures, jitter=jitter)


def _reason_of(verdict: Verdict) -> FailureReason | None:
    match verdict:
        case Revoked():
            return FailureReason.INVALID_GRANT
        case RateLimited():
            return FailureReason.RATE_LIMITED
        case Misconfigured() | Unavailable() | NotSent():
            return verdict.reason
        case Granted():
            return None
        case _:
            assert_never(verdict)
