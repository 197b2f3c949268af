"""The tables, as SQLAlchemy models.

What stays the same by design:

- The narrow, churning row (`leases`) is apart from what is wide (`accounts`) and from what is secret (`credentials`).
  Its only index besides the key is the one on `due_at`; taking a lease and writing ahead touch no indexed column, so
  PostgreSQL updates them in place (HOT), for which the fill factor leaves room.
- Whatever grows with the fleet has the account's (or subject's) id in its primary key and in every unique
  constraint, so that it can be partitioned by hash of that id. Uniqueness of external ids has a table of its own.
- States are texts with CHECK constraints: a new value is an expand/contract migration, not an ALTER TYPE.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tokenkeep.domain.account import AccountState, AuthType, Custody, DisabledReason, Health, VerificationResult
from tokenkeep.domain.attempt import Disposition, Outcome, Resolution, Trigger
from tokenkeep.domain.connect_session import StoredState
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.source import SourceState

NOW = text("clock_timestamp()")
SHARDS = 16
"""Into how many shards the outbox is cut; a relay leases shards."""


class Base(DeclarativeBase):
    """The root of the models, with names for every constraint."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own idiom
        UUID: Uuid(as_uuid=True),
        str: Text(),
        bytes: LargeBinary(),
        bool: Boolean(),
        int: Integer(),
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB(),
        list[str]: ARRAY(Text()),
    }


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    allowed = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


class SourceRow(Base):
    """One provider configured in one environment. Its client secret is sealed under a data key of its own.

    `proving`: its client was changed, so one account goes first, alone. `probe_at`: when a scheduler next picks the one
    account that may be refreshed though the source is paused or proving; `probe_account_id` is that account. `waking`: it
    was resumed, and its accounts that were put aside wait to be looked at.
    """

    __tablename__ = "sources"
    __table_args__ = (
        _one_of("auth_type", AuthType),
        _one_of("state", SourceState),
        CheckConstraint("(state = 'paused') = (paused_reason IS NOT NULL)", name="paused_has_reason"),
        CheckConstraint("probe_account_id IS NULL OR probe_at IS NOT NULL", name="probe_has_time"),
        Index(None, "environment", "id"),
        Index(None, "provider", "client_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    environment: Mapped[str]
    provider: Mapped[str]
    name: Mapped[str]
    auth_type: Mapped[str]
    client_id: Mapped[str | None]
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes]
    client_secret_ciphertext: Mapped[bytes | None]
    callout_secret_ciphertext: Mapped[bytes | None]
    secret_version: Mapped[int] = mapped_column(server_default=text("1"))
    scopes: Mapped[list[str]]
    options: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default=text("'active'"))
    paused_reason: Mapped[str | None]
    paused_at: Mapped[datetime | None]
    proving: Mapped[bool] = mapped_column(server_default=text("false"))
    probe_account_id: Mapped[UUID | None]
    probe_at: Mapped[datetime | None]
    probes: Mapped[int] = mapped_column(server_default=text("0"))
    waking: Mapped[bool] = mapped_column(server_default=text("false"))
    rollback_accepted_at: Mapped[datetime | None]
    revocations_confirmed_at: Mapped[datetime | None]
    event_sequence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class AccountRow(Base):
    """What is told of an account. A refresh that succeeds on a healthy account does not write here."""

    __tablename__ = "accounts"
    __table_args__ = (
        _one_of("auth_type", AuthType),
        _one_of("state", AccountState),
        _one_of("health", Health),
        _one_of("custody", Custody),
        _one_of("disabled_reason", DisabledReason),
        CheckConstraint("(state = 'disabled') = (disabled_reason IS NOT NULL)", name="disabled_has_reason"),
        CheckConstraint("num_nonnulls(disabled_reason, disabled_at, disabled_by) IN (0, 3)", name="disabled_is_whole"),
        CheckConstraint("(last_error_reason IS NULL) = (last_error_at IS NULL)", name="last_error_is_whole"),
        CheckConstraint("NOT external_id_verified OR external_id IS NOT NULL", name="verified_has_external_id"),
        Index(None, "environment", "id"),
        Index(None, "source_id", "id"),
        Index(None, "environment", "external_id"),
        Index(
            "ix_accounts_metadata", "metadata", postgresql_using="gin", postgresql_ops={"metadata": "jsonb_path_ops"}
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    source_id: Mapped[UUID] = mapped_column(ForeignKey("sources.id"))
    environment: Mapped[str]
    provider: Mapped[str]
    auth_type: Mapped[str]
    external_id: Mapped[str | None]
    external_id_verified: Mapped[bool] = mapped_column(server_default=text("false"))
    external_id_kind: Mapped[str | None]
    state: Mapped[str]
    disabled_reason: Mapped[str | None]
    disabled_detail: Mapped[str | None]
    disabled_at: Mapped[datetime | None]
    disabled_by: Mapped[str | None]
    health: Mapped[str] = mapped_column(server_default=text("'healthy'"))
    custody: Mapped[str]
    last_error_reason: Mapped[str | None]
    last_error_http_status: Mapped[int | None]
    last_error_at: Mapped[datetime | None]
    # `metadata` is SQLAlchemy's own attribute, so the model's name differs from the column's.
    labels: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=text("'{}'"))
    properties: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class AccountIdentityRow(Base):
    """One row for each verified external id of a source: two accounts never share one."""

    __tablename__ = "account_identities"

    source_id: Mapped[UUID] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)


