"""The reference: a relay as a good team would write it in a day, with an ORM and a poll.

Each event is a row with a mark; a transaction locks the oldest hundred that are not marked, appends one after the other to
a stream, marks them and commits. With one relay it keeps the order in which rows were numbered; nothing more is promised.
"""

import asyncio
from datetime import UTC, datetime

import redis.asyncio
from sqlalchemy import DateTime, Text, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

STREAM = "naive:events"
POLL_S = 0.5
_BATCH = 100


class _Base(DeclarativeBase):
    """The reference's tables."""


class OutboxRow(_Base):
    """An event that waits, or has been sent."""

    __tablename__ = "naive_outbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), index=True)


async def create_table(engine: AsyncEngine) -> None:
    """Make the reference's table."""
    async with engine.begin() as connection:
        await connection.run_sync(_Base.metadata.create_all)


async def write(engine: AsyncEngine, event: str, *, count: int = 1) -> None:
    """Commit so many events."""
    async with AsyncSession(engine) as session, session.begin():
        session.add_all(OutboxRow(event=event) for _ in range(count))


async def relay(engine: AsyncEngine, client: "redis.asyncio.Redis") -> None:
    """Send what waits, until cancelled."""
    while True:
        async with AsyncSession(engine) as session, session.begin():
            waiting = (
                select(OutboxRow)
                .where(OutboxRow.sent_at.is_(None))
                .order_by(OutboxRow.id)
                .limit(_BATCH)
                .with_for_update(skip_locked=True)
            )
            rows = (await session.scalars(waiting)).all()
            for row in rows:
                await client.xadd(STREAM, {"event": row.event})
                row.sent_at = datetime.now(UTC)
        if not rows:
            await asyncio.sleep(POLL_S)
