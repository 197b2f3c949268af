"""Withdraw an account: disable it, have its grant revoked at the provider, and keep nothing of its credentials."""

from dataclasses import dataclass

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.credential_stores import Fetched
from tokenkeep.application.refreshing import SettlementWrite
from tokenkeep.application.request_revocation import RequestRevocation
from tokenkeep.application.revocations import RevocationAsked
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work
from tokenkeep.domain.account import AccountView
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import NotFound, TokenkeepError
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.withdrawal import withdraw


@dataclass(frozen=True, slots=True)
class WithdrawAccount:
    """Disables an account at once and for good; its grant is revoked afterwards, by a worker, as soon as that can be done.

    A refresh in flight is not waited for, and changes nothing any more: what it still brings is handed to the same worker. Only
    a new authorisation makes the account work again.
    """

    request_revocation: RequestRevocation

    async def __call__(
        self, work: Work, caller: Caller, account_id: AccountId, *, correlation_id: str, fetched: Fetched
    ) -> tuple[AccountView, RevocationAsked]:
        """The account as it is then, and what was done about its grant.

        Raises:
            NotFound: There is no such account in this environment.
            AccountPending: It never had credentials.
            NotHeld: Its credentials were handed back; they are not ours to revoke.
            StoredElsewhere: Its credentials are to be fetched first.
        """
        full = await work.full_accounts.lock(account_id, caller.environment)
        if full is None:
            raise NotFound("account")
        decided = withdraw(full.standing, by=caller.name, now=full.now)
        if isinstance(decided, TokenkeepError):
            raise decided
        asked = await self.request_revocation(work, full, fetched)
        if full.stored is not None:
            settlement, events = number_events(decided, now=full.now, correlation_id=correlation_id)
            write = SettlementWrite(
                before=full.standing, settlement=settlement, attempt=None, events=events, settled_at=full.now
            )
            await work.ledger.write([write])
            if full.lease.phase is Phase.SENT and full.lease.attempt_id is not None:
                await work.ledger.close_attempts([(account_id, full.lease.attempt_id)])
            await work.full_accounts.erase_credentials(account_id)
        # A key that is lost must not keep the account alive; the audit trail tells what was left undone.
        result = "not_revoked" if asked is RevocationAsked.FAILED else "ok"
        await work.audit(AuditEntry(caller, "account.disable", format_id(IdKind.ACCOUNT, account_id), result))
        view = await work.accounts.view(account_id, caller.environment)
        assert view is not None  # noqa: S101 - its lease is locked
        return view, asked
