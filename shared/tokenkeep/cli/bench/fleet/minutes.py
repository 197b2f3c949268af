"""A fleet at real rate: its accounts in a real database, our own processes, and forty providers that answer as they please."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.cli.bench.fleet.day import needed_per_s
from tokenkeep.cli.bench.fleet.machine import CpuUse, CpuWatch
from tokenkeep.cli.bench.fleet.readings import Fates, Readings, after, database_now
from tokenkeep.cli.bench.fleet.stock import (
    FleetSource,
    add_fleet,
    add_sources,
    go_on_until,
    token_urls,
    write_provider_files,
)
from tokenkeep.cli.bench.installation import Installation, temporary_installation
from tokenkeep.cli.bench.refresh.processes import python_process
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.settings import require_database

_HOST: Final = "127.0.0.1"
_LOADING_S: Final = 600.0
_READY_S: Final = 8.0
"""How long before the first one is due processes are to be started."""
_TRIES: Final = 6
_SETTLING_S: Final = 20.0
"""How much longer one looks for those who came due at the end: as long as an answer may take."""
_REVOKED: Final = 50
_SELDOM: Final = 20
"""About so many grants of those that come due are revoked, but no more than one in so many."""


@dataclass(frozen=True, slots=True)
class MinutesFigures:
    """What was seen. Rates are a second's.

    Attributes:
        needed_per_s: What keeps so many accounts fresh.
        presented_per_second: Requests that the endpoints had, second by second.
        due_per_second: Accounts that came due, second by second.
        fates: What became of those who came due.
        expired_now: Active accounts of the whole fleet with a token that had run out at the end.
        reused: Refresh tokens that were presented though they were spent.
        disabled_wrongly: Accounts that are disabled though nobody had revoked their grant.
        revoked_grants: Accounts whose revoked grant was presented.
        held: Accounts that were in somebody's hands at the end.
        cpu: What was used while they came due.
        answered: Answers of the endpoints by status.
        outcomes: Attempts by how they ended.
    """

    accounts: int
    seconds: int
    workers: int
    needed_per_s: float
    presented_per_second: Sequence[int]
    due_per_second: Sequence[int]
    fates: Fates
    expired_now: int
    reused: int
    disabled_wrongly: int
    revoked_grants: int
    held: int
    cpu: CpuUse
    answered: dict[str, int]
    outcomes: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Stage:
    installation: Installation
    loading: AsyncEngine
    sources: list[FleetSource]
    url: str
    advance: Advance

    async def control(self, **values: int) -> dict[str, Any]:
        """Have the endpoint begin to count, or tell what it has seen."""
        async with httpx.AsyncClient() as client:
            seen: dict[str, Any] = (await client.get(f"{self.url}/control", params=values)).json()
            return seen


async def measure_minutes(*, accounts: int, seconds: int, workers: int, advance: Advance) -> MinutesFigures:
    """Keep so many accounts fresh for so long, on an installation of its own."""
    async with _staged(advance) as stage:
        now = await database_now(stage.loading)
        await add_fleet(stage.installation, stage.sources, accounts, now=now, advance=advance)
        start = await _start(stage, accounts)
        readings = Readings(stage.loading, stage.sources, start, after(start, seconds))
        await readings.note()
        revoked_every = max(_SELDOM, await readings.due() // _REVOKED)
        return await _run(stage, readings, accounts, workers, revoked_every)


@asynccontextmanager
async def _staged(advance: Advance) -> AsyncIterator[_Stage]:
    with tempfile.TemporaryDirectory(prefix="tk-fleet-") as directory:
        async with python_process("tokenkeep.cli.bench.fleet.endpoint") as ports:
            url, closing_url = (f"http://{_HOST}:{port}" for port in ports.split())
            urls = token_urls(url, closing_url)
            await asyncio.to_thread(write_provider_files, Path(directory), urls)
            async with temporary_installation(large=True, providers_dir=Path(directory)) as installation:
                database_url = require_database(installation.foundation.settings)
                loading = create_engine(database_url, process="tokenkeep bench", command_timeout_s=_LOADING_S)
                try:
                    sources = await add_sources(installation, urls)
                    yield _Stage(installation, loading, sources, url, advance)
                finally:
                    await loading.dispose()


async def _start(stage: _Stage, accounts: int) -> datetime:
    """When the first one is due: soon, but not before everything is ready. To tidy up takes its time.

    Raises:
        TimeoutError: It took longer than was reckoned with, each time that twice as much was.
    """
    ahead_s = 2 * _READY_S + accounts / 100_000
    for _ in range(_TRIES):
        start = after(await database_now(stage.loading), ahead_s)
        await go_on_until(stage.loading, start)
        left_s = (start - await database_now(stage.loading)).total_seconds()
        if left_s > _READY_S:
            return start
        ahead_s = 2 * (ahead_s - left_s) + _READY_S
    msg = f"the tables could not be tidied up within {ahead_s:.0f} s"
    raise TimeoutError(msg)


async def _run(stage: _Stage, readings: Readings, accounts: int, workers: int, revoked_every: int) -> MinutesFigures:
    seconds = round((readings.until - readings.start).total_seconds())
    async with AsyncExitStack() as running:
        processes = [await running.enter_async_context(stage.installation.process("scheduler"))]
        processes += [await running.enter_async_context(stage.installation.process("worker")) for _ in range(workers)]
        await asyncio.sleep((readings.start - await database_now(stage.loading)).total_seconds())
        await stage.control(seconds=seconds, revoked_every=revoked_every)
        watch = CpuWatch((child.name, child.pid) for child in processes)
        await _pass(stage, seconds, "at real rate")
        cpu = watch.use()
        await _pass(stage, int(_SETTLING_S), "the last ones")
        fates = await readings.fates()
    seen = await stage.control()
    revoked = set(seen["revoked"])
    return MinutesFigures(
        accounts=accounts,
        seconds=seconds,
        workers=workers,
        needed_per_s=needed_per_s(accounts),
        presented_per_second=seen["per_second"],
        due_per_second=await readings.due_per_second(),
        fates=fates,
        expired_now=await readings.expired_now(),
        reused=seen["reused"],
        disabled_wrongly=len(await readings.disabled() - revoked),
        revoked_grants=len(revoked),
        held=await readings.held(),
        cpu=cpu,
        answered=seen["answered"],
        outcomes=await readings.outcomes(),
    )


async def _pass(stage: _Stage, seconds: int, step: str) -> None:
    for second in range(seconds):
        await asyncio.sleep(1)  # the time is what is measured
        stage.advance(step, second + 1, seconds)
