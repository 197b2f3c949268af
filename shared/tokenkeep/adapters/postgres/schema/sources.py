"""Sources, and what is counted of their revocations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from tokenkeep.adapters.postgres.schema.metadata import NOW, Base, one_of, wrapped_for
from tokenkeep.domain.account import AuthType
from tokenkeep.domain.source import SourceState


class SourceRow(Base):
    """One provider configured in one environment. Its client secret is sealed under a data key of its own.

    `proving`: its client was changed, so one account goes first, alone. `probe_at`: when a scheduler next picks the one
    account that may be refreshed though the source is paused or proving; `probe_account_id` is that account. `waking`: it
    was resumed, and its accounts that were put aside wait to be looked at. `former_hook_secret_ciphertext`: the hook secret that
    was replaced; providers may go on signing with it until `former_hook_secret_until`.
    """

    __tablename__ = "sources"
    __table_args__ = (
        one_of("auth_type", AuthType),
        one_of("state", SourceState),
        CheckConstraint("(state = 'paused') = (paused_reason IS NOT NULL)", name="paused_has_reason"),
        CheckConstraint("probe_account_id IS NULL OR probe_at IS NOT NULL", name="probe_has_time"),
        CheckConstraint(
            "(former_hook_secret_ciphertext IS NULL) = (former_hook_secret_until IS NULL)",
            name="former_hook_secret_has_end",
        ),
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
    wrapped_key: Mapped[bytes] = mapped_column(info=wrapped_for("id"))
    client_secret_ciphertext: Mapped[bytes | None]
    callout_secret_ciphertext: Mapped[bytes | None]
    hook_secret_ciphertext: Mapped[bytes | None]
    former_hook_secret_ciphertext: Mapped[bytes | None]
    former_hook_secret_until: Mapped[datetime | None]
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


class ProviderNoticeRow(Base):
    """Notices of providers that were worked off, by their digests: one that names no time is known when it comes again.

    `believed`: accounts were disabled on its word alone.
    """

    __tablename__ = "provider_notices"
    __table_args__ = (Index(None, "source_id", "received_at"), Index("ix_provider_notices_age", "received_at"))

    source_id: Mapped[UUID] = mapped_column(ForeignKey("sources.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
    believed: Mapped[bool]
