"""The values that travel along the road of a refresh."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from tokenkeep.domain.attempt import Attempt, Trigger
from tokenkeep.domain.credential import CredentialVersion, SealedKey, SealedTokens
from tokenkeep.domain.credential_store import KeptAt
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import Source
from tokenkeep.domain.standing import Settlement, Standing
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
    """What a refresh needs to know of its source. The client secret and the callout's secret are still sealed.

    `on_trial`: the source is proving a changed client, or is paused over client faults and being probed; a refresh that
    succeeds shows that it works. `rollback_accepted_at`: when an operator took it on himself that the database went back in
    time.
    """

    id: SourceId
    environment: str
    provider: str
    client_id: str | None
    sealed_key: SealedKey
    client_secret_ciphertext: bytes | None
    secret_version: int
    options: Mapping[str, Any]
    paused: bool
    on_trial: bool = False
    rollback_accepted_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    callout_secret_ciphertext: bytes | None = None


class Lane(StrEnum):
    """Among more that is due than can go, where a claim begins.

    `OLDEST`: what has waited longest. `NEWEST`: what fell due last, which on a day like any other is all there is. `IN_TIME`: what has
    waited longest among that which fell due lately, so that most of it still has a living token.
    """

    OLDEST = "oldest"
    NEWEST = "newest"
    IN_TIME = "in_time"


@dataclass(frozen=True, slots=True)
class DueAccount:
    """An account that a scheduler has claimed: it hints at it, and will not look again before the hint's time is up.

    `probe`: it goes alone of its source, to show how things are.
    """

    account_id: AccountId
    source_id: SourceId
    next_refresh_at: datetime
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one claim brought: the accounts to hint at, and how many rows it looked at in all.

    The others belong to sources that don't admit them now, or may not be tried yet.
    """

    accounts: Sequence[DueAccount]
    looked_at: int


@dataclass(frozen=True, slots=True)
class Waking:
    """A source that goes on again, and whose accounts are to be woken. `updated_at` tells whether it was changed since."""

    source_id: SourceId
    updated_at: datetime


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
    secret_version: int
    external_id: str | None = None

    @property
    def epoch(self) -> int:
        """The grant's number."""
        return self.version.epoch


_UNKNOWN_RULES = OAuth2Rules(token_url="", refresh_url="")


@dataclass(frozen=True, slots=True)
class RefreshTask:
    """One leased account with all that it takes to refresh it."""

    leased: Leased
    source: SourceConfig
    known_rules: OAuth2Rules | None
    trigger: Trigger
    correlation_id: str

    @property
    def rules(self) -> OAuth2Rules:
        """The source's rules; where they are not known, those of the strictest kind, by which nothing is sent."""
        return self.known_rules or _UNKNOWN_RULES


@dataclass(frozen=True, slots=True)
class WriteAhead:
    """The intent to present a refresh token, about to be written."""

    leased: Leased
    trigger: Trigger
    correlation_id: str
    secret_version: int
    quarantine_s: float


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """Where a received token set lies outside of the database, sealed for this epoch and generation and no other."""

    at: KeptAt
    epoch: int
    generation: int
    refreshable: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """One attempt with what came of it, about to be settled. `sealed_key` is the account's data key, opened before it began.

    `presented` is the refresh token that was spent: an answer without a new one keeps it, and it is sealed anew under
    the new version. `own_client`: the account proved itself with a client of its own, so a refusal of that says nothing of
    its source. `scopes` are those that the account had; an answer that names none leaves them as they are.
    `former_ciphertext` is what the row held of the presented token; `kept` is where the new token set was put beforehand.
    """

    attempt: Attempt
    verdict: Verdict
    source: SourceConfig
    rules: OAuth2Rules
    presented: Secret | None
    scopes: tuple[str, ...]
    sealed_key: SealedKey
    doubts: int = 0
    presentations: int = 1
    properties: Mapping[str, Any] = field(default_factory=dict)
    own_client: bool = False
    former_ciphertext: bytes | None = None
    kept: KeptVersion | None = None


@dataclass(frozen=True, slots=True)
class SpooledAnswer:
    """A token set that the database could not take yet, with all it takes to settle it later. Only `ciphertext` is secret."""

    attempt: Attempt
    source_id: SourceId
    secret_version: int
    scopes: tuple[str, ...]
    doubts: int
    presentations: int
    properties: Mapping[str, Any]
    sealed_key: SealedKey
    ciphertext: bytes = field(repr=False)


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
    source_id: SourceId | None = None
    secret_version: int = 0
    presentations: int = 1
    sealed: SealedTokens | None = None
    receipt: bytes | None = None
    sealed_key: SealedKey | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A token set that was received and not installed, still sealed."""

    account_id: AccountId
    attempt_id: AttemptId
    epoch: int
    fence: int
    presented_generation: int
    sealed_key: SealedKey
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class LockedSource:
    """A source under a row lock, with the number of events it has told."""

    source: Source
    event_sequence: int
    now: datetime


@dataclass(frozen=True, slots=True)
class RevocationNote:
    """That a provider called an account's grant dead; `held` when it was not believed."""

    source_id: SourceId
    account_id: AccountId
    epoch: int
    generation: int
    held: bool
    reason: str
    detail: str | None


@dataclass(frozen=True, slots=True)
class StuckLease:
    """A lease whose time is over, as a sweeper sees it. `seen_at` is the moment, by the database's clock, that it was seen.

    `correlation_id` is that of the attempt which the lease was held for; None if that wrote nothing into the journal yet.
    """

    account_id: AccountId
    source_id: SourceId
    fence: int
    phase: str
    attempt_id: UUID
    sent_at: datetime | None
    seen_at: datetime
    correlation_id: str | None = None


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
        due_at=leased.due_since,
    )
