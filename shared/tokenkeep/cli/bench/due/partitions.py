"""What `tokenkeep bench due --partitions` measures: what hash partitioning by the account's id does to everything on the road."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.adapters.postgres.token_reads import PostgresTokenReads
from tokenkeep.cli.bench.due.churn import refresh
from tokenkeep.cli.bench.due.claims import Claims, LookCosts, Rate
from tokenkeep.cli.bench.due.rows import found, grow, tidy
from tokenkeep.cli.bench.installation import temporary_installation
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.domain.ids import AccountId
from tokenkeep.settings import require_database

_DUE = 120_000
_CLAIMED = 60
_LOOKS = 400
_READERS = 64
_READ = 20_000
_REFRESHED = 20_000
_BATCH = 50
_LIFE = timedelta(hours=1)
_PATIENCE_S = 300.0
_SOME = text("SELECT account_id FROM leases TABLESAMPLE SYSTEM (:percent) LIMIT :count")
# Constraints and indexes go along; foreign keys are taken off before and put back after.
_PARTITION = """
DO $$
DECLARE named text; keyed text; number int; owed record; stored text;
BEGIN
  CREATE TEMPORARY TABLE owed AS
  SELECT conrelid::regclass::text AS owner, conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
   WHERE contype = 'f' AND (confrelid = 'accounts'::regclass
                            OR conrelid IN ('accounts'::regclass, 'leases'::regclass, 'credentials'::regclass));
  FOR owed IN SELECT * FROM owed LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', owed.owner, owed.name); END LOOP;
  FOR named, keyed IN VALUES ('accounts', 'id'), ('leases', 'account_id'), ('credentials', 'account_id') LOOP
    SELECT coalesce('WITH (' || array_to_string(reloptions, ', ') || ')', '') INTO stored
      FROM pg_class WHERE oid = named::regclass;
    EXECUTE format('ALTER TABLE %I RENAME TO %I', named, named || '_whole');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY HASH (%I)', named, named || '_whole', keyed);
    FOR number IN 0 .. {count} - 1 LOOP
      EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS {count}, REMAINDER %s) %s',
                     named || '_' || number, named, number, stored);
    END LOOP;
    EXECUTE format('DROP TABLE %I', named || '_whole');
  END LOOP;
  FOR owed IN SELECT * FROM owed LOOP
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', owed.owner, owed.name, owed.definition);
  END LOOP;
END $$
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the tables do in one layout.

    Attributes:
        claims_per_s: Accounts claimed.
        empty_poll_us: A look that finds nothing, once autovacuum has been there.
        reads_per_s: Reads of the token route, 64 readers at once.
        refreshes_per_s: Leases, write-aheads and settlements in batches of fifty.
        vacuum_s: How long a vacuum of all of `leases` takes after that.
        longest_vacuum_s: How long the longest one of a single table takes: what a vacuum holds up at a time.
    """

    claims_per_s: float
    empty_poll_us: float
    reads_per_s: float
    refreshes_per_s: float
    vacuum_s: float
    longest_vacuum_s: float


async def measure_partitions(*, accounts: int, partitions: int, advance: Advance) -> dict[str, Layout]:
    """The layout that we have, and the one with so many partitions, each on an installation of its own."""
    return {
        "whole": await _measure(accounts, 0, advance),
        "partitioned": await _measure(accounts, partitions, advance),
    }


async def _measure(accounts: int, partitions: int, advance: Advance) -> Layout:
    async with temporary_installation(large=True) as installation:
        database, settings = installation.foundation.database, installation.foundation.settings
        engine = create_engine(
            require_database(settings), pool_size=2, process="tokenkeep bench", command_timeout_s=_PATIENCE_S
        )
        try:
            if partitions:
                async with engine.begin() as connection:
                    await connection.exec_driver_sql(_PARTITION.format(count=partitions))
            await grow(engine, await found(engine), to=accounts, due=_DUE, advance=advance)
            claims, rate = Claims(database, settings), Rate()
            await claims.claim(rate, _CLAIMED, set())
            await claims.claim_the_rest()
            await tidy(engine)
            costs = LookCosts()
            await claims.look(costs, _LOOKS)
            reads = await _reads(PostgresTokenReads(database), await _some(engine, _READ, accounts))
            refreshes = await _refreshes(engine, await _some(engine, _REFRESHED, accounts))
            vacuums = [await _vacuum(engine, table) for table in await _leases(engine)]
            return Layout(rate.per_s, costs.look_us, reads, refreshes, sum(vacuums), max(vacuums))
        finally:
            await engine.dispose()


async def _some(engine: AsyncEngine, count: int, accounts: int) -> Sequence[UUID]:
    """Accounts from everywhere, in no order."""
    async with engine.connect() as connection:
        percent = min(100.0, 300.0 * count / accounts)
        found_ids = (await connection.execute(_SOME, {"percent": percent, "count": 3 * count})).scalars().all()
    return sorted(found_ids, key=lambda one: one.int % 1_000_003)[:count]


async def _reads(read: PostgresTokenReads, account_ids: Sequence[UUID]) -> float:
    async def some(first: int) -> None:
        for account_id in account_ids[first::_READERS]:
            await read(AccountId(account_id))

    began = time.perf_counter()
    await asyncio.gather(*(some(first) for first in range(_READERS)))
    return len(account_ids) / (time.perf_counter() - began)


async def _refreshes(engine: AsyncEngine, account_ids: Sequence[UUID]) -> float:
    began = time.perf_counter()
    for start in range(0, len(account_ids), _BATCH):
        await refresh(engine, account_ids[start : start + _BATCH], life=_LIFE)
    return len(account_ids) / (time.perf_counter() - began)


async def _leases(engine: AsyncEngine) -> Sequence[str]:
    """The tables that hold `leases`: itself, or its partitions."""
    async with engine.connect() as connection:
        rows = await connection.exec_driver_sql(
            "SELECT relid::regclass::text FROM pg_partition_tree('leases') WHERE isleaf UNION SELECT 'leases' "
            "WHERE NOT EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = 'leases'::regclass)"
        )
        return rows.scalars().all()


async def _vacuum(engine: AsyncEngine, table: str) -> float:
    async with engine.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        began = time.perf_counter()
        await outside.exec_driver_sql(f"VACUUM {table}")
        return time.perf_counter() - began
