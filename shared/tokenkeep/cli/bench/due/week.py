"""What `tokenkeep bench due --week` measures: whether a week of refreshes leaves the schedule as small and as quick as it was."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.adapters.postgres.schedule import PostgresSchedule
from tokenkeep.cli.bench.due.churn import refresh
from tokenkeep.cli.bench.due.rows import found, grow
from tokenkeep.cli.bench.installation import Installation, temporary_installation
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.settings import require_database

_HOURS_A_DAY = 24
_BATCH = 1_000
_LOOK_S = 0.005
_LIFE = timedelta(seconds=0.5)
"""What stands for the fifty-five minutes in which an account rests; the trust in a hint is as much shorter."""
_TRUST = timedelta(seconds=60) * (_LIFE / timedelta(minutes=55))
_SIZES = text("""
SELECT pg_relation_size('leases') AS leases, pg_relation_size('ix_leases_due_at') AS due_index,
       pg_relation_size('pk_leases') AS key_index, pg_relation_size('credentials') AS credentials,
       pg_stat_get_dead_tuples('leases'::regclass) AS dead, pg_stat_get_tuples_updated('leases'::regclass) AS updated,
       pg_stat_get_tuples_hot_updated('leases'::regclass) AS in_place,
       pg_stat_get_autovacuum_count('leases'::regclass) AS vacuumed, pg_current_wal_insert_lsn() - '0/0' AS wal
""")
_NEXT = text("SELECT due_at FROM leases WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1")
_LOOKS = 100


@dataclass(frozen=True, slots=True)
class DayFigures:
    """How things stand at the end of a day; the first one is the start.

    Attributes:
        leases_bytes: The heap of the table that the schedule is in.
        due_index_bytes: Its index on the due time.
        key_index_bytes: Its index on the account.
        credentials_bytes: The heap of the credentials.
        dead_rows: Old versions of rows in `leases` that wait for a vacuum.
        updated_in_place: Which part of the day's updates of `leases` touched no index (HOT).
        vacuums: How often autovacuum has been at `leases` so far.
        look_us: What it costs to find out who is due next, past everything that claims have left there.
        refreshes_per_s: How fast the day went by.
        wal_bytes: What one of its refreshes wrote to the log, attempts and events aside.
    """

    leases_bytes: int
    due_index_bytes: int
    key_index_bytes: int
    credentials_bytes: int
    dead_rows: int
    updated_in_place: float
    vacuums: int
    look_us: float
    refreshes_per_s: float
    wal_bytes: float


async def measure_week(*, accounts: int, days: int, advance: Advance) -> list[DayFigures]:
    """So many accounts refreshed 24 times a day. A day takes seconds, so autovacuum looks every second instead of every minute."""
    async with temporary_installation(large=True) as installation:
        engine = create_engine(
            require_database(installation.foundation.settings),
            pool_size=2,
            process="tokenkeep bench",
            command_timeout_s=60,
        )
        try:
            async with engine.connect() as connection:
                outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
                await outside.exec_driver_sql("ALTER SYSTEM SET autovacuum_naptime = '1s'")
                await outside.exec_driver_sql("SELECT pg_reload_conf()")
            await grow(engine, await found(engine), to=accounts, due=accounts, advance=advance)
            week = _Week(installation, engine)
            figures = [await week.look(0, 0.0)]
            for day in range(days):
                began = time.perf_counter()
                await week.refresh(accounts * _HOURS_A_DAY, f"day {day + 1}", advance)
                figures.append(await week.look(accounts * _HOURS_A_DAY, time.perf_counter() - began))
        finally:
            await engine.dispose()
    return figures


class _Week:
    """The days of one installation."""

    def __init__(self, installation: Installation, engine: AsyncEngine) -> None:
        self._engine = engine
        self._schedule = PostgresSchedule(installation.foundation.database)
        self._before = (0, 0, 0)

    async def refresh(self, count: int, day: str, advance: Advance) -> None:
        """So many refreshes, each as soon as it is due."""
        done = 0
        while done < count:
            claimed = await self._schedule.claim_due(limit=min(_BATCH, count - done), trust=_TRUST, paused=_TRUST)
            ids = [account.account_id for account in claimed.accounts]
            if not ids:
                await asyncio.sleep(_LOOK_S)
                continue
            await refresh(self._engine, ids, life=_LIFE)
            done += len(ids)
            advance(day, done, count)

    async def look(self, refreshed: int, seconds: float) -> DayFigures:
        """How things stand now, after so many refreshes in so many seconds."""
        async with self._engine.connect() as connection:
            outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
            row = (await outside.execute(_SIZES)).one()
            look_us = await _look_us(outside)
        updated, in_place, wal = (
            now - then for now, then in zip((row.updated, row.in_place, int(row.wal)), self._before, strict=True)
        )
        self._before = (row.updated, row.in_place, int(row.wal))
        return DayFigures(
            leases_bytes=row.leases,
            due_index_bytes=row.due_index,
            key_index_bytes=row.key_index,
            credentials_bytes=row.credentials,
            dead_rows=row.dead,
            updated_in_place=in_place / updated if updated else 0.0,
            vacuums=row.vacuumed,
            look_us=look_us,
            refreshes_per_s=refreshed / seconds if seconds else 0.0,
            wal_bytes=wal / refreshed if refreshed else 0.0,
        )


async def _look_us(connection: AsyncConnection) -> float:
    costs = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await connection.execute(_NEXT)
        costs.append((time.perf_counter() - began) * 1e6)
    return median(costs)
