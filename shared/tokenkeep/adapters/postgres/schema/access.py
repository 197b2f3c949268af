"""Who may call, who did, and what was asked more than once."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from tokenkeep.adapters.postgres.schema.metadata import NOW, Base, wrapped_for


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
    wrapped_key: Mapped[bytes] = mapped_column(info=wrapped_for("owner"))
    request_ciphertext: Mapped[bytes]
    ciphertext: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ConsoleSessionRow(Base):
    """Who is signed in to the console: the hash of what the browser holds, and the hash of the API key, sealed for `owner` (ADR 0043)."""

    __tablename__ = "console_sessions"
    __table_args__ = (Index(None, "expires_at"),)

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    owner: Mapped[UUID]
    environment: Mapped[str]
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes] = mapped_column(info=wrapped_for("owner"))
    key_hash_ciphertext: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]


class InstanceKeyRow(Base):
    """Random keys that every process of this installation shares (ADR 0019)."""

    __tablename__ = "instance_keys"
    __table_args__ = (CheckConstraint("length(key) = 32", name="length"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
