"""Whether stored credentials may be handed out."""

from datetime import datetime, timedelta
from typing import assert_never

from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.conflicts import AccountDisabled, AccountPending, ReauthorizationRequired
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.errors import TokenkeepError

CLOCK_MARGIN = timedelta(seconds=5)


def remaining_needed(credential: CredentialVersion, min_ttl: timedelta) -> timedelta:
    """How much life a token must have left to be handed out.

    What the caller asks for, but never more than half of what the provider gives: a 30-second token can't be valid for
    60. On top of it comes a margin for the way to the caller and for clocks that differ, small beside a short life.
    """
    lifetime = credential.lifetime
    if lifetime is None:
        return timedelta(0)
    return min(max(min_ttl, min(CLOCK_MARGIN, lifetime / 10)), lifetime / 2)


def is_fresh(credential: CredentialVersion, *, min_ttl: timedelta, now: datetime) -> bool:
    """Whether the stored access token is valid for long enough."""
    if credential.expires_at is None:
        return True
    return credential.expires_at - now >= remaining_needed(credential, min_ttl)


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
