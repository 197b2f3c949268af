"""Giving a grant up: what becomes of an account whose grant is to be revoked while the account itself stays."""

from dataclasses import replace
from datetime import datetime

from tokenkeep.domain.account import AccountState, Custody, DisabledReason
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.conflicts import AccountPending, NotHeld
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.standing import Settlement, Standing

ERASED = "credentials_erased"
"""The detail of an account that was disabled with its grant: nothing but a new authorisation brings it back."""


def withdraw(standing: Standing, *, by: str, now: datetime) -> Settlement | TokenkeepError:
    """The account, disabled by an operator and without a grant; told only if it was not disabled before.

    Whatever holds its lease is fenced off: what has not left will not, and what comes of a request that has left finds no
    credentials to be settled into. An operator's word takes the place of what the account was disabled for before.
    """
    account = standing.account
    if account.state is AccountState.PENDING:
        return AccountPending()
    if account.custody is Custody.RELEASED:
        return NotHeld()
    off = replace(
        standing.lease.freed(),
        fence=standing.lease.fence + 1,
        next_refresh_at=None,
        due_at=None,
        not_before=None,
        suspected_at=None,
        watched_end=None,
        tell_at=None,
    )
    told = () if account.disabled is not None else (Happening(EventType.DISABLED, DisabledReason.BY_OPERATOR.value),)
    if account.disabled is not None and account.disabled.reason is DisabledReason.BY_OPERATOR:
        account = account.evolve(disabled=replace(account.disabled, detail=ERASED))
    else:
        account = account.turned_off(DisabledReason.BY_OPERATOR, detail=ERASED, at=now, by=by)
    bare = Standing(account.evolve(custody=Custody.NONE), off, standing.credential)
    return Settlement(bare, Outcome.OK, happenings=told)
