"""Credentials, leases and the journal of attempts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from tokenkeep.adapters.postgres.schema.metadata import NOW, Base, one_of, wrapped_for
from tokenkeep.domain.attempt import Disposition, Outcome, Resolution, Trigger
from tokenkeep.domain.lease import Phase


class CredentialRow(Base):
    """The secrets of an account, sealed under its data key, and how long they last.

    `rejected_generation` is the latest one whose access token a service has reported as refused by the provider.
    """

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
    wrapped_key: Mapped[bytes] = mapped_column(info=wrapped_for("account_id"))
    access_ciphertext: Mapped[bytes]
    refresh_ciphertext: Mapped[bytes | None]
    token_type: Mapped[str]
    scopes: Mapped[list[str]]
    obtained_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    refresh_token_expires_at: Mapped[datetime | None]
    refresh_end_derived: Mapped[bool | None] = mapped_column(server_default=text("false"))
    last_refreshed_at: Mapped[datetime | None]
    rejected_generation: Mapped[int | None] = mapped_column(BigInteger)


class LeaseRow(Base):
    """Schedule, phase and fencing number of an account: the row that the custody protocol turns on."""

    __tablename__ = "leases"
    __table_args__ = (
        one_of("phase", Phase),
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

    `presentations` counts how often the token left under this attempt; `resolution` says how it ended an earlier doubt;
    `due_at` is since when the refresh was due, NULL if a release wrote it that did not say so.
    """

    __tablename__ = "refresh_attempts"
    __table_args__ = (
        one_of("trigger", Trigger),
        one_of("outcome", Outcome),
        one_of("resolution", Resolution),
        CheckConstraint("(outcome IS NULL) = (settled_at IS NULL)", name="settled_has_outcome"),
        Index("ix_refresh_attempts_age", "leased_at"),
        {"postgresql_with": {"fillfactor": "90", "autovacuum_vacuum_scale_factor": "0.02"}},
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
    due_at: Mapped[datetime | None]
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
    __table_args__ = (one_of("disposition", Disposition),)

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    attempt_id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    fence: Mapped[int] = mapped_column(BigInteger)
    presented_generation: Mapped[int] = mapped_column(BigInteger)
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes] = mapped_column(info=wrapped_for("account_id"))
    ciphertext: Mapped[bytes]
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
    disposition: Mapped[str]
