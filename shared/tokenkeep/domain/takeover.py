"""What a sweeper makes of leases whose holders have gone silent (custody protocol, S9)."""

from dataclasses import replace
from datetime import datetime

from tokenkeep.domain.account import Account, AccountState, FailureReason, Health, LastError
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.due_time import last_chance
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.lease import Lease, Phase
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import probe_at
from tokenkeep.domain.source import ROLLBACK
from tokenkeep.domain.standing import Rules, Settlement, Standing


def take_over(standing: Standing, *, now: datetime, rules: Rules) -> Settlement:
    """What a sweeper makes of a lease whose holder was silent for too long.

    The number grows, so the old holder's later writes fail. `leased` is free at once: nothing had left. `sent` and
    `doubt` have been through their quarantine; the token will be probed once more.
    """
    lease = standing.lease
    bumped = replace(lease, fence=lease.fence + 1)
    if lease.phase is Phase.LEASED:
        freed = replace(bumped.freed(), due_at=lease.due_from(now))
        return Settlement(replace(standing, lease=freed), Outcome.NOT_SENT, reason=FailureReason.INTERNAL_ERROR)
    unseen = lease.phase is Phase.SENT
    doubts = lease.doubts + 1 if unseen else lease.doubts
    sent_at = lease.sent_at or now
    told: tuple[Happening, ...] = ()
    if unseen and rules.rotation.spends and lease.doubts == 0:
        told = (Happening(EventType.IN_DOUBT, FailureReason.INTERNAL_ERROR.value),)
    freed = replace(
        bumped.freed(),
        doubts=doubts if rules.rotation.spends else 0,
        doubt_since=(lease.doubt_since or sent_at) if rules.rotation.spends else None,
    )
    if lease.next_refresh_at is None:
        return Settlement(replace(standing, lease=replace(freed, due_at=None)), Outcome.IN_DOUBT, happenings=told)
    account = standing.account
    if unseen:
        freed = replace(
            freed,
            consecutive_failures=lease.consecutive_failures + 1,
            failing_since=lease.failing_since or now,
        )
        account, failing = _told_failing(account, freed, standing.credential, now=now, policy=rules.policy)
        told = (*told, *failing)
    probe = probe_at(
        rules.rotation,
        rules.quarantine,
        presentations=doubts,
        sent_at=sent_at,
        expires_at=last_chance(standing.credential, now=now, idle_life=rules.idle_life),
        doubt_since=freed.doubt_since,
    )
    at = max(probe, now)
    probing = Standing(account, replace(freed, next_refresh_at=at, due_at=at), standing.credential)
    return Settlement(probing, Outcome.IN_DOUBT, happenings=told)


def went_back(standing: Standing, *, now: datetime) -> Settlement:
    """The account when its stored refresh token turns out to be older than one that was installed before.

    The database was restored, or failed over with loss. The stored token was spent, perhaps; so it is in doubt, and whatever
    the provider says of it is no revocation. Nothing was sent under this lease.
    """
    lease = standing.lease
    doubtful = replace(
        lease.freed(), due_at=lease.due_from(now), doubts=max(lease.doubts, 1), doubt_since=lease.doubt_since or now
    )
    told = (Happening(EventType.IN_DOUBT, ROLLBACK),) if lease.doubts == 0 else ()
    return Settlement(replace(standing, lease=doubtful), Outcome.NOT_SENT, happenings=told)


def _told_failing(
    account: Account, lease: Lease, stored: CredentialVersion, *, now: datetime, policy: RefreshPolicy
) -> tuple[Account, tuple[Happening, ...]]:
    """The account after a worker that never came back; a run of such losses makes it failing, like any other."""
    error = LastError(FailureReason.INTERNAL_ERROR, None, now)
    failing = policy.is_failing(
        failures=lease.consecutive_failures, now=now, obtained_at=stored.obtained_at, expires_at=stored.expires_at
    )
    if not failing or account.health is Health.FAILING or account.state is not AccountState.ACTIVE:
        return account.evolve(last_error=error), ()
    told = Happening(EventType.FAILING, FailureReason.INTERNAL_ERROR.value)
    return account.evolve(health=Health.FAILING, last_error=error), (told,)
