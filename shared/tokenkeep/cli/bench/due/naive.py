"""The reference: a scheduler as a good team would write it in a day, with an ORM and one message for each account.

An account is one row with everything that it has. A tick locks the hundred that have been due for longest, puts them off by
a minute, sends a message for each and commits.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy import DateTime, LargeBinary, Text, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

QUEUE = "naive"
_BATCH = 100
_PUT_OFF = timedelta(days=1)
_FILL = text("""
INSERT INTO naive_accounts (id, source, external_id, state, access_token, refresh_token, expires_at, due_at)
SELECT gen_random_uuid(), 'source-' || number % 40, 'user-' || number, 'active', CAST(repeat('a', 240) AS bytea),
       CAST(repeat('r', 120) AS bytea), clock_timestamp(), clock_timestamp() - random() * interval '1 hour'
  FROM generate_series(1, :count) AS series(number)
""")


class _Base(DeclarativeBase):
    """The reference's tables."""


class AccountRow(_Base):
    """An account with its tokens."""

    __tablename__ = "naive_accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str] = mapped_column(Text, index=True)
    state: Mapped[str] = mapped_column(Text)
    access_token: Mapped[bytes] = mapped_column(LargeBinary)
    refresh_token: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


async def fill(engine: AsyncEngine, count: int) -> None:
    """Make the reference's table, with so many accounts that are due."""
    async with engine.begin() as connection:
        await connection.run_sync(_Base.metadata.create_all)
        await connection.execute(_FILL, {"count": count})
    async with engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).exec_driver_sql(
            "VACUUM (ANALYZE) naive_accounts"
        )


async def tick(engine: AsyncEngine, broker: RedisBroker | None) -> int:
    """Claim and send what is due, a hundred at most; without a broker nothing is sent. Returns how many there were."""
    async with AsyncSession(engine) as session, session.begin():
        now = datetime.now(UTC)
        waiting = (
            select(AccountRow)
            .where(AccountRow.due_at <= func.now())
            .order_by(AccountRow.due_at)
            .limit(_BATCH)
            .with_for_update(skip_locked=True)
        )
        rows = (await session.scalars(waiting)).all()
        for row in rows:
            row.due_at = now + _PUT_OFF
            if broker is not None:
                broker.enqueue(_message(row.id))
    return len(rows)


def _message(account_id: UUID) -> "dramatiq.Message[None]":
    return dramatiq.Message(queue_name=QUEUE, actor_name="refresh", args=(str(account_id),), kwargs={}, options={})
