"""Handing a refresh token back to its owner: when it may be done, and what it makes of the account."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tokenkeep.domain.account import Account, AccountState, Custody, DisabledReason
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.conflicts import AccountPending, NotHeld
from tokenkeep.domain.errors import CredentialsErased, TokenkeepError
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.lease import Lease, Phase
from tokenkeep.domain.standing import Settlement, Standing
from tokenkeep.domain.vending import refuse_by_state

DOUBT_PATIENCE = timedelta(minutes=5)
"""How old an unanswered presentation must be before the token is handed back in doubt (custody protocol, section 6)."""

FETCHABLE_FOR = timedelta(hours=24)
"""For how long what was handed back can be fetched again, if its owner does not confirm that he has it."""


@dataclass(frozen=True, slots=True)
class Release:
    """That an account's credentials were handed back, last those of this `generation`.

    `erased_at` None: they can still be fetched again.
    """

    released_at: datetime
    confirm_before: datetime
    erased_at: datetime | None
    in_doubt: bool
    generation: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The refresh token was presented and the answer is not known yet. `until`: when that is waited for no longer."""

    until: datetime
    in_flight: bool


def refuse_handover(account: Account, release: Release | None) -> TokenkeepError | None:
    """The error that an account's state calls for, or None when there is something to hand back, or to show again."""
    if account.state is AccountState.PENDING:
        return AccountPending()
    if account.custody is Custody.RELEASED:
        return None if release is not None and release.erased_at is None else CredentialsErased()
    disabled = account.disabled
    if disabled is not None and disabled.reason is not DisabledReason.BY_OPERATOR:
        return refuse_by_state(account.state, disabled.reason)
    return NotHeld() if account.custody is Custody.NONE else None


def hand_back(standing: Standing, *, by: str, now: datetime) -> Settlement | Unanswered:
    """The account whose refresh token is its owner's from now on; or that an answer must be waited for.

    A lease under which nothing has left is no obstacle: its number is outdated here, so nothing will leave any more.

    The epoch stays. An answer that was given up for lost and comes after all is then installed like any late one, for it
    holds the living token: the owner gets it when he fetches again. Once the credentials are erased it has no place to go.
    """
    lease = standing.lease
    since = _unanswered_since(lease)
    if since is not None and now < since + DOUBT_PATIENCE:
        return Unanswered(since + DOUBT_PATIENCE, in_flight=lease.phase is Phase.SENT)
    off = replace(
        lease.freed(),
        fence=lease.fence + 1,
        next_refresh_at=None,
        due_at=None,
        doubts=lease.doubts if since is None else max(lease.doubts, 1),
        doubt_since=lease.doubt_since or since,
    )
    account = standing.account.turned_off(DisabledReason.RELEASED, detail=None, at=now, by=by)
    told = Happening(EventType.RELEASED)
    released = Standing(account.evolve(custody=Custody.RELEASED), off, standing.credential)
    return Settlement(released, Outcome.OK, happenings=(told,))


def _unanswered_since(lease: Lease) -> datetime | None:
    """Since when the fate of the stored refresh token is open. A probe in flight is waited for, however old the doubt."""
    if lease.phase is Phase.SENT:
        return lease.sent_at
    return lease.doubt_since if lease.doubts else None
