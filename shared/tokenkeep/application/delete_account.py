"""Delete an account: revoke its grant at the provider, and erase all there is of it."""

from dataclasses import dataclass

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.credential_stores import Fetched
from tokenkeep.application.request_revocation import RequestRevocation
from tokenkeep.application.revocations import RevocationAsked
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work
from tokenkeep.domain.account import Custody
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.standing import Settlement


@dataclass(frozen=True, slots=True)
class DeleteAccount:
    """Erases an account at once; its grant is revoked afterwards, by a worker, as soon as the provider can be had.

    A refresh in flight is not waited for: what it still brings is handed to the same worker.
    """

    request_revocation: RequestRevocation

    async def __call__(
        self, work: Work, caller: Caller, account_id: AccountId, *, correlation_id: str, fetched: Fetched
    ) -> None:
        """Returns with the deletion about to be committed.

        Raises:
            NotFound: There is no such account in this environment.
            StoredElsewhere: Its credentials are to be fetched first.
        """
        full = await work.full_accounts.lock(account_id, caller.environment)
        if full is None:
            raise NotFound("account")
        # Whoever handed a token back does not revoke it; its owner's late answers are known by this word in the event.
        reason = Custody.RELEASED.value if full.account.custody is Custody.RELEASED else None
        gone = Settlement(full.standing, Outcome.OK, happenings=(Happening(EventType.DELETED, reason),))
        _, events = number_events(gone, now=full.now, correlation_id=correlation_id)
        asked = await self.request_revocation(work, full, fetched)
        # A key that is lost must not keep the account alive for ever; the audit trail tells what was left undone.
        result = "not_revoked" if asked is RevocationAsked.FAILED else "ok"
        await work.full_accounts.delete(account_id)
        await work.tell(events)
        await work.audit(AuditEntry(caller, "account.delete", format_id(IdKind.ACCOUNT, account_id), result))