class AccountVerificationRow(Base):
    """What came of asking the provider the last time whether it takes the account's credentials."""

    __tablename__ = "account_verifications"
    __table_args__ = (_one_of("result", VerificationResult),)

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    result: Mapped[str]
    code: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=NOW)


class ImportedGrantRow(Base):
    """The refresh token that an account came with, by its SHA-256: the same grant is never taken into custody twice.

    Two accounts that present the same refresh token would look to the provider like a thief. `client` tells the client that it
    was given to, in whatever environment; None: there is none, or the release before has written the row.
    """

    __tablename__ = "imported_grants"
    __table_args__ = (Index(None, "fingerprint", "client", unique=True),)

    source_id: Mapped[UUID] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    client: Mapped[bytes | None]


class CredentialRow(Base):
    """The secrets of an account, sealed under its data key, and how long they last."""

    __tablename__ = "credentials"
    __table_args__ = (
        CheckConstraint("epoch > 0 AND generation > 0 AND installed_fence >= 0", name="versions"),
        CheckConstraint("isfinite(expires_at) AND isfinite(refresh_token_expires_at)", name="finite_times"),
        {"postgresql_with": {"fillfactor": "75"}},
    )

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    generation: Mapped[int] = mapped_column(BigInteger)
    installed_fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes]
    access_ciphertext: Mapped[bytes]
    refresh_ciphertext: Mapped[bytes | None]
    token_type: Mapped[str]
    scopes: Mapped[list[str]]
    obtained_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    refresh_token_expires_at: Mapped[datetime | None]
    refresh_end_derived: Mapped[bool | None] = mapped_column(server_default=text("false"))
    last_refreshed_at: Mapped[datetime | None]


