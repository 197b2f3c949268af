"""What follows when a provider says that a grant is dead: the one place from which a refresh disables an account.

The word counts only against the token that is stored now, only if no other token set is left to try, only if the
provider is not known to say it lightly, and only as long as it does not say it of everybody.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from tokenkeep.domain.account import AccountState, DisabledReason, LastError
from tokenkeep.domain.attempt import Attempt, Outcome, Resolution
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.postponement import postponed, set_aside
from tokenkeep.domain.standing import Circumstances, Orphan, Rules, Settlement, Standing
from tokenkeep.domain.verdict import Revoked


def refused(
    standing: Standing,
    attempt: Attempt,
    verdict: Revoked,
    *,
    now: datetime,
    rules: Rules,
    circumstances: Circumstances,
) -> Settlement:
    """The account after an `invalid_grant` that its present holder brings."""
    facts: dict[str, Any] = {
        "reason": verdict.reason,
        "http_status": verdict.http_status,
        "error_code": verdict.code,
    }
    freed = standing.lease.freed()
    if standing.credential.generation != attempt.presented_generation:
        due = replace(freed, due_at=freed.due_from(now))
        return Settlement(replace(standing, lease=due), Outcome.SUPERSEDED, stale=True, **facts)
    active = standing.account.state is AccountState.ACTIVE
    if circumstances.orphan is not None and (not active or _is_confirmed(standing, now=now, rules=rules)):
        return replace(_orphan_installed(standing, attempt, circumstances.orphan, now=now, rules=rules), **facts)
    if not active:
        return _seen_while_off(standing, verdict, facts, now=now)
    if circumstances.revocations_held:
        until = now + rules.policy.held_wait
        aside = set_aside(standing, verdict.reason, verdict.http_status, verdict.code, until=until, now=now)
        return replace(aside, outcome=Outcome.REFUSED, held=True)
    if not _is_confirmed(standing, now=now, rules=rules):
        return _suspected(standing, verdict, now=now, rules=rules)
    return _disabled(_with_unanswered(standing, attempt, circumstances, now=now), verdict, facts, now=now)


def _with_unanswered(standing: Standing, attempt: Attempt, circumstances: Circumstances, *, now: datetime) -> Standing:
    """Presentations that this very attempt got no answer to are doubts like any other."""
    lease = standing.lease
    if not circumstances.unanswered:
        return standing
    since = lease.doubt_since or attempt.sent_at or now
    return replace(standing, lease=replace(lease, doubts=lease.doubts + circumstances.unanswered, doubt_since=since))


def _is_confirmed(standing: Standing, *, now: datetime, rules: Rules) -> bool:
    suspected_at = standing.lease.suspected_at
    if not rules.confirm_revocation:
        return True
    return suspected_at is not None and suspected_at + rules.confirm_revocation <= now


def _suspected(standing: Standing, verdict: Revoked, *, now: datetime, rules: Rules) -> Settlement:
    """The first refusal of a provider that is known for spurious ones: it is asked once more, a while later."""
    suspected_at = standing.lease.suspected_at or now
    until = max(suspected_at + rules.confirm_revocation, now + rules.policy.shortest_wait)
    first = postponed(standing, verdict.reason, verdict.http_status, verdict.code, until=until, now=now, rules=rules)
    lease = replace(first.standing.lease, suspected_at=suspected_at, not_before=until)
    return replace(first, standing=replace(first.standing, lease=lease), outcome=Outcome.REFUSED)


def _orphan_installed(
    standing: Standing, attempt: Attempt, orphan: Orphan, *, now: datetime, rules: Rules
) -> Settlement:
    """A token set that came too late to be installed is tried before the grant is given up.

    Nobody has proven its access token, so it is installed as expired: none is handed out before the refresh that is due at
    once has brought a new one. That there was an orphan means that two presentations crossed, so the doubt remains.
    """
    stored, lease = standing.credential, standing.lease
    credential = CredentialVersion(
        epoch=stored.epoch,
        generation=stored.generation + 1,
        installed_fence=attempt.fence,
        obtained_at=attempt.sent_at or now,
        expires_at=now,
        refresh_token_expires_at=orphan.tokens.refresh_token_expires_at,
        refreshable=stored.refreshable,
        refresh_end_derived=orphan.tokens.refresh_end_derived,
    )
    active = standing.account.state is AccountState.ACTIVE
    due = now + rules.policy.shortest_wait if active else None
    freed = replace(
        lease.freed(),
        next_refresh_at=due,
        due_at=due,
        not_before=None,
        doubts=max(lease.doubts, 1),
        doubt_since=lease.doubt_since or now,
        suspected_at=None,
    )
    return Settlement(
        Standing(standing.account, freed, credential),
        Outcome.REFUSED,
        install=replace(orphan.tokens, expires_at=now),
        tried=orphan.attempt_id,
    )


def _seen_while_off(standing: Standing, verdict: Revoked, facts: dict[str, Any], *, now: datetime) -> Settlement:
    """The account was switched off during the flight: its reason stays, and the word is kept for whoever looks."""
    lease = replace(standing.lease.freed(), next_refresh_at=None, due_at=None)
    error = LastError(verdict.reason, verdict.http_status, now)
    seen = replace(standing, lease=lease, account=standing.account.evolve(last_error=error))
    return Settlement(seen, Outcome.REFUSED, **facts)


def _disabled(standing: Standing, verdict: Revoked, facts: dict[str, Any], *, now: datetime) -> Settlement:
    lease = standing.lease
    failed = replace(
        lease.freed(),
        next_refresh_at=None,
        due_at=None,
        consecutive_failures=lease.consecutive_failures + 1,
        failing_since=lease.failing_since or now,
    )
    why = _why_dead(standing, now=now)
    error = LastError(verdict.reason, verdict.http_status, now)
    off = standing.account.turned_off(why, detail=_evidence(standing, verdict, why), at=now)
    return Settlement(
        replace(standing, lease=failed, account=off.evolve(last_error=error)),
        Outcome.REFUSED,
        resolution=Resolution.LOST if why is DisabledReason.IN_DOUBT else None,
        happenings=(Happening(EventType.DISABLED, why.value),),
        **facts,
    )


def _why_dead(standing: Standing, *, now: datetime) -> DisabledReason:
    """Tells a user's revocation from a rotation lost on the wire, and both from a refresh token that ran out.

    An end that nobody told proves nothing: were a wrong figure enough, it would hide a mass revocation from its guard.
    """
    if standing.lease.doubts:
        return DisabledReason.IN_DOUBT
    ends = standing.credential.told_refresh_end
    return DisabledReason.EXPIRED if ends is not None and ends <= now else DisabledReason.REVOKED


def _evidence(standing: Standing, verdict: Revoked, why: DisabledReason) -> str:
    """What an operator needs to tell one dead grant from another; no text of the provider's own."""
    said = verdict.detail or verdict.code
    lease = standing.lease
    if why is not DisabledReason.IN_DOUBT or lease.doubt_since is None:
        return said
    since = lease.doubt_since.isoformat(timespec="seconds").replace("+00:00", "Z")
    times = "once" if lease.doubts == 1 else f"{lease.doubts} times"
    return f"{said}; presented {times} without an answer since {since}"
