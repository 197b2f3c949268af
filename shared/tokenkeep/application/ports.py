"""What the use-cases need of the world, as Protocols. `bootstrap` fills them with adapters, tests with fakes."""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from tokenkeep.application.custody import Taken
from tokenkeep.application.refreshing import (
    Answered,
    Claimed,
    Lane,
    Leased,
    LeaseRequest,
    LockedAccount,
    LockedSource,
    Receipt,
    RevocationNote,
    SettlementWrite,
    SourceConfig,
    SpooledAnswer,
    StuckLease,
    Waking,
    WriteAhead,
)
from tokenkeep.application.revocations import NewRevocation
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId
from tokenkeep.domain.refresher import RefreshCall
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.domain.standing import Settlement
from tokenkeep.domain.verdict import Verdict
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.client_assertion import UnsignedAssertion
from tokenkeep.providers.client_authentication import ClientKey
from tokenkeep.providers.oauth1 import SignatureOrder


class CustodyLedger(Protocol):
    """The custody protocol's statements, inside one transaction."""

    async def lease(
        self,
        requests: Sequence[LeaseRequest],
        *,
        lease: timedelta,
        look: timedelta,
        resting: Collection[SourceId] = ...,
    ) -> list[Leased]: ...

    async def write_ahead(self, intents: Sequence[WriteAhead]) -> Mapping[AttemptId, datetime]: ...

    async def lock(self, account_ids: Sequence[AccountId]) -> dict[AccountId, LockedAccount]: ...

    async def write(self, writes: Sequence[SettlementWrite]) -> None: ...

    async def orphans(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, Sequence[Receipt]]: ...

    async def close_attempts(self, attempts: Sequence[tuple[AccountId, UUID]]) -> None: ...

    async def give_back(self, account_id: AccountId, fence: int, *, rest: timedelta = ...) -> None: ...

    async def present_again(self, account_id: AccountId, fence: int, *, quarantine: timedelta) -> datetime | None: ...

    async def gone(self, account_ids: Sequence[AccountId]) -> set[AccountId]: ...

    async def request_revocation(self, wanted: NewRevocation) -> None: ...

    @property
    def sources(self) -> "SourceLedger": ...


class SourceLedger(Protocol):
    """What refreshes do to their sources, in the same transaction. Accounts are locked before sources, never after."""

    async def lock(self, source_ids: Sequence[SourceId]) -> dict[SourceId, LockedSource]: ...

    async def save(self, source: Source, *, event_sequence: int) -> None: ...

    async def tell(self, events: Sequence[Event]) -> None: ...

    async def secret_versions(self, source_ids: Collection[SourceId]) -> Mapping[SourceId, int]: ...

    async def count_accounts(self, source_id: SourceId, *, most: int) -> int: ...

    async def revoked_at(
        self, source_id: SourceId, *, since: datetime, besides: Collection[AccountId]
    ) -> Sequence[datetime]: ...

    async def count_grants(self, source_id: SourceId, *, since: datetime, most: int) -> int: ...

    async def note_revocations(self, notes: Sequence[RevocationNote]) -> None: ...


class Ledgers(Protocol):
    """Opens a transaction and gives the ledger in it; commits at the end of the block."""

    def __call__(self) -> AbstractAsyncContextManager[CustodyLedger]: ...


class SourceConfigs(Protocol):
    """Reads what refreshes need to know of their sources."""

    async def __call__(self, source_ids: Collection[SourceId]) -> dict[SourceId, SourceConfig]: ...


class CustodyLocks(Protocol):
    """The cheap gate in front of the database lease. Never authoritative; open when its store is away."""

    async def take(self, account_ids: Sequence[AccountId], owner: str) -> list[Taken]: ...

    async def renew(self, held: Sequence[tuple[AccountId, str]]) -> None: ...

    async def give_back(self, held: Sequence[tuple[AccountId, str, int | None]]) -> None: ...

    async def correct(self, account_id: AccountId, generation: int) -> None: ...


class Spool(Protocol):
    """Keeps sealed answers beside the process until the database has them. Raises OSError when it can't."""

    async def write(self, entry: SpooledAnswer) -> None: ...

    async def remove(self, attempt_id: AttemptId) -> None: ...

    async def entries(self, *, of_age: timedelta = timedelta(0)) -> Sequence[SpooledAnswer]: ...


class Vault(Protocol):
    """Seals and opens what is stored under an account's or a source's data key."""

    def new_data_key(self, owner: UUID) -> SealedKey: ...

    def rewrap(self, owner: UUID, key: SealedKey) -> SealedKey: ...

    def seal(self, owner: UUID, key: SealedKey, field: str, version: tuple[int, int], plaintext: bytes) -> bytes: ...

    def open(self, owner: UUID, key: SealedKey, field: str, version: tuple[int, int], ciphertext: bytes) -> bytes: ...


class ClientAssertions(Protocol):
    """Signs assertions. Raises `InvalidInput`, field `client_secret`, when a key does not serve for it."""

    def sign_with_secret(self, assertion: UnsignedAssertion, secret: Secret) -> Secret: ...

    def sign_with_key(self, assertion: UnsignedAssertion, key: ClientKey) -> Secret: ...


class ClientCertificates(Protocol):
    """Looks at keys for TLS. Raises `InvalidInput`, field `client_secret`, when one does not serve for it."""

    def check(self, key: ClientKey) -> None: ...


