"""Credentials on their way out: handed back, or to be revoked."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from tokenkeep.adapters.postgres.schema.metadata import NOW, Base, wrapped_for


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
    wrapped_key: Mapped[bytes] = mapped_column(info=wrapped_for("account_id"))
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