class LeaseRow(Base):
    """Schedule, phase and fencing number of an account: the row that the custody protocol turns on."""

    __tablename__ = "leases"
    __table_args__ = (
        _one_of("phase", Phase),
        CheckConstraint("(phase = 'idle') = (attempt_id IS NULL)", name="attempt_while_held"),
        CheckConstraint("(phase = 'idle') = (lease_until IS NULL)", name="until_while_held"),
        CheckConstraint(
            "phase NOT IN ('sent', 'doubt') OR (sent_at IS NOT NULL AND presented_generation IS NOT NULL)",
            name="sent_is_recorded",
        ),
        CheckConstraint("phase = 'idle' OR due_at IS NOT NULL", name="held_is_looked_after"),
        CheckConstraint("next_refresh_at IS NULL OR due_at IS NOT NULL", name="owed_is_looked_after"),
        CheckConstraint("fence >= 0 AND epoch > 0 AND doubts >= 0 AND consecutive_failures >= 0", name="counters"),
        Index("ix_leases_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        {
            "postgresql_with": {
                "fillfactor": "50",
                "autovacuum_vacuum_scale_factor": "0.02",
                "autovacuum_vacuum_threshold": "1000",
                "autovacuum_vacuum_cost_delay": "0",
            }
        },
    )

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[UUID]
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    epoch: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    phase: Mapped[str] = mapped_column(server_default=text("'idle'"))
    attempt_id: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    presented_generation: Mapped[int | None] = mapped_column(BigInteger)
    obtained_at: Mapped[datetime | None]
    next_refresh_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    demanded_at: Mapped[datetime | None]
    consecutive_failures: Mapped[int] = mapped_column(server_default=text("0"))
    failing_since: Mapped[datetime | None]
    doubts: Mapped[int] = mapped_column(server_default=text("0"))
    doubt_since: Mapped[datetime | None]
    suspected_at: Mapped[datetime | None]
    event_sequence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    watched_end: Mapped[datetime | None]
    tell_at: Mapped[datetime | None]


class AttemptRow(Base):
    """The refresh journal. A row is written before the refresh token leaves; `outcome` NULL means: not settled.

    `presentations` counts how often the token left under this attempt; `resolution` says how it ended an earlier doubt.
    """

    __tablename__ = "refresh_attempts"
    __table_args__ = (
        _one_of("trigger", Trigger),
        _one_of("outcome", Outcome),
        _one_of("resolution", Resolution),
        CheckConstraint("(outcome IS NULL) = (settled_at IS NULL)", name="settled_has_outcome"),
        Index("ix_refresh_attempts_leased_at", "leased_at", postgresql_using="brin"),
        {"postgresql_with": {"fillfactor": "90"}},
    )

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    source_id: Mapped[UUID | None]
    epoch: Mapped[int] = mapped_column(BigInteger)
    fence: Mapped[int] = mapped_column(BigInteger)
    presented_generation: Mapped[int] = mapped_column(BigInteger)
    trigger: Mapped[str]
    correlation_id: Mapped[str]
    secret_version: Mapped[int]
    leased_at: Mapped[datetime] = mapped_column(server_default=NOW)
    sent_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    reason: Mapped[str | None]
    http_status: Mapped[int | None]
    error_code: Mapped[str | None]
    presentations: Mapped[int] = mapped_column(server_default=text("1"))
    resolution: Mapped[str | None]


class ReceiptRow(Base):
    """Token sets that were received and not installed, sealed; the fallback before an account is given up."""

    __tablename__ = "receipts"
    __table_args__ = (_one_of("disposition", Disposition),)

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    attempt_id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    fence: Mapped[int] = mapped_column(BigInteger)
    presented_generation: Mapped[int] = mapped_column(BigInteger)
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes]
    ciphertext: Mapped[bytes]
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
    disposition: Mapped[str]


class RevocationRow(Base):
    """Accounts of which a provider said lately that their grants are dead: what the guard against mass revocation counts.

    `held`: the word was not believed, the account is still active, and an operator decides.
    """

    __tablename__ = "source_revocations"
    __table_args__ = (Index(None, "source_id", "at"),)

    source_id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    generation: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    held: Mapped[bool]
    reason: Mapped[str]
    detail: Mapped[str | None]


