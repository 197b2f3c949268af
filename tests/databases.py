"""Databases of tests' own on the one PostgreSQL server of a run."""

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tokenkeep.adapters.postgres.address import asyncpg_url
from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.domain.secret import Secret

UNHURRIED = text(
    "SELECT set_config('lock_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)"
)
"""For a transaction that waits or is waited for: while the machine is slow PostgreSQL would end it."""

AGE_WHAT_CAME_BEFORE = """
UPDATE events SET time = time - interval '31 days'
 WHERE time > now() - interval '30 days'
   AND position < (SELECT max(position) FROM events WHERE time < now() - interval '30 days')
"""
"""For a test that made events of its own old: those of tests before it are older, as positions say."""


def migrated_database(postgres_url: str, name: str) -> str:
    """The URL of a new database at the present schema."""

    async def create() -> None:
        engine = create_async_engine(asyncpg_url(Secret(postgres_url)), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        await engine.dispose()

    asyncio.run(create())
    url = asyncpg_url(Secret(postgres_url)).set(database=name, drivername="postgresql")
    made = url.render_as_string(hide_password=False)
    migrate(Secret(made))
    return made


async def end_connections(url: str) -> None:
    """End every connection to the database but the one by which this is done: all that a restart does to them."""
    engine = create_async_engine(asyncpg_url(Secret(url)), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(
            text("""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
""")
        )
    await engine.dispose()


def forget_grants(url: str) -> None:
    """Forget which refresh tokens accounts have come with, so that others may come with the same ones."""

    async def forget() -> None:
        engine = create_async_engine(asyncpg_url(Secret(url)))
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM imported_grants"))
        await engine.dispose()

    asyncio.run(forget())
