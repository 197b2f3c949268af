"""One unit of work: repositories that share a transaction, committed at the end of the block."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.ports import CustodyLedger
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.domain.account import Account, AccountView
from tokenkeep.domain.api_key import ApiKey
from tokenkeep.domain.credential import CredentialVersion, SealedKey, SealedTokens
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import AccountId, ApiKeyId, SourceId
from tokenkeep.domain.lease import Lease
from tokenkeep.domain.source import Source


class Accounts(Protocol):
    """Accounts, to be made and shown."""

    async def now(self) -> datetime: ...

    async def add(
        self,
        account: Account,
        lease: Lease,
        *,
        obtained_at: datetime | None,
        metadata: Mapping[str, str],
        properties: Mapping[str, Any],
    ) -> None: ...

    async def add_credentials(
        self, account_id: AccountId, version: CredentialVersion, key: SealedKey, sealed: SealedTokens
    ) -> None: ...

    async def claim_grant(self, account: Account, refresh_token_hash: bytes) -> None: ...

    async def view(self, account_id: AccountId, environment: str) -> AccountView | None: ...


class Sources(Protocol):
    """Sources, to be made and changed."""

    async def add(self, source: Source, key: SealedKey, client_secret_ciphertext: bytes | None) -> None: ...

    async def get(self, source_id: SourceId, environment: str) -> Source | None: ...

    async def config(self, source_id: SourceId) -> SourceConfig: ...

    async def lock(self, source_id: SourceId, environment: str) -> tuple[Source, int] | None: ...

    async def save_state(self, source: Source, *, event_sequence: int) -> None: ...


class ApiKeys(Protocol):
    """API keys, to be made and withdrawn."""

    async def add(self, key: ApiKey, key_hash: bytes, *, created_by: str) -> None: ...

    async def withdraw(self, key_id: ApiKeyId, environment: str) -> bool: ...


class Work(Protocol):
    """The repositories of one transaction."""

    @property
    def accounts(self) -> Accounts: ...

    @property
    def sources(self) -> Sources: ...

    @property
    def api_keys(self) -> ApiKeys: ...

    @property
    def ledger(self) -> CustodyLedger: ...

    async def tell(self, events: Sequence[Event]) -> None: ...

    async def audit(self, entry: AuditEntry) -> None: ...


class Works(Protocol):
    """Opens units of work: one transaction each, committed at the end of the block, rolled back if it raises."""

    def __call__(self) -> AbstractAsyncContextManager[Work]: ...
