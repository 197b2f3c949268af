"""Replace an account's credentials: its end user has authorised it again, and its id stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.credential_stores import Fetched
from tokenkeep.application.full_accounts import FullAccount
from tokenkeep.application.keep_credentials import Keeping, LiveTokens, Stored, fingerprint
from tokenkeep.application.refreshing import SettlementWrite
from tokenkeep.application.sealing import REFRESH, TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work
from tokenkeep.domain.account import Account, AccountState, AccountView, Custody, LastVerification
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.conflicts import AccountExists
from tokenkeep.domain.credential import Held, TokenSet
from tokenkeep.domain.errors import ExternalIdMismatch, InvalidInput, NotFound
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.reauthorization import reauthorize
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.verification import UNCHECKED, Checked, adopted, is_another, recorded
from tokenkeep.providers.account_properties import missing_properties
from tokenkeep.providers.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class ReplaceCredentials:
    """Puts a new grant in the place of whatever was there, in one transaction, under a data key of its own.

    Waits for nobody: a refresh of the former grant that is in flight finds another epoch when it comes to be settled.
    """

    catalogue: Catalogue
    sealer: TokenSealer
    policy: RefreshPolicy

    async def __call__(
        self,
        work: Work,
        caller: Caller,
        account_id: AccountId,
        *,
        tokens: Stored,
        correlation_id: str,
        checked: Checked = UNCHECKED,
        fetched: Fetched | None = None,
    ) -> AccountView:
        """The account as it is then. `checked` is what its provider has said of the credentials.

        A caller who brings once more what the account came with last, after that was presented, changes nothing: what is stored
        came of it, and to present it again would end the grant. `fetched` is what lies in credential stores, where `tokens` are a
        caller's.

        Raises:
            NotFound: There is no such account in this environment.
            InvalidInput: A property without which the account could not be used is missing or wrong, or the provider's requests
                can't be made with the credentials.
            ExternalIdMismatch: The provider tells another external id than the account's verified one.
            AccountExists: Another account of the client came with this very refresh token, or one of the source has this verified
                external id; or this account, which is not active, came with it and has spent it since.
            StoredElsewhere: What is stored was not fetched.
            VaultError, NotStored: It can't be compared.
            RevocationUnanswered: The provider is told just now to revoke this grant, or another one of its user's.
        """
        full = await work.full_accounts.lock(account_id, caller.environment)
        if full is None:
            raise NotFound("account")
        source = await work.sources.get(full.account.source_id, caller.environment)
        if source is None:
            raise NotFound("source")
        keeping = Keeping.at(self.catalogue, source)
        held = keeping.normalised(tokens, now=full.now)
        ready = keeping.is_ready(held, full.properties)
        if not ready and full.account.state is not AccountState.PENDING:
            [name, *_] = missing_properties(keeping.provider, full.properties)
            raise InvalidInput(f"properties.{name}", "is required: give it to the account first")
        if full.account.owner is not None and is_another(full.account, checked.told):
            raise ExternalIdMismatch
        if isinstance(tokens, LiveTokens) and self._is_spent(keeping, full, held, fetched):
            return await self._as_it_stands(work, caller, full)
        account = await identified(work, full.account, checked.told, own=True)
        if account.external_id_verified and not checked.told:
            await work.identities.give_up(account_id)
            account = account.unverified()
        former = None if full.stored is None else full.stored.version
        decided = reauthorize(
            account,
            full.lease,
            former,
            held,
            now=full.now,
            policy=keeping.policy(self.policy),
            idle_life=keeping.idle_life,
            ready=ready,
        )
        settlement, events = number_events(decided, now=full.now, correlation_id=correlation_id)
        write = SettlementWrite(
            before=full.standing, settlement=settlement, attempt=None, events=events, settled_at=full.now
        )
        await work.ledger.write([write])
        if full.lease.phase is Phase.SENT and full.lease.attempt_id is not None:
            # Whoever holds it writes how it ended over this; perhaps he never will.
            await work.ledger.close_attempts([(account_id, full.lease.attempt_id)])
        await work.full_accounts.forget_grant(account_id)
        await keeping.put(work, self.sealer, account, held, settlement.standing.credential)
        await work.identities.record(account_id, _recorded(account, checked, now=full.now))
        return await _audited(work, caller, account_id)

    def _is_spent(self, keeping: Keeping, full: FullAccount, held: Held, fetched: Fetched | None) -> bool:
        """Whether these tokens are the account's own from before a presentation that has spent them, or may have."""
        token = held.refresh_token if isinstance(held, TokenSet) else None
        stored, owner = full.stored, full.account.id
        ciphertext = None if stored is None else stored.refresh_ciphertext
        if token is None or stored is None or ciphertext is None:
            return False
        if full.account.custody is Custody.NONE or full.came_with != fingerprint(token):
            return False
        if not keeping.spends:
            return False
        if full.lease.phase in {Phase.SENT, Phase.DOUBT} or full.lease.doubts > 0:
            return True
        # What can't be opened here is not lost for that: another process may have the key, the store be mounted again.
        if fetched is not None:
            ciphertext = fetched.column(owner, stored.sealed_key, REFRESH, ciphertext, stored.version)
        return self.sealer.open_refresh(owner, stored.sealed_key, ciphertext, stored.version) != token

    async def _as_it_stands(self, work: Work, caller: Caller, full: FullAccount) -> AccountView:
        if full.account.state is not AccountState.ACTIVE:
            raise AccountExists(format_id(IdKind.ACCOUNT, full.account.id))
        return await _audited(work, caller, full.account.id, result="unchanged")


async def _audited(work: Work, caller: Caller, account_id: AccountId, *, result: str = "ok") -> AccountView:
    """The account, which is locked, as it is now."""
    await work.audit(AuditEntry(caller, "account.reauthorize", format_id(IdKind.ACCOUNT, account_id), result))
    view = await work.accounts.view(account_id, caller.environment)
    assert view is not None  # noqa: S101 - its lease is locked
    return view


async def identified(work: Work, account: Account, told: Sequence[ExternalId], *, own: bool) -> Account:
    """The account, which is locked, with the external id that its provider tells, where it is to have that (`adopted`).

    Raises:
        AccountExists: Another account of the source has this external id.
    """
    taken_over = adopted(account, told, own=own)
    if taken_over is not None:
        await work.identities.identify(account.id, account.source_id, taken_over)
        return account.evolve(external_id=taken_over.value, external_id_kind=taken_over.kind, external_id_verified=True)
    if told and not account.external_id_verified:
        holder = await work.identities.holder(account.source_id, told[0].value)
        if holder is not None:
            raise AccountExists(format_id(IdKind.ACCOUNT, holder))
    return account


def _recorded(account: Account, checked: Checked, *, now: datetime) -> LastVerification | None:
    if checked.finding is None:
        return None
    code = ExternalIdMismatch.code if is_another(account, checked.told) else None
    return recorded(checked.finding, at=now, code=code)
