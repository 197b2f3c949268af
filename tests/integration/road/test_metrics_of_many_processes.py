"""However many processes there are, what Prometheus adds up is what is so."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from household import a_free_port
from prometheus import FETCHING_S, Prometheus, need_prometheus, scraping
from road import Road
from road_processes import PROGRAM, environment_of
from token_server import TokenServer

pytestmark = pytest.mark.timeout(120 + FETCHING_S)

RECORDING = Path(__file__).parents[3] / "deploy" / "prometheus" / "recording.rules.yml"
ACCOUNTS = 6


@asynccontextmanager
async def serving_metrics(road: Road, name: str) -> AsyncIterator[str]:
    """A process of the installation; where it serves its metrics."""
    port = a_free_port()
    settings = {"metrics_port": port, "api_port": port, "api_host": "127.0.0.1", "log_format": "json"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM.format(name=name),
        env=environment_of(road, **settings),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = (json.loads(line) async for line in process.stdout)
    ready = await anext(line async for line in said if line["event"] == f"{name}_ready")
    reading = asyncio.create_task(process.stdout.read())
    try:
        yield f"127.0.0.1:{ready.get('metrics_port', port)}"
    finally:
        process.terminate()
        await process.wait()
        await reading


async def comes_to(prometheus: Prometheus, expression: str, expected: float) -> None:
    """Wait until the query gives this one value."""
    found: list[float] = []
    try:
        async with asyncio.timeout(45):
            while found != [expected]:
                found = [value for _, value in await prometheus.query(expression)]
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"{expression} is {found}, not {expected}") from None


async def test_gauges_of_the_fleet_are_the_same_at_every_scheduler_and_counters_are_summed(
    road: Road, server: TokenServer, tmp_path: Path
) -> None:
    programs = need_prometheus()
    source_id = await road.source(server.url)
    for number in range(ACCOUNTS):
        await road.account(source_id, f"g{number}")
    async with AsyncExitStack() as stack:
        names = ("scheduler", "scheduler", "worker", "worker")
        targets = [await stack.enter_async_context(serving_metrics(road, name)) for name in names]
        prometheus = await stack.enter_async_context(scraping(programs, tmp_path, targets, rules=[RECORDING]))
        await comes_to(prometheus, "count(tokenkeep_accounts_due)", 2)
        await comes_to(prometheus, 'sum(tokenkeep_refresh_attempts_total{outcome="ok"})', ACCOUNTS)
        await comes_to(prometheus, 'sum(source:tokenkeep_accounts:max{state="active"})', ACCOUNTS)
        await comes_to(prometheus, 'sum(tokenkeep_accounts{state="active"})', 2 * ACCOUNTS)
        await comes_to(prometheus, "sum(provider:tokenkeep_accounts_expired:max)", 0)
        await comes_to(prometheus, "sum(key:tokenkeep_accounts_sealed:max)", ACCOUNTS)
        await comes_to(prometheus, "count(tokenkeep_keyring_key == 1)", 2)
        await comes_to(prometheus, 'count(tokenkeep_job_done_timestamp_seconds{task="tick"} > time() - 60)', 2)
        assert len(server.presented) == ACCOUNTS
