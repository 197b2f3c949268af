"""One unit of work: repositories that share a transaction, committed at the end of the block."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.connect_sessions import ConnectSessions
from tokenkeep.application.full_accounts import FullAccount
from tokenkeep.application.import_progress import ImportChunk, ImportProgress, NewImport
from tokenkeep.application.inbox import Inbox
from tokenkeep.application.ports import CustodyLedger
from tokenkeep.application.prepared_account import GrantClaim, PreparedAccount, Storing, StoringEach
from tokenkeep.application.provider_notices import ProviderNotices
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.revocations import NewRevocation
from tokenkeep.application.webhooks import Webhooks, WebhookTurns
from tokenkeep.domain.account import Account, AccountView, LastVerification
from tokenkeep.domain.api_key import ApiKey
from tokenkeep.domain.credential import CredentialVersion, SealedKey, SealedTokens
from tokenkeep.domain.events import Event
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.handover import Release
from tokenkeep.domain.ids import AccountId, ApiKeyId, SourceId
from tokenkeep.domain.revocation_incident import NotedRevocation
from tokenkeep.domain.source import Source


@dataclass(frozen=True, slots=True)
class SourceUses:
    """What needs a source: its accounts, whatever their states, counted up to a bound, and grants that wait to be revoked."""

    accounts: int
    revocations: bool


class Accounts(Protocol):
    """Accounts, to be changed and shown."""

    async def now(self) -> datetime: ...

    async def put_credentials(
        self, account_id: AccountId, version: CredentialVersion, key: SealedKey, sealed: SealedTokens
    ) -> None: ...

    async def describe(
        self, account_id: AccountId, *, metadata: Mapping[str, str], properties: Mapping[str, Any]
    ) -> None: ...

    async def claim_grant(self, account: Account, claim: GrantClaim) -> None: ...

    async def add_properties(self, account_id: AccountId, properties: Mapping[str, str]) -> None: ...

    async def view(self, account_id: AccountId, environment: str) -> AccountView | None: ...


class NewAccounts(Protocol):
    """Accounts to be made, many at a time; each has a result of its own.

    `add` raises what the database says against any of them; `add_each` stores the others.
    """

    async def add(self, accounts: Sequence[PreparedAccount]) -> Sequence[Storing]: ...

    async def add_each(self, accounts: Sequence[PreparedAccount]) -> Sequence[StoringEach]: ...


class Imports(Protocol):
    """How far imports have come."""

    async def begin(self, wanted: NewImport) -> ImportProgress | None: ...

    async def lock(self, import_id: UUID, holder: UUID) -> int | None: ...

    async def advance(self, import_id: UUID, chunk: ImportChunk, *, overdue: int) -> None: ...

    async def chunk_with(self, import_id: UUID, line: int) -> ImportChunk | None: ...

    async def finish(self, import_id: UUID, holder: UUID) -> None: ...

    async def forget(self, import_id: UUID) -> None: ...


class Sources(Protocol):
    """Sources, to be made and changed."""

    async def add(self, source: Source, key: SealedKey, client_secret_ciphertext: bytes | None) -> None: ...

    async def get(self, source_id: SourceId, environment: str, *, keep: bool = False) -> Source | None: ...

    async def config(self, source_id: SourceId) -> SourceConfig: ...

    async def lock(self, source_id: SourceId, environment: str) -> tuple[Source, int] | None: ...

    async def save(self, source: Source, *, event_sequence: int) -> None: ...

    async def save_client_secret(self, source_id: SourceId, ciphertext: bytes | None) -> None: ...

    async def save_callout_secret(self, source_id: SourceId, ciphertext: bytes | None) -> None: ...

    async def save_hook_secret(
        self, source_id: SourceId, ciphertext: bytes | None, *, former_for: timedelta
    ) -> None: ...

    async def holds_grants(self, source_id: SourceId) -> bool: ...

    async def revocations(self, source_id: SourceId, *, since: datetime, limit: int) -> Sequence[NotedRevocation]: ...

    async def forget_revocations(self, source_id: SourceId, account_ids: Collection[AccountId]) -> None: ...

    async def lock_for_deletion(self, source_id: SourceId, environment: str) -> bool: ...

    async def uses(self, source_id: SourceId, *, most: int) -> SourceUses: ...

    async def delete(self, source_id: SourceId) -> None: ...


class FullAccounts(Protocol):
    """Accounts with everything that is stored for them. `lock` is for one account; it holds until the transaction ends."""

    async def lock(self, account_id: AccountId, environment: str) -> FullAccount | None: ...

    async def forget_grant(self, account_id: AccountId) -> None: ...

    async def erase_credentials(self, account_id: AccountId) -> None: ...

    async def delete(self, account_id: AccountId) -> None: ...


class Identities(Protocol):
    """Whose accounts are, as providers have said, and what came of asking them."""

    async def record(self, account_id: AccountId, verification: LastVerification | None) -> None: ...

    async def holder(self, source_id: SourceId, external_id: str) -> AccountId | None: ...

    async def identify(self, account_id: AccountId, source_id: SourceId, told: ExternalId) -> None: ...

    async def give_up(self, account_id: AccountId) -> None: ...

    async def may_be_held(self, source: Source, told: ExternalId) -> bool: ...


class Releases(Protocol):
    """Credentials that were handed back to their owners."""

    async def add(self, account_id: AccountId, release: Release) -> None: ...

    async def handed_out(self, account_id: AccountId, generation: int) -> None: ...

    async def erase(self, account_id: AccountId) -> datetime: ...


class Revocations(Protocol):
    """Tokens that their providers are to be told to revoke."""

    async def request(self, wanted: Sequence[NewRevocation]) -> int: ...

    async def forget(self, account: Account, fingerprints: Collection[bytes]) -> None: ...


class ApiKeys(Protocol):
    """API keys, to be made and withdrawn."""

    async def add(self, key: ApiKey, key_hash: bytes, *, created_by: str) -> None: ...

    async def withdraw(self, key_id: ApiKeyId, environment: str) -> bool: ...


class Work(Protocol):
    """The repositories of one transaction."""

    @property
    def accounts(self) -> Accounts: ...

    @property
    def new_accounts(self) -> NewAccounts: ...

    @property
    def imports(self) -> Imports: ...

    @property
    def sources(self) -> Sources: ...

    @property
    def api_keys(self) -> ApiKeys: ...

    @property
    def full_accounts(self) -> FullAccounts: ...

    @property
    def identities(self) -> Identities: ...

    @property
    def releases(self) -> Releases: ...

    @property
    def connect_sessions(self) -> ConnectSessions: ...

    @property
    def revocations(self) -> Revocations: ...

    @property
    def inbox(self) -> Inbox: ...

    @property
    def webhooks(self) -> Webhooks: ...

    @property
    def webhook_turns(self) -> WebhookTurns: ...

    @property
    def provider_notices(self) -> ProviderNotices: ...

    @property
    def ledger(self) -> CustodyLedger: ...

    async def demand(self, account_id: AccountId, newer_than: datetime) -> None: ...

    async def tell(self, events: Sequence[Event]) -> None: ...

    async def audit(self, *entries: AuditEntry) -> None: ...


class Works(Protocol):
    """Opens units of work: one transaction each, committed at the end of the block, rolled back if it raises."""

    def __call__(self) -> AbstractAsyncContextManager[Work]: ...
