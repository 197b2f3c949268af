"""New credentials for an account that exists: another grant under the same id."""

from dataclasses import replace
from datetime import datetime, timedelta

from tokenkeep.domain.account import Account, AccountState, Custody
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.credential import CredentialVersion, Held, TokenSet, first_version, is_renewed
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.lease import Lease
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.standing import Settlement, Standing
from tokenkeep.domain.transitions import first_scheduled


def reauthorize(
    account: Account,
    lease: Lease,
    stored: CredentialVersion | None,
    held: Held,
    *,
    now: datetime,
    policy: RefreshPolicy,
    idle_life: timedelta | None = None,
    ready: bool = True,
) -> Settlement:
    """The account, active with new credentials, whatever it was before; but one that is not `ready` goes on being pending.

    The epoch grows, so whatever a refresh of the former grant still brings is no business of this one; so does the fence, so
    a lease under which nothing has left is worth nothing. The generation goes on counting even over credentials that were
    erased: others remember the highest one, and take a lower one for a database that went back in time.
    """
    fence, epoch = lease.fence + 1, lease.epoch + 1
    latest = max(0 if stored is None else stored.generation, lease.presented_generation or 0)
    credential = first_version(held, now=now, epoch=epoch, generation=latest + 1, fence=fence)
    custody = Custody.HELD if is_renewed(held) else Custody.NONE
    changed = (account.turned_on() if ready else account).evolve(custody=custody)
    free = replace(
        lease.freed(),
        fence=fence,
        epoch=epoch,
        not_before=None,
        consecutive_failures=0,
        failing_since=None,
        doubts=0,
        doubt_since=None,
        suspected_at=None,
    )
    scheduled = first_scheduled(Standing(changed, free, credential), now=now, policy=policy, idle_life=idle_life)
    told = EventType.ACTIVATED if account.state is AccountState.PENDING else EventType.REAUTHORIZED
    return Settlement(
        Standing(changed, scheduled, credential),
        Outcome.OK,
        install=held if isinstance(held, TokenSet) else None,
        happenings=(Happening(told),) if ready else (),
    )
