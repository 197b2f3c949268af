"""Webhooks, their secrets, what is to be sent to them, and who is at it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from tokenkeep.adapters.postgres.schema.metadata import NOW, Base, one_of, wrapped_for
from tokenkeep.domain.webhook import WebhookDisabledReason
from tokenkeep.domain.webhook_tries import DeliveryState


class WebhookRow(Base):
    """One address that is told of an environment's events: of these `types`, NULL being all, behind the position `heard_from`."""

    __tablename__ = "webhooks"
    __table_args__ = (
        one_of("disabled_reason", WebhookDisabledReason),
        CheckConstraint("(disabled_reason IS NULL) = (disabled_at IS NULL)", name="disabled_has_time"),
        Index(None, "environment", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    environment: Mapped[str]
    url: Mapped[str]
    description: Mapped[str | None]
    types: Mapped[list[str] | None]
    ordered: Mapped[bool]
    disabled_reason: Mapped[str | None]
    disabled_at: Mapped[datetime | None]
    heard_from: Mapped[int] = mapped_column(BigInteger)
    event_sequence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    key_id: Mapped[str]
    wrapped_key: Mapped[bytes] = mapped_column(info=wrapped_for("id"))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class WebhookSecretRow(Base):
    """What deliveries are signed with, sealed. The newest has no end; former ones sign beside it until theirs."""

    __tablename__ = "webhook_secrets"

    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    ciphertext: Mapped[bytes]
    valid_until: Mapped[datetime | None]


class WebhookLaneRow(Base):
    """A webhook's turn: one worker at a time delivers to it. What changes with every delivery is here, apart from the rest.

    `wake_at`: when there is something to be sent, NULL if there is nothing. `parking_through`: deliveries up to this position
    are being put aside, and nothing is sent before that is done. The row outlives its webhook until all deliveries are deleted.
    """

    __tablename__ = "webhook_lanes"
    __table_args__ = (
        Index(None, "wake_at", postgresql_where=text("wake_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "50", "autovacuum_vacuum_scale_factor": "0.02"}},
    )

    webhook_id: Mapped[UUID] = mapped_column(primary_key=True)
    wake_at: Mapped[datetime | None]
    holder: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    failing_since: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    rest_until: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    parking_through: Mapped[int | None] = mapped_column(BigInteger)
    deleted_at: Mapped[datetime | None]


class WebhookDeliveryRow(Base):
    """One event for one webhook, and what came of the latest try. `position` is the event's.

    A pending one without `due_at` waits behind another one of its subject.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        one_of("state", DeliveryState),
        CheckConstraint("due_at IS NULL OR state = 'pending'", name="due_is_pending"),
        Index("ix_webhook_deliveries_due", "webhook_id", "due_at", postgresql_where=text("state = 'pending'")),
        Index(
            "ix_webhook_deliveries_subject",
            "webhook_id",
            "subject",
            "position",
            postgresql_where=text("state = 'pending'"),
        ),
        Index(
            "ix_webhook_deliveries_undelivered",
            "webhook_id",
            "position",
            postgresql_where=text("state <> 'delivered'"),
        ),
        Index(None, "webhook_id", "event_id"),
        Index("ix_webhook_deliveries_age", "created_at", postgresql_where=text("state <> 'pending'")),
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": "0.05"}},
    )

    webhook_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    event_id: Mapped[UUID]
    subject: Mapped[UUID]
    type: Mapped[str]
    state: Mapped[str]
    due_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    tried_at: Mapped[datetime | None]
    status: Mapped[int | None]
    error: Mapped[str | None]
    duration_ms: Mapped[int | None]
    excerpt: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class WebhookCursorRow(Base):
    """Up to which position events have been given to the webhooks that want them. One row."""

    __tablename__ = "webhook_cursor"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(BigInteger)
