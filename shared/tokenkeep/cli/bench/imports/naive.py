"""The reference: an import as a good team would write it in a day, one account a commit, by an ORM, its tokens sealed by Fernet."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from cryptography.fernet import Fernet
from sqlalchemy import DateTime, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class _Base(DeclarativeBase):
    """The reference's tables."""


class AccountRow(_Base):
    """An account with its tokens."""

    __tablename__ = "naive_imported"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    source: Mapped[str] = mapped_column(Text, index=True)
    external_id: Mapped[str] = mapped_column(Text, index=True)
    labels: Mapped[dict[str, Any]] = mapped_column(JSONB)
    access_token: Mapped[bytes] = mapped_column(LargeBinary)
    refresh_token: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


async def create_table(engine: AsyncEngine) -> None:
    """Make the reference's table."""
    async with engine.begin() as connection:
        await connection.run_sync(_Base.metadata.create_all)


async def take_in(engine: AsyncEngine, chunks: list[bytes]) -> int:
    """Import these lines; returns how many there were."""
    fernet = Fernet(Fernet.generate_key())
    count = 0
    for line in b"".join(chunks).splitlines():
        body = orjson.loads(line)
        credentials = body["credentials"]
        async with AsyncSession(engine) as session, session.begin():
            session.add(
                AccountRow(
                    source="source",
                    external_id=body["external_id"],
                    labels=body["metadata"],
                    access_token=fernet.encrypt(credentials["access_token"].encode()),
                    refresh_token=fernet.encrypt(credentials["refresh_token"].encode()),
                    expires_at=datetime.now(UTC) + timedelta(seconds=credentials["expires_in"]),
                )
            )
        count += 1
    return count
