"""The values that travel along the road of a refresh."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tokenkeep.domain.attempt import Attempt, Trigger
from tokenkeep.domain.credential import CredentialVersion, SealedKey, SealedTokens
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.settlement import Settlement, Standing
from tokenkeep.domain.verdict import Verdict
from tokenkeep.providers.rules import OAuth2Rules


@dataclass(frozen=True, slots=True)
class RefreshTimes:
    """The spans that bound a refresh. `provider_deadline < lease < actor time limit` is checked with the settings."""

    write_ahead: timedelta
    provider_deadline: timedelta
    lease: timedelta
    look: timedelta
    strict_reuse_window: timedelta = timedelta(seconds=5)
    reuse_window: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """What a refresh needs to know of its source. The client secret is still sealed."""

    id: SourceId
    environment: str
    provider: str
    client_id: str | None
    sealed_key: SealedKey
    client_secret_ciphertext: bytes | None
    secret_version: int
    options: Mapping[str, Any]
    paused: bool


@dataclass(frozen=True, slots=True)
class DueAccount:
    """An account that a scheduler has claimed: it hints at it, and will not look again before the hint's time is up."""

    account_id: AccountId
    source_id: SourceId
    next_refresh_at: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one claim brought: the accounts to hint at, and how many rows it looked at in all.

    The others belong to paused sources, or may not be tried yet.
    """

    accounts: Sequence[DueAccount]
    looked_at: int


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """One account to be leased, with the attempt that would hold it."""

    account_id: AccountId
    attempt_id: AttemptId


@dataclass(frozen=True, slots=True)
class Leased:
    """An account in our custody, with what is needed to refresh it. `due_since` is when the refresh fell due."""

    account_id: AccountId
    source_id: SourceId
    attempt_id: AttemptId
    fence: int
    version: CredentialVersion
    sealed_key: SealedKey
    refresh_ciphertext: bytes
    scopes: tuple[str, ...]
    token_type: str
    properties: Mapping[str, Any]
    due_since: datetime
    doubts: int

    @property
    def epoch(self) -> int:
        """The grant's number."""
        return self.version.epoch


@dataclass(frozen=True, slots=True)
class WriteAhead:
    """The intent to present a refresh token, about to be written."""

    leased: Leased
    trigger: Trigger
    correlation_id: str
    secret_version: int
    quarantine_s: float


@dataclass(frozen=True, slots=True)
class Answered:
    """One attempt with what came of it, about to be settled.

    `presented` is the refresh token that was spent: an answer without a new one keeps it, and it is sealed anew under
    the new version. `scopes` are those that the account had; an answer that names none leaves them as they are.
    """

    attempt: Attempt
    verdict: Verdict
    source: SourceConfig
    rules: OAuth2Rules
    presented: Secret | None
    scopes: tuple[str, ...]
    doubts: int = 0


@dataclass(frozen=True, slots=True)
class LockedAccount:
    """An account under a row lock: how it stands, and the data key that its secrets are sealed under."""

    standing: Standing
    sealed_key: SealedKey
    now: datetime


@dataclass(frozen=True, slots=True)
class SettlementWrite:
    """A settlement with its secrets sealed, ready to be written.

    `attempt` None leaves the journal alone. `sealed` holds the credentials to install, `receipt` a token set that is kept
    though it is not installed.
    """

    before: Standing
    settlement: Settlement
    attempt: Attempt | None
    events: tuple[Event, ...]
    settled_at: datetime
    secret_version: int = 0
    sealed: SealedTokens | None = None
    receipt: bytes | None = None
    sealed_key: SealedKey | None = None


@dataclass(frozen=True, slots=True)
class StuckLease:
    """A lease whose time is over, as a sweeper sees it."""

    account_id: AccountId
    source_id: SourceId
    fence: int
    phase: str
    attempt_id: UUID


def unsettled(leased: Leased, *, trigger: Trigger, correlation_id: str, sent_at: datetime | None) -> Attempt:
    """The attempt that a lease stands for."""
    return Attempt(
        id=leased.attempt_id,
        account_id=leased.account_id,
        epoch=leased.version.epoch,
        fence=leased.fence,
        presented_generation=leased.version.generation,
        trigger=trigger,
        correlation_id=correlation_id,
        sent_at=sent_at,
    )
