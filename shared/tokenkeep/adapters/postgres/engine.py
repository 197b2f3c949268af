"""The engine, its sessions, and what every connection is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

_CONNECTION_SETTINGS = {
    "timezone": "UTC",
    # A stopped process must not keep an account's row locked (found by the storm; custody protocol, section 9).
    "idle_in_transaction_session_timeout": "5s",
    "lock_timeout": "2s",
    "synchronous_commit": "on",
    "jit": "off",
}


def asyncpg_url(database_url: Secret) -> URL:
    """The address in the form that SQLAlchemy and asyncpg want; `postgres://` and `postgresql://` are both taken."""
    try:
        url = make_url(database_url.reveal())
    except ArgumentError:
        msg = "TOKENKEEP_DATABASE_URL: not a database address; expected postgresql://user:password@host/name"
        raise SettingsError(msg) from None
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        msg = f"TOKENKEEP_DATABASE_URL: {url.drivername} is not PostgreSQL"
        raise SettingsError(msg)
    return url.set(drivername="postgresql+asyncpg")


def create_engine(
    database_url: Secret, *, pool_size: int = 10, process: str = "tokenkeep", command_timeout_s: float = 10.0
) -> AsyncEngine:
    """An engine that connects on first use. `process` shows in `pg_stat_activity`.

    `command_timeout_s` stays well below any quarantine: a worker that holds an answer must notice a dead connection and
    settle over another one before somebody concludes that it has died.
    """
    return create_async_engine(
        asyncpg_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=False,
        hide_parameters=True,
        connect_args={
            "timeout": 10,
            "command_timeout": command_timeout_s,
            "server_settings": {**_CONNECTION_SETTINGS, "application_name": process},
        },
    )


class Database:
    """Hands out transactions. A connection that PostgreSQL has dropped is noticed and replaced by the pool."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back if the block raises."""
        try:
            async with self._engine.begin() as connection:
                yield connection
        except TimeoutError:
            # A server that went away without a word: its other connections are as dead, and each would cost as long.
            await self._engine.dispose()
            raise

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Statements that each stand alone, without a transaction around them."""
        async with self._engine.connect() as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    async def ping(self) -> None:
        """Raises unless the database answers."""
        async with self.reading() as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