class RequestSigner(Protocol):
    """Signs requests by OAuth 1.0a (RFC 5849).

    Raises `InvalidInput`, field `client_secret`, when the consumer's key does not serve for the method.
    """

    def check(self, method: str, consumer_secret: Secret) -> None: ...

    def sign(self, order: SignatureOrder, *, nonce: str, timestamp: int) -> Mapping[str, str]: ...


class ReadyConnection(Protocol):
    """A connection to a token endpoint that is open and has been used for nothing yet in this attempt."""

    def exchange(
        self, request: TokenRequest, *, deadline: float, send_before: float
    ) -> Awaitable[Answer | NoAnswer]: ...


class TokenEndpoints(Protocol):
    """Connections to where requests go, as whom they go, lent for one exchange. Raises `ConnectFailed` when none can be had."""

    def lend(
        self, request: TokenRequest, *, reuse_window_s: float, deadline: float
    ) -> AbstractAsyncContextManager[ReadyConnection]: ...


class Refreshers(Protocol):
    """The refreshers that are installed in this process, by name."""

    def __contains__(self, name: object, /) -> bool: ...

    async def call(self, call: RefreshCall, *, deadline: float, send_before: float) -> Answer | NoAnswer | Verdict: ...


class CalloutSignatures(Protocol):
    """Signs a message to somebody who holds the same secret. Raises `InvalidInput` when the secret is none."""

    def __call__(self, secret: Secret, message_id: str, at: datetime, body: str) -> str: ...


class Announcer(Protocol):
    """Tells those who wait for an account that something was settled. A hint, which may be lost."""

    async def settled(self, account_ids: Sequence[AccountId]) -> None: ...


class RefreshQueue(Protocol):
    """Hands hints to the workers: ids, and what caused them. Says whether a hint, or all of several, could be given."""

    async def enqueue(
        self,
        account_ids: Sequence[AccountId],
        *,
        trigger: Trigger,
        correlation_id: str,
        source_id: SourceId | None = ...,
    ) -> bool: ...


class HintQueue(RefreshQueue, Protocol):
    """The queue as a scheduler sees it: `waiting` counts the scheduled messages in it, None when it can't be had."""

    async def waiting(self) -> int | None: ...

    async def enqueue_all(
        self, hints: Sequence[tuple[Trigger, SourceId, Sequence[AccountId]]], *, correlation_id: str
    ) -> bool: ...


class Schedule(Protocol):
    """The scheduler's reads of what is due."""

    async def claim_due(self, *, limit: int, trust: timedelta, paused: timedelta, lane: Lane = ...) -> Claimed: ...

    async def put_off(self, waits: Mapping[AccountId, float], *, binding: bool) -> None: ...

    async def lives(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, float | None]: ...

    async def unclaim(self, account_ids: Sequence[AccountId]) -> None: ...

    async def stuck(self, *, limit: int) -> list[StuckLease]: ...

    async def run_out(self, *, limit: int) -> dict[AccountId, SourceId]: ...


class SourceTending(Protocol):
    """What a scheduler does for sources on trial, inside one transaction."""

    async def due(self) -> tuple[Source, datetime] | None: ...

    async def try_one(self, source: Source) -> AccountId | None: ...

    async def save(self, source: Source) -> None: ...


class SourceTendings(Protocol):
    """Opens such transactions; wakes accounts in transactions of their own."""

    def __call__(self) -> AbstractAsyncContextManager[SourceTending]: ...

    async def waking(self) -> Sequence[Waking]: ...

    async def wake(self, source_id: SourceId, *, after: AccountId, limit: int) -> tuple[AccountId | None, int]: ...

    async def woken(self, waking: Waking) -> None: ...


class RefreshObserver(Protocol):
    """Sees what happens on the road of a refresh; metrics and log lines come of it."""

    def contended(self, count: int) -> None: ...

    def not_prepared(self, account_id: AccountId, correlation_id: str, error: str) -> None: ...

    def fenced_off(self, account_id: AccountId, correlation_id: str) -> None: ...

    def abandoned(self, account_id: AccountId, correlation_id: str, error: Exception) -> None: ...

    def settle_failed(self, account_id: AccountId, correlation_id: str, error: str) -> None: ...

    def refused_work(self, count: int) -> None: ...

    def not_presented_again(self, account_id: AccountId, correlation_id: str, error: Exception) -> None: ...

    def spooled(self, account_id: AccountId, correlation_id: str) -> None: ...

    def spool_failed(self, account_id: AccountId, correlation_id: str, error: Exception) -> None: ...

    def not_drained(self, account_id: AccountId, correlation_id: str, error: Exception) -> None: ...

    def spool_drained(self, drained: int, left: int) -> None: ...

    def left_in_spool(self, account_id: AccountId, correlation_id: str) -> None: ...

    def rollback_noticed(self, account_id: AccountId, correlation_id: str) -> None: ...

    def endpoint_rests(self, source_id: SourceId, provider: str, *, again: bool) -> None: ...

    def endpoint_back(self, source_id: SourceId) -> None: ...

    def source_changed(self, source: Source) -> None: ...

    def source_not_changed(self, source_id: SourceId, error: Exception) -> None: ...

    def settled(self, answered: Answered, settlement: Settlement, *, duration_s: float, late_s: float) -> None: ...

    def batch_settled(self, settled: Sequence[tuple[Answered, Settlement]]) -> None: ...

    def not_taken_over(self, lease: StuckLease, error: str) -> None: ...

    def not_ended(self, account_id: AccountId, error: Exception) -> None: ...

    def taken_over(self, lease: StuckLease, settlement: Settlement) -> None: ...
