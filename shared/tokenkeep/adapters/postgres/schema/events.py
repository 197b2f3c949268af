"""Events, and what of them still has to be published."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from tokenkeep.adapters.postgres.schema.metadata import Base

SHARDS = 16
"""Into how many shards the outbox is cut; a relay leases shards."""


class EventRow(Base):
    """Every event, for as long as history is kept (30 days by default).

    `position` is drawn while the subject's row is locked, so along one subject it grows with `sequence`; between
    subjects a lower one may be committed later, and who reads by it stops at a horizon (`domain/event_feed.py`).
    `traceparent` is there only while traces are on.
    """

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint("subject_kind IN ('acc', 'src', 'whk')", name="subject_kind"),
        CheckConstraint("sequence > 0", name="sequence"),
        Index(None, "position"),
        Index("ix_events_environment_position", "environment", "position"),
        # Of the release before alone: events are found by their positions, which their times follow.
        Index("ix_events_time", "time", postgresql_using="brin"),
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": "0.02"}},
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
    traceparent: Mapped[str | None]


class EventFloorRow(Base):
    """The last event of an environment that was deleted because its time was over: no cursor before it is good any more."""

    __tablename__ = "event_floors"

    environment: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
    id: Mapped[UUID]


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


class OutboxMarkRow(Base):
    """How many events of a shard Redis has been seen to have: if it has fewer one day, its data are older than that.

    Apart from the shards' leases, which are renewed with SKIP LOCKED: a relay that writes its marks must not lose them by it.
    """

    __tablename__ = "outbox_marks"
    __table_args__ = ({"postgresql_with": {"fillfactor": "10"}},)

    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    mark: Mapped[int] = mapped_column(BigInteger)


class OutboxShardRow(Base):
    """Which relay publishes a shard, under which fencing number."""

    __tablename__ = "outbox_shards"

    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    holder: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
