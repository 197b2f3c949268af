"""One round: accounts fall due at once, and the round is over when all of them are settled."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import psutil
from sqlalchemy import text

from tokenkeep.adapters.embedded.child import Child
from tokenkeep.adapters.ending import end
from tokenkeep.cli.bench.installation import Installation
from tokenkeep.cli.bench.refresh.due_accounts import bring_due
from tokenkeep.cli.bench.refresh.processes import Endpoint
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.domain.ids import SourceId

MESSAGE = 50
"""How many accounts a hint names: the setting `message_batch` as it comes."""
PATIENCE_S = 300.0
_LOOK_S = 0.5
_FEW = 500
_HELD_MS = 12_000
"""How long the endpoint takes while memory is looked at: a slow machine too has sent all by then, and settles none yet."""
_ROUNDS = 6
_SETTLED = text("""
SELECT count(*) AS settled, COALESCE(extract(epoch FROM max(settled_at) - min(settled_at)), 0) AS seconds FROM refresh_attempts
 WHERE source_id = :source AND leased_at >= :since AND outcome = 'ok'
""")
_NOW = text("SELECT clock_timestamp()")


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a measurement takes place."""

    installation: Installation
    endpoint: Endpoint
    advance: Advance


async def refreshed_per_s(stage: Stage, source_id: SourceId, accounts: int, step: str) -> float:
    """Bring accounts due; the rate from the first that is settled to the last, by the database's clock.

    Raises:
        TimeoutError: They have not been refreshed within five minutes.
    """
    async with stage.installation.foundation.database.reading() as connection:
        since: datetime = (await connection.execute(_NOW)).scalar_one()
        await bring_due(stage.installation, source_id, accounts)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await asyncio.sleep(_LOOK_S)  # seldom: looking costs the database something too
                row = (await connection.execute(_SETTLED, {"source": source_id, "since": since})).one()
                stage.advance(step, row.settled, accounts)
                if row.settled >= accounts:
                    return accounts / float(row.seconds) if row.seconds else 0.0


async def memory_in_flight(stage: Stage, source_id: SourceId, many: int) -> tuple[float, float, int]:
    """What a refresh in flight takes of memory: a worker with many of them, less the same worker with a few.

    A worker sends a source twice as much at a time as it has seen go well, so the many come in several rounds.

    Returns:
        Bytes for each; the worker's megabytes with many; how many the endpoint held at once.
    """
    few = min(_FEW, many // 2)
    threads = -(-many // MESSAGE)
    async with (
        stage.installation.process("worker", worker_threads=threads) as worker,
        stage.installation.process("scheduler"),
    ):
        low, held_few = await _peak(stage, worker, source_id, few)
        high, held_many, rounds = 0, 0, 0
        while held_many < many and rounds < _ROUNDS:
            high, held_many = await _peak(stage, worker, source_id, many)
            rounds += 1
    return (high - low) / max(1, held_many - held_few), high / 1e6, held_many


async def _peak(stage: Stage, worker: Child, source_id: SourceId, due: int) -> tuple[int, int]:
    """The most memory that the worker has while so many accounts are refreshed, and how many the endpoint held at most."""
    await stage.endpoint.control(delay_ms=_HELD_MS)  # it counts anew
    peak = 0

    async def watch() -> None:
        nonlocal peak
        process = psutil.Process(worker.pid)
        while True:
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    await refreshed_per_s(stage, source_id, due, f"{due:,} in flight")
    await end(watching)
    return peak, int((await stage.endpoint.control())["most_in_flight"])


def cpu_s(child: Child) -> float:
    """What a process has spent so far, in seconds."""
    times = psutil.Process(child.pid).cpu_times()
    return float(times.user + times.system)
