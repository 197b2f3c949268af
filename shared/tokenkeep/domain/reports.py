"""What follows from what services report of an account's token or grant."""

from datetime import datetime
from enum import StrEnum

from tokenkeep.domain.account import AccountState
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.standing import Settlement, Standing

REPORTED = "reported by a service"
"""The detail of an account that was disabled on a service's word."""


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


def token_rejected(standing: Standing) -> Settlement:
    """The account as it is, and the news that the provider refuses its present token, as a service says."""
    return Settlement(standing, Outcome.OK, happenings=(Happening(EventType.TOKEN_REJECTED),))
