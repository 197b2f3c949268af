"""Changes of an account's state that no token endpoint has a part in."""

from dataclasses import replace
from datetime import datetime, timedelta

from tokenkeep.domain.account import AccountState, Custody, DisabledReason
from tokenkeep.domain.arrival import Arrival, arrival_due_at
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.conflicts import AccountPending, ReauthorizationRequired
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.due_time import last_chance, next_refresh_at
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.expiry_notice import due_for_notice, look_at, notice, watched
from tokenkeep.domain.lease import Lease, Phase
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import late_probe_at
from tokenkeep.domain.standing import Settlement, Standing

_BY_SOMEBODYS_WORD = frozenset({DisabledReason.BY_OPERATOR, DisabledReason.RELEASED, DisabledReason.SOURCE_DELETED})


def disable(
    standing: Standing, reason: DisabledReason, *, by: str, now: datetime, detail: str | None = None
) -> Settlement | None:
    """The account, disabled; None when it is so already.

    A refresh in flight is left to finish: its tokens are still installed, the account stays disabled. An operator's word takes
    the place of what we found out: no link, no late answer and no incident that is over brings back whom he has put out of
    service. Its state stays as it was, so nothing is told.
    """
    former = standing.account.disabled
    if former is not None:
        if reason is not DisabledReason.BY_OPERATOR or former.reason in _BY_SOMEBODYS_WORD:
            return None
        account = standing.account.turned_off(reason, detail=former.reason.value, at=now, by=by)
        return Settlement(replace(standing, account=account), Outcome.OK)
    lease = standing.lease
    off = replace(lease, next_refresh_at=None, due_at=None if lease.phase is Phase.IDLE else lease.due_at)
    account = standing.account.turned_off(reason, detail=detail, at=now, by=by)
    told = Happening(EventType.DISABLED, reason.value)
    return Settlement(Standing(account, off, standing.credential), Outcome.OK, happenings=(told,))


def enable(
    standing: Standing, *, now: datetime, idle_life: timedelta | None = None
) -> Settlement | TokenkeepError | None:
    """The account, active again; None when it is so already; an error when only the end user can bring it back.

    A held account is refreshed at once: that shows whether the grant is still good. If its refresh token is in doubt, it waits
    for its probe. One whose access token lives for ever, and whose refresh token is in no danger, needs neither; and a refresh
    token that is said to have ended could only bring a living access token to an end.
    """
    account, lease, credential = standing.account, standing.lease, standing.credential
    if account.state is AccountState.PENDING:
        return AccountPending()
    if account.state is AccountState.ACTIVE:
        return None
    if account.custody is Custody.RELEASED:
        return ReauthorizationRequired(DisabledReason.RELEASED.value)
    ran_out = credential.expires_at is not None and credential.expires_at <= now
    if ran_out and not credential.refreshable:
        return ReauthorizationRequired(DisabledReason.EXPIRED.value)
    refreshing = account.custody is Custody.HELD and credential.refreshable
    due = None
    if refreshing and (credential.expires_at is not None or idle_life is not None):
        in_time = last_chance(credential, now=now, idle_life=idle_life)
        at_once = _after_its_end(credential, now=now) if _has_ended(credential, now=now) else now
        due = late_probe_at(sent_at=lease.sent_at or now, expires_at=in_time, now=now) if lease.doubts else at_once
    watching = watched(lease, credential, now=now)
    on = replace(
        watching,
        next_refresh_at=due,
        due_at=(due or look_at(watching, credential)) if lease.phase is Phase.IDLE else lease.due_at,
        consecutive_failures=0,
        failing_since=None,
    )
    told = Happening(EventType.ENABLED)
    return Settlement(Standing(account.turned_on(), on, credential), Outcome.OK, happenings=(told,))


def activate(
    standing: Standing, *, now: datetime, policy: RefreshPolicy, idle_life: timedelta | None = None
) -> Settlement:
    """A pending account that has got the last of what it lacked. Its credentials may have ended while it waited."""
    on = standing.account.turned_on()
    lease = first_scheduled(replace(standing, account=on), now=now, policy=policy, idle_life=idle_life)
    told = Happening(EventType.ACTIVATED)
    return Settlement(Standing(on, lease, standing.credential), Outcome.OK, happenings=(told,))


def run_out(standing: Standing, *, now: datetime) -> Settlement | None:
    """An account whose credentials have expired and can't be refreshed, disabled; None when that is not so."""
    credential = standing.credential
    if standing.account.state is not AccountState.ACTIVE or standing.lease.next_refresh_at is not None:
        return None
    if credential.expires_at is None or credential.expires_at > now:
        return None
    return disable(standing, DisabledReason.EXPIRED, by="tokenkeep", now=now)


def end_or_tell(standing: Standing, *, now: datetime) -> Settlement | None:
    """What follows when a scheduler looks at credentials that can't be refreshed: they have run out, or are about to.

    None when neither is the case, and the account is looked at when it should be.
    """
    ended = run_out(standing, now=now)
    account, lease, credential = standing.account, standing.lease, standing.credential
    if ended is not None or account.state is not AccountState.ACTIVE or lease.next_refresh_at is not None:
        return ended
    told, expiring = notice(lease, credential, now=now)
    looked_at = replace(told, due_at=look_at(told, credential))
    if looked_at == lease:
        return None
    return Settlement(Standing(account, looked_at, credential), Outcome.OK, happenings=expiring)


def first_scheduled(
    standing: Standing,
    *,
    now: datetime,
    policy: RefreshPolicy,
    idle_life: timedelta | None = None,
    arrival: Arrival | None = None,
) -> Lease:
    """The lease of an account whose credentials have just come in from outside: when they are due, and which end is watched.

    What was told of the credentials of before says nothing of these. `arrival`: they came with many others. A provider that refreshes
    only towards the access token's end is not asked before, whoever demands it.
    """
    account, credential = standing.account, standing.credential
    lease = replace(standing.lease, next_refresh_at=None, due_at=None, watched_end=None, tell_at=None)
    if account.state is not AccountState.ACTIVE:
        return lease
    lease = watched(lease, credential, now=now)
    if not credential.refreshable:
        return replace(lease, due_at=look_at(lease, credential))
    if arrival is None:
        first = _first_due_at(standing, now=now, policy=policy, idle_life=idle_life)
    else:
        first = arrival_due_at(account, credential, lease, arrival, now=now, policy=policy, idle_life=idle_life)
    due = due_for_notice(first, lease)
    opens_at = policy.opens_at(credential.expires_at)
    if opens_at is not None:
        due = max(due or opens_at, opens_at)
        lease = replace(lease, not_before=opens_at)
    return replace(lease, next_refresh_at=due, due_at=due)


def _first_due_at(standing: Standing, *, now: datetime, policy: RefreshPolicy, idle_life: timedelta | None) -> datetime:
    """A refresh token that came without any word on the access token's life is used at once, to learn it."""
    credential = standing.credential
    if credential.expires_at is None:
        return now
    if _has_ended(credential, now=now):
        return _after_its_end(credential, now=now) or now
    return max(next_refresh_at(credential, standing.account, policy, idle_life=idle_life) or now, now)


def _has_ended(credential: CredentialVersion, *, now: datetime) -> bool:
    """Whether somebody who must know has said that the refresh token's time would be over by now."""
    told = credential.told_refresh_end
    return told is not None and told <= now


def _after_its_end(credential: CredentialVersion, *, now: datetime) -> datetime | None:
    """When a refresh token is presented that is said to have ended: once nothing can be lost by it any more."""
    return None if credential.expires_at is None else max(credential.expires_at, now)
