"""Accounts by the million, made by the database itself: every row as a first refresh leaves it, but that nothing opens its secrets."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.domain.ids import new_id

SOURCES = 40
_AT_ONCE = 250_000
_WITHIN_S = 3_600.0
_SOURCES = text("""
INSERT INTO sources (id, environment, provider, name, auth_type, client_id, key_id, wrapped_key, scopes, options)
SELECT id, 'default', 'generic-oauth2', 'bench', 'oauth2', 'client', 'bench', '', '{}',
       '{"token_url": "https://provider.invalid/token"}'
  FROM unnest(CAST(:ids AS uuid[])) AS wanted(id)
""")
# Nobody sees an account before what belongs to it is there, so foreign keys need not be looked up row by row.
_UNCHECKED = text("SET LOCAL session_replication_role = replica")
# One statement for all tables, so that what belongs together has the same ids: they are those of an import, rising in time.
_ACCOUNTS = text("""
WITH made AS (
    INSERT INTO accounts (id, source_id, environment, provider, auth_type, external_id, state, custody)
    SELECT uuidv7(), (CAST(:sources AS uuid[]))[1 + number % :kinds], 'default', 'generic-oauth2', 'oauth2',
           'user-' || number, 'active', 'held'
      FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS series(number)
    RETURNING id, source_id
), scheduled AS MATERIALIZED (
    SELECT id, source_id, statement_timestamp() + interval '1 day' + random() * make_interval(secs => :within_s)
                          - CASE WHEN random() < :due THEN interval '1 day' + make_interval(secs => :within_s)
                                 ELSE interval '0' END AS at
      FROM made
), leased AS (
    INSERT INTO leases (account_id, source_id, fence, sent_at, presented_generation, obtained_at, next_refresh_at, due_at,
                        event_sequence)
    SELECT id, source_id, 1, at - interval '55 minutes', 1, at - interval '55 minutes', at, at, 3 FROM scheduled
)
INSERT INTO credentials (account_id, epoch, generation, installed_fence, key_id, wrapped_key, access_ciphertext,
                         refresh_ciphertext, token_type, scopes, obtained_at, expires_at)
SELECT id, 1, 2, 1, 'bench', CAST(repeat('k', 60) AS bytea), CAST(repeat('a', 240) AS bytea),
       CAST(repeat('r', 120) AS bytea), 'Bearer', '{}', at - interval '55 minutes', at + interval '5 minutes'
  FROM scheduled
""")
# By its indexes and in their order: a scan of the whole table would pass through a few buffers that it gives up again.
_TOUCHED = (
    "SET LOCAL enable_seqscan = off",
    "SET LOCAL enable_bitmapscan = off",
    "SET LOCAL max_parallel_workers_per_gather = 0",
    "SELECT count(phase) FROM leases WHERE account_id >= '00000000-0000-0000-0000-000000000000'",
    "SELECT count(*) FROM leases WHERE due_at >= '-infinity'",
)
_COUNT_DUE = text("SELECT count(*) FROM leases WHERE due_at <= statement_timestamp()")
_TABLES = ("sources", "accounts", "credentials", "leases")


@dataclass(frozen=True, slots=True)
class Fleet:
    """Sources, and how many accounts there are so far, spread over them."""

    sources: tuple[UUID, ...]
    accounts: int = 0


async def found(engine: AsyncEngine) -> Fleet:
    """A fleet of no account yet."""
    sources = tuple(new_id() for _ in range(SOURCES))
    async with engine.begin() as connection:
        await connection.execute(_SOURCES, {"ids": list(sources)})
    return Fleet(sources)


async def grow(engine: AsyncEngine, fleet: Fleet, *, to: int, due: int, advance: Advance) -> Fleet:
    """Add accounts up to so many; about so many of the new ones fell due within the last hour, the others do so tomorrow."""
    missing = to - fleet.accounts
    for first in range(fleet.accounts, to, _AT_ONCE):
        last = min(first + _AT_ONCE, to) - 1
        parameters = {
            "sources": list(fleet.sources),
            "kinds": len(fleet.sources),
            "first": first,
            "last": last,
            "within_s": _WITHIN_S,
            "due": min(1.0, due / missing),
        }
        async with engine.begin() as connection:
            await connection.execute(_UNCHECKED)
            await connection.execute(_ACCOUNTS, parameters)
        advance(f"making {to:,} accounts", last + 1 - fleet.accounts, missing)
    await tidy(engine)
    return Fleet(fleet.sources, max(to, fleet.accounts))


async def tidy(engine: AsyncEngine) -> None:
    """What autovacuum would have done by and by, and a checkpoint. The schedule comes last: its pages are in memory, as in use."""
    async with engine.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in _TABLES:
            await outside.exec_driver_sql(f"VACUUM (ANALYZE) {table}")
        await outside.exec_driver_sql("CHECKPOINT")


async def touch(engine: AsyncEngine) -> None:
    """Bring the schedule into PostgreSQL's memory: where it has been at work for as long as tokens live, each row was touched."""
    async with engine.begin() as connection:
        for statement in _TOUCHED:
            await connection.exec_driver_sql(statement)


async def count_due(connection: AsyncConnection) -> int:
    """How many rows are due."""
    counted: int = (await connection.execute(_COUNT_DUE)).scalar_one()
    return counted
