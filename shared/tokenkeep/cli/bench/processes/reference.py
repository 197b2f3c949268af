"""The reference beside many processes: so many workers of the usual kind, at an endpoint that answers at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from tokenkeep.cli.bench.processes.meter import Meter, Spent
from tokenkeep.cli.bench.refresh.naive import NaiveStock
from tokenkeep.cli.bench.refresh.processes import python_process
from tokenkeep.cli.bench.refresh.rounds import PATIENCE_S, Stage
from tokenkeep.settings import require_database, require_redis

_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class ReferenceFigures:
    """Refreshes a second by so many processes, and what was spent meanwhile."""

    processes: int
    accounts: int
    rps: float
    spent: Spent


async def measure_reference(
    stage: Stage, meter: Meter, counts: Sequence[int], *, accounts: int
) -> list[ReferenceFigures]:
    """Let so many accounts be refreshed by each of these numbers of processes.

    Raises:
        TimeoutError: They have not been refreshed within five minutes.
    """
    settings = stage.installation.foundation.settings
    config = {
        "database_url": require_database(settings).reveal(),
        "redis_url": require_redis(settings).reveal(),
        "token_url": f"{stage.endpoint.url}/steady",
    }
    await stage.endpoint.control(delay_ms=0)
    stock = NaiveStock(config["database_url"], config["redis_url"])
    await asyncio.to_thread(stock.make, accounts)
    started_by = json.dumps(config | {"key": stock.key})
    figures = []
    for count in counts:
        async with _running(started_by, count) as running:
            figures.append(await _measured(stage, meter, stock, running, accounts))
    stock.close()
    return figures


@asynccontextmanager
async def _running(started_by: str, count: int) -> AsyncIterator[list[int]]:
    """So many of the reference's workers, ready: their process ids."""
    async with AsyncExitStack() as stack:
        pids = []
        for _ in range(count):
            worker = python_process("tokenkeep.cli.bench.refresh.naive", started_by)
            pids.append(int((await stack.enter_async_context(worker)).removeprefix("ready ")))
        yield pids


async def _measured(
    stage: Stage, meter: Meter, stock: NaiveStock, running: Sequence[int], accounts: int
) -> ReferenceFigures:
    spent = await meter.spent({"worker": running}, stage.endpoint)
    since = await asyncio.to_thread(stock.enqueue, accounts)
    given_up, done, seconds = monotonic() + PATIENCE_S, 0, 0.0
    while done < accounts:
        if monotonic() > given_up:
            raise TimeoutError
        await asyncio.sleep(_LOOK_S)
        done, seconds = await asyncio.to_thread(stock.refreshed, since)
        stage.advance(f"reference, {len(running)}", done, accounts)
    spent = (await meter.spent({"worker": running}, stage.endpoint)).since(spent)
    return ReferenceFigures(len(running), accounts, accounts / seconds, spent)