class ReleaseRow(Base):
    """Credentials that were handed back to their owner, last those of this generation.

    `erased_at` NULL: they can still be fetched again.
    """

    __tablename__ = "releases"
    __table_args__ = (
        Index("ix_releases_confirm_before", "confirm_before", postgresql_where=text("erased_at IS NULL")),
    )

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    released_at: Mapped[datetime] = mapped_column(server_default=NOW)
    confirm_before: Mapped[datetime]
    erased_at: Mapped[datetime | None]
    generation: Mapped[int] = mapped_column(BigInteger)
    in_doubt: Mapped[bool] = mapped_column(server_default=text("false"))


class RevocationRequestRow(Base):
    """Grants that their providers are still to be told to revoke: those of their tokens that the telling takes, sealed.

    `fingerprint` and `access_fingerprint` (SHA-256 of each token) and `external_id` tell whether the same grant, or user, has
    come back meanwhile. `ciphertext` holds the refresh token. `access_ends_at` is when the access token's time is over, where
    the grant may live on without it. `host` is where the request goes. Until `in_flight_until` it may be with the provider,
    unanswered.
    """

    __tablename__ = "revocation_requests"
    __table_args__ = (
        CheckConstraint("num_nonnulls(ciphertext, access_ciphertext) > 0", name="has_token"),
        Index(None, "next_try_at"),
        Index(None, "host", "next_try_at"),
        Index(None, "account_id"),
        Index(None, "source_id", "fingerprint"),
        Index(None, "source_id", "access_fingerprint"),
        Index(None, "source_id", "external_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID]
    source_id: Mapped[UUID]
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes]
    ciphertext: Mapped[bytes | None]
    access_ciphertext: Mapped[bytes | None]
    fingerprint: Mapped[bytes]
    access_fingerprint: Mapped[bytes | None]
    access_ends_at: Mapped[datetime | None]
    external_id: Mapped[str | None]
    properties: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    next_try_at: Mapped[datetime] = mapped_column(server_default=NOW)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    host: Mapped[str] = mapped_column(server_default=text("''"))
    in_flight_until: Mapped[datetime | None]


class RevocationHostRow(Base):
    """Hosts that revocations go to. Until `free_at` a worker is busy with it, or it rests, having kept silent `timeouts` times."""

    __tablename__ = "revocation_hosts"

    host: Mapped[str] = mapped_column(primary_key=True)
    free_at: Mapped[datetime]
    timeouts: Mapped[int] = mapped_column(server_default=text("0"))


class EventRow(Base):
    """Every event of the last 30 days.

    `position` is drawn while the subject's row is locked, so along one subject it grows with `sequence`; between
    subjects a lower one may be committed later.
    """

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint("subject_kind IN ('acc', 'src')", name="subject_kind"),
        CheckConstraint("sequence > 0", name="sequence"),
        Index(None, "position"),
        Index("ix_events_time", "time", postgresql_using="brin"),
    )

    subject: Mapped[UUID] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    id: Mapped[UUID]
    subject_kind: Mapped[str]
    environment: Mapped[str]
    type: Mapped[str]
    time: Mapped[datetime]
    correlation_id: Mapped[str | None]
    data: Mapped[dict[str, Any]]


class OutboxRow(Base):
    """Events that Redis has not got yet. A narrow pointer that is deleted once it is delivered."""

    __tablename__ = "outbox"
    __table_args__ = (
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": "0.02", "autovacuum_vacuum_cost_delay": "0"}},
    )

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    shard: Mapped[int] = mapped_column(SmallInteger)
    subject: Mapped[UUID]
    sequence: Mapped[int] = mapped_column(BigInteger)


class OutboxShardRow(Base):
    """Which relay publishes a shard, under which fencing number."""

    __tablename__ = "outbox_shards"

    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    holder: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]


