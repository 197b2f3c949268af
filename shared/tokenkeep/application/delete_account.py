"""Delete an account: revoke its grant at the provider, and erase all there is of it."""

from dataclasses import dataclass

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.full_accounts import FullAccount
from tokenkeep.application.keep_credentials import fingerprint
from tokenkeep.application.revoke_grants import NewRevocation
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work
from tokenkeep.domain.account import Custody
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.attempt import Outcome
from tokenkeep.domain.errors import NotFound, TokenkeepError, VaultError
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.standing import Settlement
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.entry import Presented
from tokenkeep.providers.options import effective_rules


@dataclass(frozen=True, slots=True)
class DeleteAccount:
    """Erases an account at once; its grant is revoked afterwards, by a worker, as soon as the provider can be had.

    A refresh in flight is not waited for: what it still brings is handed to the same worker.
    """

    catalogue: Catalogue
    sealer: TokenSealer

    async def __call__(self, work: Work, caller: Caller, account_id: AccountId, *, correlation_id: str) -> None:
        """Returns with the deletion about to be committed.

        Raises:
            NotFound: There is no such account in this environment.
        """
        full = await work.full_accounts.lock(account_id, caller.environment)
        if full is None:
            raise NotFound("account")
        # Whoever handed a token back does not revoke it; its owner's late answers are known by this word in the event.
        reason = Custody.RELEASED.value if full.account.custody is Custody.RELEASED else None
        gone = Settlement(full.standing, Outcome.OK, happenings=(Happening(EventType.DELETED, reason),))
        _, events = number_events(gone, now=full.now, correlation_id=correlation_id)
        result = "ok"
        if await self._is_to_be_revoked(work, caller, full):
            try:
                await work.revocations.request([self._revocation(full)])
            except VaultError:
                # A key that is lost must not keep the account alive for ever; the audit trail tells what was left undone.
                result = "not_revoked"
        await work.full_accounts.delete(account_id)
        await work.tell(events)
        await work.audit(AuditEntry(caller, "account.delete", format_id(IdKind.ACCOUNT, account_id), result))

    async def _is_to_be_revoked(self, work: Work, caller: Caller, full: FullAccount) -> bool:
        """Whether there is a grant that may be alive, and an address to revoke it at."""
        if full.account.custody is not Custody.HELD or full.stored is None or full.stored.refresh_ciphertext is None:
            return False
        disabled = full.account.disabled
        if disabled is not None and disabled.reason.needs_reauthorization:
            return False
        source = await work.sources.get(full.account.source_id, caller.environment)
        if source is None:
            return False
        try:
            rules = effective_rules(self.catalogue.get(source.provider), source.options)
        except TokenkeepError:
            return False  # the catalogue does not know the provider any more
        # A machine's key is its owner's to withdraw; what it was exchanged for ends by itself.
        return rules.revocation_url is not None and rules.presented is not Presented.MACHINE_CREDENTIALS

    def _revocation(self, full: FullAccount) -> NewRevocation:
        stored = full.stored
        assert stored is not None  # noqa: S101 - the caller has looked
        assert stored.refresh_ciphertext is not None  # noqa: S101 - as above
        owner, key = full.account.id, stored.sealed_key
        token = self.sealer.open_refresh(owner, key, stored.refresh_ciphertext, stored.version)
        ciphertext = self.sealer.seal_revocation(owner, key, token)
        return NewRevocation(
            owner,
            full.account.source_id,
            key,
            ciphertext,
            fingerprint(token),
            full.properties,
            full.account.external_id,
        )
