"""Accounts: what is wide and seldom changes, whose they are, and where imported grants were."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from tokenkeep.adapters.postgres.schema.metadata import NOW, Base, one_of
from tokenkeep.domain.account import AccountState, AuthType, Custody, DisabledReason, Health, VerificationResult


class AccountRow(Base):
    """What is told of an account. A refresh that succeeds on a healthy account does not write here."""

    __tablename__ = "accounts"
    __table_args__ = (
        one_of("auth_type", AuthType),
        one_of("state", AccountState),
        one_of("health", Health),
        one_of("custody", Custody),
        one_of("disabled_reason", DisabledReason),
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
    # For ids that begin alike, whatever the database's collation: all users of one workspace.
    __table_args__ = (
        Index(
            "ix_account_identities_prefix",
            "source_id",
            "external_id",
            postgresql_ops={"external_id": "text_pattern_ops"},
        ),
    )

    source_id: Mapped[UUID] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)


class AccountVerificationRow(Base):
    """What came of asking the provider the last time whether it takes the account's credentials."""

    __tablename__ = "account_verifications"
    __table_args__ = (one_of("result", VerificationResult),)

    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    result: Mapped[str]
    code: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=NOW)


class ImportedGrantRow(Base):
    """The refresh token that an account came with, by its SHA-256: the same grant is never taken into custody twice.

    Two accounts that present the same refresh token would look to the provider like a thief. `client` tells the client that it
    was given to, in whatever environment; None: there is none, or the release before has written the row. `token_mark` and
    `prefix_mark`: by what a provider that tells of single tokens names this one, hashed; None: it names none.
    """

    __tablename__ = "imported_grants"
    __table_args__ = (
        Index(None, "fingerprint", "client", unique=True),
        Index(None, "source_id", "token_mark", postgresql_where=text("token_mark IS NOT NULL")),
        Index(None, "source_id", "prefix_mark", postgresql_where=text("prefix_mark IS NOT NULL")),
    )

    source_id: Mapped[UUID] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    client: Mapped[bytes | None]
    token_mark: Mapped[bytes | None]
    prefix_mark: Mapped[bytes | None]
