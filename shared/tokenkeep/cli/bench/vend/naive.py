"""The reference: a token endpoint as a good team would write it in a day.

A FastAPI route over the ORM. Each request looks its key up by its hash, takes a redis-py lock on the account, so that nobody
refreshes it meanwhile, reads the row, decrypts the token (Fernet), notes when it was used last, and commits.
"""

import hashlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import redis.asyncio
import uvicorn
from cryptography.fernet import Fernet
from fastapi import FastAPI, Header, HTTPException
from sqlalchemy import DateTime, LargeBinary, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.adapters.redis.connection import connect
from tokenkeep.settings import load_settings, require_database, require_redis

_LOCK_S = 10.0
_ENVIRONMENT = "default"


class _Base(DeclarativeBase):
    """The reference's tables."""


class KeyRow(_Base):
    """An API key."""

    __tablename__ = "naive_keys"

    key_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    environment: Mapped[str] = mapped_column(Text)
    scopes: Mapped[str] = mapped_column(Text)


class AccountRow(_Base):
    """An account with its token."""

    __tablename__ = "naive_accounts"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    environment: Mapped[str] = mapped_column(Text)
    token: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


async def fill(engine: AsyncEngine, cipher: Fernet, key: str, tokens: Mapping[str, str], expires_at: datetime) -> None:
    """Make the tables: one key, and these tokens by their accounts."""
    rows = [
        {"id": name, "environment": _ENVIRONMENT, "token": cipher.encrypt(token.encode()), "expires_at": expires_at}
        for name, token in tokens.items()
    ]
    async with engine.begin() as connection:
        await connection.run_sync(_Base.metadata.create_all)
        key_row = {"key_hash": _hashed(key), "environment": _ENVIRONMENT, "scopes": "credentials:read"}
        await connection.execute(insert(KeyRow), key_row)
        await connection.execute(insert(AccountRow), rows)


def create_app(engine: AsyncEngine, client: "redis.asyncio.Redis", cipher: Fernet) -> FastAPI:
    """The reference's API."""
    app = FastAPI()
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def caller(session: AsyncSession, authorization: str) -> KeyRow:
        key = (await session.scalars(select(KeyRow).where(KeyRow.key_hash == _hashed(authorization[7:])))).first()
        if key is None:
            raise HTTPException(401)
        if "credentials:read" not in key.scopes.split():
            raise HTTPException(403)
        return key

    @app.post("/v1/accounts/{account_id}/token")
    async def token(account_id: str, authorization: Annotated[str, Header()]) -> dict[str, Any]:
        async with sessions() as session:
            key = await caller(session, authorization)
            async with client.lock(f"naive:{account_id}", timeout=_LOCK_S):
                account = await session.get(AccountRow, account_id)
                if account is None or account.environment != key.environment:
                    raise HTTPException(404)
                account.last_used_at = datetime.now(UTC)
                await session.commit()
                access_token = cipher.decrypt(account.token).decode()
        headers = {"Authorization": f"Bearer {access_token}"}
        return {"data": {"access_token": access_token, "expires_at": account.expires_at, "headers": headers}}

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {}

    return app


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def main(port: int, cipher_key: str) -> None:
    """Serve until told to stop."""
    settings = load_settings()
    app = create_app(
        create_engine(require_database(settings)), connect(require_redis(settings)), Fernet(cipher_key.encode())
    )
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", ws="none", access_log=False, log_config=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
