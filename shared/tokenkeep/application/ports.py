"""What the use-cases need of the world, as Protocols. `bootstrap` fills them with adapters, tests with fakes."""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from tokenkeep.application.refreshing import (
    Answered,
    Claimed,
    Leased,
    LeaseRequest,
    LockedAccount,
    SettlementWrite,
    SourceConfig,
    StuckLease,
    WriteAhead,
)
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId
from tokenkeep.domain.settlement import Settlement
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest


class CustodyLedger(Protocol):
    """The custody protocol's statements, inside one transaction."""

    async def lease(self, requests: Sequence[LeaseRequest], *, lease: timedelta, look: timedelta) -> list[Leased]: ...

    async def write_ahead(self, intents: Sequence[WriteAhead]) -> Mapping[AttemptId, datetime]: ...

    async def lock(self, account_ids: Sequence[AccountId]) -> dict[AccountId, LockedAccount]: ...

    async def write(self, writes: Sequence[SettlementWrite]) -> None: ...

    async def close_attempts(self, attempts: Sequence[tuple[AccountId, UUID]]) -> None: ...

    async def give_back(self, account_id: AccountId, fence: int) -> None: ...


class Ledgers(Protocol):
    """Opens a transaction and gives the ledger in it; commits at the end of the block."""

    def __call__(self) -> AbstractAsyncContextManager[CustodyLedger]: ...


class SourceConfigs(Protocol):
    """Reads what refreshes need to know of their sources."""

    async def __call__(self, source_ids: Collection[SourceId]) -> dict[SourceId, SourceConfig]: ...


class CustodyLocks(Protocol):
    """The cheap gate in front of the database lease. Never authoritative; open when its store is away."""

    async def take(self, account_ids: Sequence[AccountId], owner: str) -> list[AccountId]: ...

    async def give_back(self, held: Sequence[tuple[AccountId, str]]) -> None: ...


class Vault(Protocol):
    """Seals and opens what is stored under an account's or a source's data key."""

    def new_data_key(self, owner: UUID) -> SealedKey: ...

    def seal(self, owner: UUID, key: SealedKey, field: str, version: tuple[int, int], plaintext: bytes) -> bytes: ...

    def open(self, owner: UUID, key: SealedKey, field: str, version: tuple[int, int], ciphertext: bytes) -> bytes: ...


class ReadyConnection(Protocol):
    """A connection to a token endpoint that is open and has been used for nothing yet in this attempt."""

    def exchange(
        self, request: TokenRequest, *, deadline: float, send_before: float
    ) -> Awaitable[Answer | NoAnswer]: ...


class TokenEndpoints(Protocol):
    """Connections to token endpoints, lent for one exchange. Raises `ConnectFailed` when none can be had."""

    def lend(
        self, url: str, *, reuse_window_s: float, deadline: float
    ) -> AbstractAsyncContextManager[ReadyConnection]: ...


class Announcer(Protocol):
    """Tells those who wait for an account that something was settled. A hint, which may be lost."""

    async def settled(self, account_ids: Sequence[AccountId]) -> None: ...


class RefreshQueue(Protocol):
    """Hands hints to the workers: ids, and what caused them. Says whether a hint could be given."""

    async def enqueue(self, account_ids: Sequence[AccountId], *, trigger: Trigger, correlation_id: str) -> bool: ...


class Schedule(Protocol):
    """The scheduler's reads of what is due."""

    async def claim_due(self, *, limit: int, trust: timedelta, paused: timedelta) -> Claimed: ...

    async def unclaim(self, account_ids: Sequence[AccountId]) -> None: ...

    async def stuck(self, *, limit: int) -> list[StuckLease]: ...

    async def run_out(self, *, limit: int) -> list[AccountId]: ...


class RefreshObserver(Protocol):
    """Sees what happens on the road of a refresh; metrics and log lines come of it."""

    def contended(self, count: int) -> None: ...

    def not_prepared(self, account_id: AccountId, correlation_id: str, error: str) -> None: ...

    def fenced_off(self, account_id: AccountId, correlation_id: str) -> None: ...

    def abandoned(self, account_id: AccountId, correlation_id: str, error: Exception) -> None: ...

    def settle_failed(self, account_id: AccountId, correlation_id: str, error: str) -> None: ...

    def settled(self, answered: Answered, settlement: Settlement, *, duration_s: float, late_s: float) -> None: ...

    def not_taken_over(self, lease: StuckLease, error: str) -> None: ...

    def taken_over(self, lease: StuckLease, settlement: Settlement) -> None: ...
