"""Brings a database to the present schema."""

import asyncio

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import tokenkeep_migrations
from tokenkeep.adapters.postgres.engine import asyncpg_url
from tokenkeep.domain.errors import SettingsError
from tokenkeep.domain.secret import Secret

_MIGRATION_LOCK = 7_306_096_118
"""Key of the advisory lock under which migrations run, so that two starting processes do not race."""


def alembic_config() -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(next(iter(tokenkeep_migrations.__path__))))
    return config


def migrate(database_url: Secret) -> str:
    """Apply every revision that is missing; returns the revision that the database is at now.

    Several processes may call it at once: one works, the others wait for it.

    Raises:
        SettingsError: The database can't be had under this address.
    """
    return asyncio.run(_migrate(database_url))


def head_revision() -> str:
    """The revision that this code expects."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None  # noqa: S101 - the package always ships at least one revision
    return head


async def _migrate(database_url: Secret) -> str:
    engine = create_async_engine(asyncpg_url(database_url), poolclass=NullPool, hide_parameters=True)
    try:
        await _reach(engine)
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
        async with engine.connect() as connection:
            return await connection.run_sync(_current)
    finally:
        await engine.dispose()


async def _reach(engine: AsyncEngine) -> None:
    """Connect once: what is wrong with an address, or with who may come in, is told apart from what is wrong with a migration."""
    try:
        async with engine.connect():
            pass
    except (DBAPIError, OSError) as error:
        why = error.orig if isinstance(error, DBAPIError) else error
        said = str(why).splitlines() or [type(why).__name__]
        msg = f"TOKENKEEP_DATABASE_URL: the database can't be had: {said[0]}"
        raise SettingsError(msg) from None


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _current(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or "none"
