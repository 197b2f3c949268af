"""Whether stored credentials may be handed out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.conflicts import AccountDisabled, AccountPending, ReauthorizationRequired
from tokenkeep.domain.credential import UNKNOWN_LIFETIME, CredentialVersion
from tokenkeep.domain.errors import TokenkeepError

CLOCK_MARGIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Renewal:
    """How a provider renews access tokens, as far as it is known: what can be asked of a token goes by it.

    `usual`: how long it lets them live. `window`: it renews one only so long before its end; None: whenever it is asked.
    """

    usual: timedelta = UNKNOWN_LIFETIME
    window: timedelta | None = None


_ANY = Renewal()


def remaining_needed(credential: CredentialVersion, min_ttl: timedelta, renewal: Renewal = _ANY) -> timedelta:
    """How much life a token must have left to be handed out.

    What the caller asks for, but never more than half of what the provider gives: a 30-second token can't be valid for
    60. Nor more than is left when the provider begins to renew it. On top of it comes a margin for the way to the caller
    and for clocks that differ, small beside a short life.
    """
    lifetime = credential.lifetime
    if lifetime is None:
        return timedelta(0)
    wanted = max(min_ttl, min(CLOCK_MARGIN, lifetime / 10))
    most = _given(credential, lifetime, renewal) / 2
    return min(wanted, most) if renewal.window is None else min(wanted, most, renewal.window)


def is_fresh(credential: CredentialVersion, *, min_ttl: timedelta, now: datetime, renewal: Renewal = _ANY) -> bool:
    """Whether the stored access token is valid for long enough."""
    if credential.expires_at is None:
        return True
    return credential.expires_at - now >= remaining_needed(credential, min_ttl, renewal)


def _given(credential: CredentialVersion, lifetime: timedelta, renewal: Renewal) -> timedelta:
    """What the provider gives. What came in from outside is no measure, for it may have been nearly over; a refresh will tell.

    Where there is none, what came is all that there is to be had.
    """
    came_in = credential.generation == 1 and credential.refreshable
    return max(lifetime, renewal.usual) if came_in else lifetime


def refuse_by_state(
    state: AccountState, reason: DisabledReason | None, *, has_credentials: bool = True
) -> TokenkeepError | None:
    """The error that an account's state calls for, or None when it may give tokens.

    An operator may enable what he has disabled, but for an account whose credentials were erased with that.
    """
    match state:
        case AccountState.ACTIVE:
            return None
        case AccountState.PENDING:
            return AccountPending()
        case AccountState.DISABLED:
            why = reason or DisabledReason.BY_OPERATOR
            withdrawn = why is DisabledReason.BY_OPERATOR and not has_credentials
            lost = withdrawn or why.needs_reauthorization
            return ReauthorizationRequired(why.value) if lost else AccountDisabled(why.value)
        case _:
            assert_never(state)
