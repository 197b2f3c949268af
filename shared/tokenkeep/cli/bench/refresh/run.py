"""What `tokenkeep bench refresh` measures: how many accounts a second one worker process refreshes.

From the first that is settled to the last, of us and of the reference: how long the first takes from its due time is no rate.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from tokenkeep.cli.bench.accounts import add_accounts, add_source
from tokenkeep.cli.bench.installation import temporary_installation
from tokenkeep.cli.bench.refresh.client_limit import httpx_posts_per_s, posts_per_s
from tokenkeep.cli.bench.refresh.due_accounts import leftovers
from tokenkeep.cli.bench.refresh.naive import NaiveStock
from tokenkeep.cli.bench.refresh.processes import open_endpoint, python_process
from tokenkeep.cli.bench.refresh.rounds import MESSAGE, PATIENCE_S, Stage, cpu_s, memory_in_flight, refreshed_per_s
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.domain.ids import SourceId
from tokenkeep.settings import require_database, require_redis

_HTTPX_QUICK, _HTTPX_BUSY = 8, 100
"""How many requests of httpx are in flight. More make it slower: its pool looks through all connections at each request."""
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Case:
    """One way to refresh: how long the endpoint takes, whether it rotates, and how many may be in flight."""

    latency_ms: int
    in_flight: int
    rotating: bool = True

    @property
    def path(self) -> str:
        """Where the endpoint behaves so."""
        return "rotating" if self.rotating else "steady"

    @property
    def step(self) -> str:
        """What the progress says."""
        return f"{self.latency_ms} ms, {self.path}"


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """Accounts a second, of us and of the reference, and POSTs a second of our client alone, and of httpx alone.

    `cpu_us` is what our worker process spent on an account, in microseconds.
    """

    case: Case
    rps: float
    naive_rps: float
    client_rps: float
    httpx_rps: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class RefreshFigures:
    """All cases, and what one more refresh in flight costs in a worker's memory.

    `reused` is how many refresh tokens were presented twice, `unsettled` how many accounts were not whole at the end.
    """

    cases: Sequence[CaseFigures]
    rss_bytes_per_in_flight: float
    rss_mb: float
    most_in_flight: int
    reused: int
    unsettled: int


@dataclass(frozen=True, slots=True)
class _Stock:
    """The accounts of a measurement: ours by whether their endpoint rotates, and the reference's."""

    sources: Mapping[bool, SourceId]
    accounts: int
    naive: NaiveStock
    naive_accounts: int


async def measure_refresh(
    cases: Sequence[Case], *, accounts: int, naive_accounts: int, many: int, advance: Advance
) -> RefreshFigures:
    """Measure on an installation of its own, every case with so many accounts, the reference with `naive_accounts`.

    `many` accounts are held in flight at once to see what one takes of memory.

    Raises:
        TimeoutError: Accounts have not been refreshed within five minutes.
    """
    async with temporary_installation() as installation, open_endpoint() as endpoint:
        stage = Stage(installation, endpoint, advance)
        sources = {True: await _stock(stage, max(accounts, many), rotating=True)}
        if not all(case.rotating for case in cases):
            sources[False] = await _stock(stage, accounts, rotating=False)
        naive = await asyncio.to_thread(_naive_stock, stage, naive_accounts)
        stock = _Stock(sources, accounts, naive, naive_accounts)
        figures = [await _case(stage, case, stock) for case in cases]
        rss = await memory_in_flight(stage, sources[True], many)
        seen = await endpoint.control()
        unsettled = sum([await leftovers(installation, source_id) for source_id in sources.values()])
        naive.close()
    return RefreshFigures(figures, *rss, reused=int(seen["reused"]), unsettled=unsettled)


async def _stock(stage: Stage, accounts: int, *, rotating: bool) -> SourceId:
    path = "rotating" if rotating else "steady"
    # Of the strictest kind, where a second presentation is fatal, or of the mildest.
    kind = {"refresh_rotates": "yes", "reuse_detection": "revokes"} if rotating else {"refresh_rotates": "no"}
    source_id = await add_source(stage.installation, f"{stage.endpoint.url}/{path}", **kind)
    await add_accounts(
        stage.installation,
        source_id,
        accounts,
        mark=path[0],
        made=lambda done: stage.advance(f"accounts, {path}", done, accounts),
    )
    return source_id


async def _case(stage: Stage, case: Case, stock: _Stock) -> CaseFigures:
    await stage.endpoint.control(delay_ms=case.latency_ms)
    # Twice as many are in hand as are to be on the wire: the others are being leased or settled.
    threads = max(1, 2 * case.in_flight // MESSAGE)
    async with (
        stage.installation.process("worker", worker_threads=threads) as worker,
        stage.installation.process("scheduler"),
    ):
        used = cpu_s(worker)
        rps = await refreshed_per_s(stage, stock.sources[case.rotating], stock.accounts, case.step)
        cpu_us = (cpu_s(worker) - used) / stock.accounts * 1e6
    steady = f"{stage.endpoint.url}/steady"
    client_rps = await posts_per_s(steady, requests=stock.accounts, in_flight=case.in_flight)
    in_flight = _HTTPX_BUSY if case.latency_ms else _HTTPX_QUICK
    httpx_rps = await httpx_posts_per_s(steady, requests=stock.naive_accounts, in_flight=in_flight)
    return CaseFigures(case, rps, await _naive_per_s(stage, case, stock), client_rps, httpx_rps, cpu_us)


def _naive_stock(stage: Stage, count: int) -> NaiveStock:
    settings = stage.installation.foundation.settings
    naive = NaiveStock(require_database(settings).reveal(), require_redis(settings).reveal())
    naive.make(count)
    return naive


async def _naive_per_s(stage: Stage, case: Case, stock: _Stock) -> float:
    settings, count = stage.installation.foundation.settings, stock.naive_accounts
    config = {
        "database_url": require_database(settings).reveal(),
        "redis_url": require_redis(settings).reveal(),
        "token_url": f"{stage.endpoint.url}/{case.path}",
        "key": stock.naive.key,
    }
    async with python_process("tokenkeep.cli.bench.refresh.naive", json.dumps(config)):
        since = await asyncio.to_thread(stock.naive.enqueue, count)
        given_up = monotonic() + PATIENCE_S
        done, seconds = 0, 0.0
        while done < count:
            if monotonic() > given_up:
                raise TimeoutError
            await asyncio.sleep(_LOOK_S)
            done, seconds = await asyncio.to_thread(stock.naive.refreshed, since)
            stage.advance(f"{case.step}: the reference", done, count)
    return count / seconds
