"""The engine, its sessions, and what every connection is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import Pool
from sqlalchemy.util import greenlet_spawn

from tokenkeep.adapters.ending import end
from tokenkeep.adapters.postgres.address import asyncpg_url, read_address
from tokenkeep.domain.secret import Secret

TraceParent = Callable[[str | None, UUID], str | None]
"""The W3C `traceparent` that an event keeps, by its cause and its subject; None if nobody follows it."""

TRACE_PARENT = "tokenkeep_trace_parent"
"""The execution option under which connections have it."""

CONNECTION_SETTINGS: Mapping[str, str] = {
    "timezone": "UTC",
    # A stopped process must not keep an account's row locked (found by the storm; custody protocol, section 9).
    "idle_in_transaction_session_timeout": "5s",
    "lock_timeout": "2s",
    "synchronous_commit": "on",
    "jit": "off",
}


def create_engine(
    database_url: Secret,
    *,
    pool_size: int = 10,
    process: str = "tokenkeep",
    command_timeout_s: float = 10.0,
    trace_parent: TraceParent | None = None,
) -> AsyncEngine:
    """An engine that connects on first use. `process` shows in `pg_stat_activity`; `trace_parent` is asked for each event that is written.

    `command_timeout_s` stays well below any quarantine: a worker that holds an answer must notice a dead connection and
    settle over another one before somebody concludes that it has died.

    Raises:
        SettingsError: The address can't be understood, or asks for what can't be done.
    """
    address = read_address(database_url)

    def connected() -> Awaitable[Any]:
        return address.connect(process=process, server_settings=CONNECTION_SETTINGS, command_timeout=command_timeout_s)

    return create_async_engine(
        asyncpg_url(database_url),
        async_creator=connected,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=False,
        hide_parameters=True,
        execution_options={} if trace_parent is None else {TRACE_PARENT: trace_parent},
    )


_LOST = (
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)


class Database:
    """Hands out transactions. A connection that PostgreSQL has dropped is noticed and replaced by the pool."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._closing: set[asyncio.Task[None]] = set()
        self._dbapi_error: type[Exception] = engine.dialect.loaded_dbapi.Error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back if the block raises."""
        async with self._noticing_silence(), self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Statements that each stand alone, without a transaction around them."""
        async with self._noticing_silence(), self._engine.connect() as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A transaction whose statements all see the database as it was at the first of them; it writes nothing."""
        async with self._noticing_silence(), self._engine.connect() as connection:
            reading = await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with reading.begin():
                yield reading

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of one reading statement, in the driver's own form (`$1`), on a connection of the pool.

        For what is read at every request: the driver keeps the statement prepared, and SQLAlchemy's own work, which would
        cost more than the query does, is left out. A connection that the server has closed meanwhile is passed over; if one
        is lost amid the statement, it is said once more over another.

        Raises:
            DBAPIError: As from SQLAlchemy, `OperationalError` if the connection is lost.
            OSError: The database can't be had; or, as `TimeoutError`, does not answer.
        """
        async with self._noticing_silence():
            try:
                return await self._fetch(statement, arguments)
            except OperationalError:
                return await self._fetch(statement, arguments)

    @asynccontextmanager
    async def _noticing_silence(self) -> AsyncIterator[None]:
        pool = self._engine.sync_engine.pool
        try:
            yield
        except TimeoutError:
            await self._replace(pool)
            raise

    async def _replace(self, pool: Pool) -> None:
        """A server went away without a word: its other connections are as dead, and each would cost whoever takes it as long.

        They are closed aside, one after the other, for each close waits for an answer, too.
        """
        if self._engine.sync_engine.pool is not pool:
            return  # somebody else's statement had the same end
        await self._engine.dispose(close=False)
        closing = asyncio.get_running_loop().create_task(greenlet_spawn(pool.dispose))
        self._closing.add(closing)
        closing.add_done_callback(self._closed)

    def _closed(self, closing: asyncio.Task[None]) -> None:
        self._closing.discard(closing)
        if not closing.cancelled():
            closing.exception()  # seen; what it closed is gone either way

    async def _fetch(self, statement: str, arguments: Sequence[Any]) -> list[asyncpg.Record]:
        async with self._driver() as driver:
            rows: list[asyncpg.Record] = await driver.fetch(statement, *arguments)
            return rows

    async def append(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Put many rows into a table, all or none (COPY). Raises as `fetch` does; then it may have been done or not."""
        async with self._noticing_silence(), self._driver() as driver:
            await driver.copy_records_to_table(table, columns=columns, records=rows)

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[Any]:
        connection = await self._living_connection()
        try:
            yield connection.driver_connection
        except BaseException as error:  # whatever it was, nobody knows what the connection is still good for
            connection.invalidate()
            if isinstance(error, _LOST):
                raise OperationalError(None, None, error) from None
            if isinstance(error, asyncpg.PostgresError):
                raise DBAPIError(None, None, error) from None
            raise
        connection.close()

    async def _living_connection(self) -> Any:
        """One of the pool's, which replaces each that is given back as dead: so there are at most as many of those as it holds."""
        while True:
            try:
                connection = await self._engine.raw_connection()
            except self._dbapi_error as error:  # the pool does not wrap what a refused connection raises
                raise DBAPIError.instance(None, None, error, self._dbapi_error) from None
            driver: Any = connection.driver_connection
            if not driver.is_closed():
                return connection
            connection.invalidate()

    async def ping(self) -> None:
        """Raises unless the database answers."""
        async with self.reading() as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        """Close every connection."""
        for closing in list(self._closing):
            await end(closing)
        await self._engine.dispose()
