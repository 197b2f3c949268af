"""Replace an account's credentials: its end user has authorised it again, and its id stays."""

from dataclasses import dataclass

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.create_account import LiveTokens, fingerprint, normalised
from tokenkeep.application.refreshing import SettlementWrite
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work
from tokenkeep.domain.account import AccountView
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.errors import NotFound
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.reauthorization import reauthorize
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.token_request import check_properties


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
        tokens: LiveTokens | TokenSet,
        correlation_id: str,
    ) -> AccountView:
        """The account as it is then.

        Raises:
            NotFound: There is no such account in this environment.
            InvalidInput: A property without which the account could not be refreshed is missing or wrong.
            AccountExists: Another account of the source came with this very refresh token.
        """
        full = await work.full_accounts.lock(account_id, caller.environment)
        if full is None:
            raise NotFound("account")
        source = await work.sources.get(full.account.source_id, caller.environment)
        if source is None:
            raise NotFound("source")
        token_set = normalised(self.catalogue, tokens, source, now=full.now)
        idle_life = None
        if token_set.refresh_token is not None:
            rules = effective_rules(self.catalogue.get(source.provider), source.options)
            check_properties(rules, full.properties)
            idle_life = rules.idle_life
        former = None if full.stored is None else full.stored.version
        decided = reauthorize(
            full.account, full.lease, former, token_set, now=full.now, policy=self.policy, idle_life=idle_life
        )
        settlement, events = number_events(decided, now=full.now, correlation_id=correlation_id)
        write = SettlementWrite(
            before=full.standing, settlement=settlement, attempt=None, events=events, settled_at=full.now
        )
        await work.ledger.write([write])
        if full.lease.phase is Phase.SENT and full.lease.attempt_id is not None:
            # Whoever holds it writes how it ended over this; perhaps he never will.
            await work.ledger.close_attempts([(account_id, full.lease.attempt_id)])
        version = settlement.standing.credential
        key = self.sealer.vault.new_data_key(account_id)
        sealed = self.sealer.seal(account_id, key, token_set, version, kept=None)
        await work.accounts.put_credentials(account_id, version, key, sealed)
        await work.full_accounts.forget_grant(account_id)
        if token_set.refresh_token is not None:
            await work.accounts.claim_grant(full.account, fingerprint(token_set.refresh_token))
        await work.audit(AuditEntry(caller, "account.reauthorize", format_id(IdKind.ACCOUNT, account_id)))
        changed = await work.accounts.view(account_id, caller.environment)
        assert changed is not None  # noqa: S101 - its lease is locked
        return changed
