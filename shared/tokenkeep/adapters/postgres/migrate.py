"""Brings a database to the present schema, beside processes that work on it."""

import asyncio
import time
from contextlib import aclosing
from typing import Final

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import tokenkeep_migrations
from tokenkeep.adapters.postgres.address import asyncpg_url, read_address
from tokenkeep.domain.errors import MigrationFailed, SettingsError
from tokenkeep.domain.secret import Secret

MIGRATION_LOCK: Final = 7_306_096_118
"""Key of the advisory lock under which migrations run, so that two starting processes do not race."""

_LOCK_TIMEOUT: Final = "2s"
"""Whoever reads a table waits behind an ALTER that waits for it: no longer than this, then the ALTER steps back."""
_PATIENCE_S: Final = 300.0
"""For how long a revision is tried again whose tables are locked by others, and for how long another migration is waited for."""
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.5

_LOCKED: Final = frozenset({"55P03", "40P01"})  # lock_not_available, deadlock_detected

_HOLDERS = text("""
SELECT DISTINCT a.pid, a.application_name, CAST(extract(epoch FROM clock_timestamp() - a.xact_start) AS int) AS age_s
  FROM pg_stat_activity AS a JOIN pg_locks AS l ON l.pid = a.pid
 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
   AND l.relation IS NOT NULL AND l.granted
 ORDER BY age_s DESC LIMIT 1
""")

_log = structlog.get_logger("tokenkeep.migrate")


def alembic_config() -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(next(iter(tokenkeep_migrations.__path__))))
    return config


def migrate(database_url: Secret, *, patience_s: float = _PATIENCE_S, to: str = "head") -> str:
    """Apply every revision that is missing; returns the revision that the database is at now.

    Several processes may call it at once: one works, the others wait for it. Each revision is a transaction of its own, and
    one that does not get a table's lock within two seconds steps back and comes again, so that nobody else waits for longer.

    Args:
        database_url: Whose role owns the tables.
        patience_s: For how long, in seconds, it comes again, and waits for another migration.
        to: The revision to go to, if not the newest.

    Raises:
        SettingsError: The database can't be had under this address.
        MigrationFailed: Another migration did not end, or a table stayed locked. Revisions before that one are applied.
    """
    return asyncio.run(_migrate(database_url, patience_s, to))


async def _migrate(database_url: Secret, patience_s: float, to: str) -> str:
    address = read_address(database_url)
    engine = create_async_engine(
        asyncpg_url(database_url),
        async_creator=lambda: address.connect(
            process="tokenkeep migrate", server_settings={"lock_timeout": _LOCK_TIMEOUT, "timezone": "UTC"}
        ),
        poolclass=NullPool,
        hide_parameters=True,
    )
    try:
        async with aclosing(await _connected(engine)) as connection:
            await _lock(connection, patience_s)
            try:
                await _upgrade(connection, patience_s, to)
                return await connection.run_sync(_current)
            finally:
                await connection.rollback()
                # An ended session would give it up as well; a connection that a pooler keeps open would not.
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
                await connection.commit()
    finally:
        await engine.dispose()


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    """What is wrong with an address, or with who may come in, is told apart from what is wrong with a migration."""
    try:
        return await engine.connect()
    except (DBAPIError, OSError) as error:
        why = error.orig if isinstance(error, DBAPIError) else error
        said = str(why).splitlines() or [type(why).__name__]
        msg = f"TOKENKEEP_DATABASE_URL: the database can't be had: {said[0]}"
        raise SettingsError(msg) from None


async def _lock(connection: AsyncConnection, patience_s: float) -> None:
    """Be the only one who migrates. Asked for time and again: who waits in the server has a snapshot, and holds up indexes that are built meanwhile."""
    until = time.monotonic() + patience_s
    while True:
        held = await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        await connection.commit()
        if held.scalar_one():
            return
        if time.monotonic() >= until:
            msg = f"the database can't be migrated: another migration has been under way for {patience_s:g} s"
            raise MigrationFailed(msg)
        await asyncio.sleep(_LOOK_EVERY_S)


async def _upgrade(connection: AsyncConnection, patience_s: float, to: str) -> None:
    until, wait_s = time.monotonic() + patience_s, _FIRST_WAIT_S
    while True:
        try:
            await connection.run_sync(_apply, to)
        except DBAPIError as error:
            await connection.rollback()
            if getattr(error.orig, "sqlstate", None) not in _LOCKED:
                raise
            reached, holder = await connection.run_sync(_current), await _holder(connection)
            if time.monotonic() + wait_s >= until:
                msg = (
                    f"the database can't be migrated: a table stayed locked for {patience_s:g} s{holder}; revisions up to "
                    f"{reached} are applied. End what holds it, and run `tokenkeep migrate` again"
                )
                raise MigrationFailed(msg) from None
            _log.warning("migration_waits_for_a_lock", reached=reached, again_in_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
        else:
            return


async def _holder(connection: AsyncConnection) -> str:
    """Who has been holding locks for longest, for the message."""
    row = (await connection.execute(_HOLDERS)).first()
    await connection.commit()
    if row is None:
        return ""
    return (
        f" (the oldest transaction: process {row.pid}, {row.application_name or 'without a name'}, for {row.age_s} s)"
    )


def _apply(connection: Connection, to: str) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _current(connection: Connection) -> str:
    revision = MigrationContext.configure(connection).get_current_revision() or "none"
    connection.commit()
    return revision
