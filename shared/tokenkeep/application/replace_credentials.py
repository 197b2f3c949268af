"""Replace an account's credentials: its end user has authorised it again, and its id stays."""

from dataclasses import dataclass

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.keep_credentials import Keeping, Stored
from tokenkeep.application.refreshing import SettlementWrite
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work
from tokenkeep.domain.account import AccountState, AccountView
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.reauthorization import reauthorize
from tokenkeep.domain.refresh_policy import RefreshPolicy
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
    ) -> AccountView:
        """The account as it is then.

        Raises:
            NotFound: There is no such account in this environment.
            InvalidInput: A property without which the account could not be used is missing or wrong, or the provider's requests
                can't be made with the credentials.
            AccountExists: Another account of the source came with this very refresh token.
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
        former = None if full.stored is None else full.stored.version
        decided = reauthorize(
            full.account,
            full.lease,
            former,
            held,
            now=full.now,
            policy=self.policy,
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
        await keeping.put(work, self.sealer, full.account, held, settlement.standing.credential)
        await work.audit(AuditEntry(caller, "account.reauthorize", format_id(IdKind.ACCOUNT, account_id)))
        changed = await work.accounts.view(account_id, caller.environment)
        assert changed is not None  # noqa: S101 - its lease is locked
        return changed