class ApiKeyRow(Base):
    """API keys by the SHA-256 of their text; a key has 256 random bits, so a slow hash would add nothing."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("isfinite(expires_at)", name="finite_times"),
        Index(None, "environment", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    environment: Mapped[str]
    name: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    created_by: Mapped[str]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class AuditRow(Base):
    """Who did what to which thing, from where, with what result. Never updated."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index(None, "environment", "id"),
        Index(None, "environment", "target", "id"),
        Index(None, "environment", "actor", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    environment: Mapped[str]
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str | None]
    address: Mapped[str | None]
    result: Mapped[str]
    count: Mapped[int] = mapped_column(server_default=text("1"))


class IdempotencyRow(Base):
    """POSTs that carried an Idempotency-Key. Sealed are the answer, which may show a new key, and what tells the request from others."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"),)

    environment: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str]
    owner: Mapped[UUID]
    status: Mapped[int | None]
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes]
    request_ciphertext: Mapped[bytes]
    ciphertext: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ConnectSessionRow(Base):
    """One try of one end user to connect an account, or to reconnect the one that is named.

    Secrets are stored as their SHA-256: the link's token, the state and the browser's cookie while the user is at the
    provider, the result that the caller redeems. PKCE's verifier is sealed, and goes when the user is back. An expired
    session is one whose time is over; no row says so.
    """

    __tablename__ = "connect_sessions"
    __table_args__ = (
        _one_of("state", StoredState),
        CheckConstraint("(state = 'failed') = (failure_code IS NOT NULL)", name="failed_has_code"),
        CheckConstraint("(state = 'connected') = (result_hash IS NOT NULL)", name="connected_has_result"),
        CheckConstraint("state <> 'connected' OR account_id IS NOT NULL", name="connected_has_account"),
        CheckConstraint(
            "state = 'open' OR num_nonnulls(state_hash, browser_hash, ciphertext) = 0", name="closed_is_bare"
        ),
        CheckConstraint("(state_hash IS NULL) = (browser_hash IS NULL)", name="begun_is_whole"),
        CheckConstraint("num_nonnulls(key_id, wrapped_key, ciphertext) IN (0, 3)", name="verifier_is_whole"),
        Index(None, "state_hash"),
        Index(None, "account_id"),
        Index(None, "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    environment: Mapped[str]
    source_id: Mapped[UUID] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"))
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"))
    created_by: Mapped[str]
    link_hash: Mapped[bytes] = mapped_column(unique=True)
    external_id: Mapped[str | None]
    labels: Mapped[dict[str, Any]] = mapped_column("metadata", server_default=text("'{}'"))
    properties: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    scopes: Mapped[list[str] | None]
    return_url: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default=text("'open'"))
    failure_code: Mapped[str | None]
    state_hash: Mapped[bytes | None]
    browser_hash: Mapped[bytes | None]
    key_id: Mapped[str | None]
    wrapped_key: Mapped[bytes | None]
    ciphertext: Mapped[bytes | None]
    result_hash: Mapped[bytes | None]
    redeemed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]


class InstanceKeyRow(Base):
    """Random keys that every process of this installation shares (ADR 0019)."""

    __tablename__ = "instance_keys"
    __table_args__ = (CheckConstraint("length(key) = 32", name="length"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ImportRow(Base):
    """An import and how far it has come. Without a `key` nobody can go on with it; it goes when its request ends.

    `holder` is the request that may go on with it: whoever comes with the key takes it over. `overdue` counts accounts that
    came with nothing left to wait for. `digest_key` keys the digests of its lines, sealed: a line may hold a password.
    """

    __tablename__ = "imports"
    __table_args__ = (UniqueConstraint("environment", "key"), Index(None, "progressed_at"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    environment: Mapped[str]
    key: Mapped[str | None]
    source: Mapped[str | None]
    holder: Mapped[UUID]
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes]
    digest_key: Mapped[bytes]
    lines: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    overdue: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    finished: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    progressed_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ImportChunkRow(Base):
    """Lines of an import that are done: a digest of each, and the results that were given. Written with their accounts."""

    __tablename__ = "import_chunks"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True)
    first_line: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    digests: Mapped[bytes]
    results: Mapped[str]
