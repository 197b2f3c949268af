"""Change what an account says of itself: its metadata and its properties."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.credential_stores import Fetched
from tokenkeep.application.full_accounts import FullAccount
from tokenkeep.application.keep_credentials import Keeping
from tokenkeep.application.property_changes import check_destinations
from tokenkeep.application.refreshing import SettlementWrite
from tokenkeep.application.sealing import ACCESS, TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work
from tokenkeep.domain.account import AccountState, AccountView
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import InvalidInput, NotFound
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.transitions import activate
from tokenkeep.providers.account_properties import check_account_properties, missing_properties
from tokenkeep.providers.catalogue import Catalogue

_MOST_LABELS = 50


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What is to be changed, name by name: a text is put there, None takes away what is there, and other names stay."""

    metadata: Mapping[str, str | None]
    properties: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class UpdateAccount:
    """Changes an account under its row lock. A pending one that has credentials and now lacks nothing becomes active."""

    catalogue: Catalogue
    sealer: TokenSealer
    policy: RefreshPolicy

    async def __call__(
        self,
        work: Work,
        caller: Caller,
        account_id: AccountId,
        change: AccountChange,
        *,
        correlation_id: str,
        fetched: Fetched,
    ) -> AccountView:
        """The account as it is then.

        Raises:
            NotFound: There is no such account in this environment.
            InvalidInput: A property is unknown or wrong, or is taken away from an account that can't be used without it.
            NotAllowed: The credentials that it has would go elsewhere, and the caller may not have them.
            StoredElsewhere: Its credentials are to be fetched first.
        """
        full = await work.full_accounts.lock(account_id, caller.environment)
        if full is None:
            raise NotFound("account")
        source = await work.sources.get(full.account.source_id, caller.environment)
        if source is None:
            raise NotFound("source")
        properties = merged(full.properties, change.properties)
        keeping = Keeping.at(self.catalogue, source)
        if change.properties:
            self._check(keeping, full, change, properties)
            if full.stored is not None:
                check_destinations(caller, keeping.provider, source, full.properties, properties)
        metadata = merged(full.metadata, change.metadata)
        if len(metadata) > _MOST_LABELS:
            raise InvalidInput("metadata", f"expected {_MOST_LABELS} names at most")
        await work.accounts.describe(account_id, metadata=metadata, properties=properties)
        if full.account.state is AccountState.PENDING and self._is_ready(keeping, full, fetched, properties):
            await self._activate(work, keeping, full, correlation_id=correlation_id)
        await work.audit(AuditEntry(caller, "account.update", format_id(IdKind.ACCOUNT, account_id)))
        changed = await work.accounts.view(account_id, caller.environment)
        assert changed is not None  # noqa: S101 - its lease is locked
        return changed

    def _check(self, keeping: Keeping, full: FullAccount, change: AccountChange, properties: Mapping[str, Any]) -> None:
        # Only what is given is looked at: the provider's entry may have changed since the rest was.
        given = {name: value for name, value in change.properties.items() if value is not None}
        check_account_properties(keeping.provider, given)
        if full.account.state is AccountState.PENDING:
            return
        for name in missing_properties(keeping.provider, properties):
            if name in change.properties:
                raise InvalidInput(f"properties.{name}", "is required: the account can't be used without it")

    def _is_ready(self, keeping: Keeping, full: FullAccount, fetched: Fetched, properties: Mapping[str, Any]) -> bool:
        stored = full.stored
        if stored is None or missing_properties(keeping.provider, properties):
            return False
        owner, key, version = full.account.id, stored.sealed_key, stored.version
        sealed = fetched.column(owner, key, ACCESS, stored.access_ciphertext, version)
        fields = self.sealer.open_fields(owner, key, sealed, version)
        return keeping.can_be_used(fields, properties, renewed=stored.version.refreshable)

    async def _activate(self, work: Work, keeping: Keeping, full: FullAccount, *, correlation_id: str) -> None:
        policy = keeping.policy(self.policy)
        decided = activate(full.standing, now=full.now, policy=policy, idle_life=keeping.idle_life)
        settlement, events = number_events(decided, now=full.now, correlation_id=correlation_id)
        write = SettlementWrite(
            before=full.standing, settlement=settlement, attempt=None, events=events, settled_at=full.now
        )
        await work.ledger.write([write])


def merged(former: Mapping[str, Any], change: Mapping[str, str | None]) -> Mapping[str, Any]:
    """As RFC 7396 merges: None takes a member away."""
    return {name: value for name, value in {**former, **change}.items() if value is not None}
