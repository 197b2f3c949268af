"""Ask for a refresh now, without waiting for it."""

from dataclasses import dataclass

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.demand_refresh import Demand, DemandRefresh
from tokenkeep.application.work import Work, Works
from tokenkeep.domain.account import AccountView
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import NotRefreshable
from tokenkeep.domain.errors import NotFound, SourcePaused
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.source import SourceState
from tokenkeep.domain.vending import refuse_by_state


@dataclass(frozen=True, slots=True)
class RequestRefresh:
    """Writes the wish into the account's row, as a caller that waits for a token does, and hints at it."""

    works: Works
    demand: DemandRefresh

    async def __call__(self, caller: Caller, account_id: AccountId, *, correlation_id: str) -> None:
        """Returns once the wish is durable.

        Raises:
            NotFound: There is no such account in this environment.
            AccountPending, AccountDisabled, ReauthorizationRequired: The account's state allows no refresh.
            NotRefreshable: It has nothing to be refreshed with.
            SourcePaused: Its source is paused.
        """
        async with self.works() as work:
            await admit_refresh(work, caller, account_id)
        # In a transaction of its own, which callers that ask at the same time share.
        if await self.demand(Demand(account_id, None, correlation_id)) is None:
            raise NotRefreshable


async def admit_refresh(work: Work, caller: Caller, account_id: AccountId) -> None:
    """Check that the account can be refreshed, and write into the audit trail who asked. Raises as `RequestRefresh` does."""
    view = await work.accounts.view(account_id, caller.environment)
    if view is None:
        raise NotFound("account")
    _check(view)
    source = await work.sources.get(view.account.source_id, caller.environment)
    if source is not None and source.state is SourceState.PAUSED:
        raise SourcePaused(source.paused_reason or "", None)
    await work.audit(AuditEntry(caller, "account.refresh", format_id(IdKind.ACCOUNT, account_id)))


def _check(view: AccountView) -> None:
    disabled = view.account.disabled
    reason = None if disabled is None else disabled.reason
    refusal = refuse_by_state(view.account.state, reason, has_credentials=view.generation is not None)
    if refusal is not None:
        raise refusal
    if view.next_refresh_at is None:
        raise NotRefreshable
