"""What becomes of the accounts of a mass revocation, once an operator has decided about it."""

from dataclasses import dataclass, replace
from datetime import datetime

from tokenkeep.domain.account import AccountState, Custody, DisabledReason
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.standing import Settlement, Standing
from tokenkeep.domain.transitions import disable

_BY = "tokenkeep"


@dataclass(frozen=True, slots=True)
class NotedRevocation:
    """That a provider called an account's grant dead. `held`: it was not believed, and the account is still active."""

    account_id: AccountId
    epoch: int
    generation: int
    at: datetime
    held: bool
    reason: DisabledReason
    detail: str | None


def believe(standing: Standing, said: NotedRevocation, *, now: datetime) -> Settlement | None:
    """The account, disabled as the provider had it; None when that no longer bears on it."""
    if not said.held or not _is_about(said, standing):
        return None
    return disable(standing, said.reason, by=_BY, now=now, detail=said.detail)


def disbelieve(standing: Standing, said: NotedRevocation, *, now: datetime) -> Settlement | None:
    """The account, due at once, and active again if we disabled it over what the provider said; else None.

    Nobody but us may have disabled it, and its credentials must be those that were called dead.
    """
    account, lease, credential = standing.account, standing.lease, standing.credential
    if not _is_about(said, standing) or account.custody is not Custody.HELD or not credential.refreshable:
        return None
    if account.state is AccountState.ACTIVE:
        if not said.held or lease.phase is not Phase.IDLE:
            return None
        # Nobody was to try it while the provider was not believed; a Retry-After is no part of such an answer.
        due = replace(lease, next_refresh_at=now, due_at=now, not_before=None)
        return Settlement(Standing(account, due, credential), Outcome.OK)
    disabled = account.disabled
    if disabled is None or (disabled.reason, disabled.by) != (said.reason, _BY):
        return None
    on = replace(
        lease,
        next_refresh_at=now,
        due_at=now if lease.phase is Phase.IDLE else lease.due_at,
        consecutive_failures=0,
        failing_since=None,
    )
    told = Happening(EventType.ENABLED)
    return Settlement(Standing(account.turned_on(), on, credential), Outcome.OK, happenings=(told,))


def _is_about(said: NotedRevocation, standing: Standing) -> bool:
    credential = standing.credential
    return (said.epoch, said.generation) == (credential.epoch, credential.generation)
