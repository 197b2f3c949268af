"""Enable and disable accounts, by hand."""

from dataclasses import dataclass
from datetime import timedelta

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.refreshing import SettlementWrite
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work
from tokenkeep.domain.account import Account, AccountState, AccountView, DisabledReason
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import AccountPending, ReauthorizationRequired
from tokenkeep.domain.errors import NotFound, TokenkeepError
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.settlement import Settlement
from tokenkeep.domain.transitions import disable, enable
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.options import effective_rules


@dataclass(frozen=True, slots=True)
class ToggleAccount:
    """Changes an account's state under its row lock; the event is written in the same transaction."""

    catalogue: Catalogue

    async def __call__(
        self, work: Work, caller: Caller, account_id: AccountId, *, on: bool, correlation_id: str
    ) -> AccountView:
        """The account as it is then; nothing is told when it was so already.

        Raises:
            NotFound: There is no such account in this environment.
            AccountPending: It lacks credentials, or a property.
            ReauthorizationRequired: Only the end user can bring it back.
        """
        view = await work.accounts.view(account_id, caller.environment)
        if view is None:
            raise NotFound("account")
        locked = (await work.ledger.lock([account_id])).get(account_id)
        if locked is not None and locked.standing.account.state is AccountState.PENDING:
            raise AccountPending
        if locked is None:
            return await self._without_credentials(work, caller, account_id, on=on)
        decided: Settlement | TokenkeepError | None
        if on:
            idle_life = await self._idle_life(work, view.account)
            decided = enable(locked.standing, now=locked.now, idle_life=idle_life)
        else:
            decided = disable(locked.standing, DisabledReason.BY_OPERATOR, by=caller.name, now=locked.now)
        if isinstance(decided, TokenkeepError):
            raise decided
        if decided is not None:
            settlement, events = number_events(decided, now=locked.now, correlation_id=correlation_id)
            write = SettlementWrite(
                before=locked.standing, settlement=settlement, attempt=None, events=events, settled_at=locked.now
            )
            await work.ledger.write([write])
        action = "account.enable" if on else "account.disable"
        await work.audit(AuditEntry(caller, action, format_id(IdKind.ACCOUNT, account_id)))
        changed = await work.accounts.view(account_id, caller.environment)
        assert changed is not None  # noqa: S101 - its lease is locked
        return changed

    async def _without_credentials(self, work: Work, caller: Caller, account_id: AccountId, *, on: bool) -> AccountView:
        """An account that never had any; or whose credentials were erased, so that nothing but new ones brings it back."""
        view = await work.accounts.view(account_id, caller.environment)
        if view is None:
            raise NotFound("account")
        disabled = view.account.disabled
        if disabled is None:
            raise AccountPending
        if on:
            raise ReauthorizationRequired(disabled.reason.value)
        return view

    async def _idle_life(self, work: Work, account: Account) -> timedelta | None:
        """How long the source lets a refresh token lie unused; None where this process can't work it out."""
        source = await work.sources.get(account.source_id, account.environment)
        if source is None:
            return None
        try:
            return effective_rules(self.catalogue.get(source.provider), source.options).idle_life
        except TokenkeepError:
            return None
