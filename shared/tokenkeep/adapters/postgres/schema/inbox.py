"""Events that services sent."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from tokenkeep.adapters.postgres.schema.metadata import NOW, Base, one_of
from tokenkeep.application.inbox import Outcome
from tokenkeep.domain.incoming_event import IncomingType


class InboxEventRow(Base):
    """Accepted events; `outcome` NULL means: not worked off yet. Kept on for a while, so that one that comes again is known.

    The key is what makes an event the same one again, whichever account it names; so it can't hold the account's id.
    """

    __tablename__ = "inbox_events"
    __table_args__ = (
        one_of("type", IncomingType),
        one_of("outcome", Outcome),
        CheckConstraint("(outcome IS NULL) = (settled_at IS NULL)", name="settled_has_outcome"),
        Index("ix_inbox_events_pending", "account_id", "position", postgresql_where=text("outcome IS NULL")),
        Index("ix_inbox_events_waiting", "position", postgresql_where=text("outcome IS NULL")),
        Index("ix_inbox_events_failed", "position", postgresql_where=text("outcome = 'failed'")),
        Index("ix_inbox_events_age", "received_at", postgresql_where=text("outcome IS NOT NULL")),
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": "0.05"}},
    )

    environment: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    type: Mapped[str]
    account_id: Mapped[UUID]
    token_fingerprint: Mapped[str | None]
    actor: Mapped[str]
    address: Mapped[str | None]
    correlation_id: Mapped[str]
    received_at: Mapped[datetime] = mapped_column(server_default=NOW)
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    next_try_at: Mapped[datetime] = mapped_column(server_default=NOW)
    error: Mapped[str | None]
    outcome: Mapped[str | None]
    settled_at: Mapped[datetime | None]
