"""Ways in that take a while: connect sessions and imports."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tokenkeep.adapters.postgres.schema.metadata import NOW, Base, one_of, wrapped_for
from tokenkeep.domain.connect_session import StoredState


class ConnectSessionRow(Base):
    """One try of one end user to connect an account, or to reconnect the one that is named.

    Secrets are stored as their SHA-256: the link's token, the state and the browser's cookie while the user is at the
    provider, the result that the caller redeems. PKCE's verifier is sealed, and goes when the user is back. An expired
    session is one whose time is over; no row says so.
    """

    __tablename__ = "connect_sessions"
    __table_args__ = (
        one_of("state", StoredState),
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
    wrapped_key: Mapped[bytes | None] = mapped_column(info=wrapped_for("id"))
    ciphertext: Mapped[bytes | None]
    result_hash: Mapped[bytes | None]
    redeemed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime]


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
    wrapped_key: Mapped[bytes] = mapped_column(info=wrapped_for("id"))
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
