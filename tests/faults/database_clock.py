"""A database whose clock can be set: its sessions find our functions of time before PostgreSQL's own.

The volatility of each is kept: a stable `statement_timestamp()` is what lets an index be used.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_FUNCTIONS = {"clock_timestamp": "VOLATILE", "statement_timestamp": "STABLE", "now": "STABLE"}
_FUNCTION = """
CREATE FUNCTION skewed.{name}() RETURNS timestamptz LANGUAGE sql {volatility} AS
'SELECT pg_catalog.{name}() + (SELECT wrong_by FROM skewed.clock)'
"""


async def make_settable(connection: AsyncConnection, database: str) -> None:
    """Let every later session of this database go by a clock of its own."""
    await connection.execute(text("CREATE SCHEMA skewed"))
    await connection.execute(text("CREATE TABLE skewed.clock (wrong_by interval NOT NULL)"))
    await connection.execute(text("INSERT INTO skewed.clock VALUES (interval '0')"))
    for name, volatility in _FUNCTIONS.items():
        await connection.execute(text(_FUNCTION.format(name=name, volatility=volatility)))
    await connection.execute(text(f'ALTER DATABASE "{database}" SET search_path = skewed, pg_catalog, public'))


async def step(connection: AsyncConnection, seconds: float) -> None:
    """The clock jumps."""
    await connection.execute(
        text("UPDATE skewed.clock SET wrong_by = make_interval(secs => :seconds)"), {"seconds": seconds}
    )
