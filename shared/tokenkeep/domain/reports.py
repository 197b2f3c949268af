"""What follows from what services report of an account's token or grant, and from what providers tell by themselves."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from tokenkeep.domain.account import AccountState
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.standing import Settlement, Standing

REPORTED = "reported by a service"
"""The detail of an account that was disabled on a service's word."""

CLOSE: Final = timedelta(seconds=60)
"""How far a provider's clock and ours may be apart, and how long what it has ended may still seem alive to itself."""


_SAME_CLOCK: Final = timedelta(seconds=5)
_FIRST_EPOCH: Final = 1


class Follows(StrEnum):
    """What follows from a report that a grant is dead (ADR 0033)."""

    NOTHING = "nothing"
    ASKING = "asking"
    DISABLING = "disabling"


def on_revocation_report(standing: Standing, *, reported_at: datetime) -> Follows:
    """Whether a service is believed that an account's grant is dead.

    Where the provider can be asked, by a refresh, it is: its word disables, and a report that is wrong costs one refresh. Where
    it can't, the service's word is all there will ever be. A report says nothing of what was obtained after it came.
    """
    if standing.account.state is not AccountState.ACTIVE or standing.credential.obtained_at > reported_at:
        return Follows.NOTHING
    return Follows.DISABLING if standing.lease.next_refresh_at is None else Follows.ASKING


def on_provider_notice(standing: Standing, *, happened_at: datetime | None, now: datetime, believed: bool) -> Follows:
    """What follows when the provider itself has told, signed, that an account's grant is over (ADR 0037).

    Its word disables at once. A notice says nothing of what the provider gave after the time that it speaks of; where the two are
    so close that nobody can tell the order, it is asked. So it is where its word alone is not enough (`believed` is false), if
    there is anything to ask with. `happened_at` None: it names no time.
    """
    given_at = standing.credential.obtained_at
    at = _latest(happened_at, now=now)
    if standing.account.state is not AccountState.ACTIVE or given_at > at + CLOSE:
        return Follows.NOTHING
    can_be_asked = standing.lease.next_refresh_at is not None
    if given_at > at or (given_at > now - CLOSE and _may_mean_a_former_grant(standing, happened_at, now=now)):
        return Follows.ASKING if can_be_asked else Follows.NOTHING
    return Follows.DISABLING if believed or not can_be_asked else Follows.ASKING


def on_provider_suspicion(standing: Standing, *, happened_at: datetime | None, now: datetime) -> Follows:
    """What follows when a provider has told something that may mean that the grant is over: it is asked, where it can be."""
    at = _latest(happened_at, now=now)
    if standing.account.state is not AccountState.ACTIVE or standing.credential.obtained_at > at + CLOSE:
        return Follows.NOTHING
    return Follows.NOTHING if standing.lease.next_refresh_at is None else Follows.ASKING


def _latest(happened_at: datetime | None, *, now: datetime) -> datetime:
    """The last moment that a notice may mean."""
    return now if happened_at is None else min(happened_at, now)


def _may_mean_a_former_grant(standing: Standing, happened_at: datetime | None, *, now: datetime) -> bool:
    """Whether a notice may be older than credentials of this very minute, though its time does not say so.

    A clock that is ahead of ours would date it later than it was; one without a time may have been under way while the user
    authorised the account again.
    """
    if happened_at is None:
        return standing.lease.epoch > _FIRST_EPOCH
    return happened_at > now + _SAME_CLOCK


def token_rejected(standing: Standing) -> Settlement:
    """The account as it is, and the news that the provider refuses its present token, as a service says."""
    return Settlement(standing, Outcome.OK, happenings=(Happening(EventType.TOKEN_REJECTED),))
