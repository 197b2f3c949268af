"""What `tokenkeep bench processes` measures: the same work by one, two and four workers and as many schedulers.

Where answers take long and each worker waits for a bounded number of them, the machine has room, and twice the processes must do
twice the work. Where answers come at once the machine is full with one, and what counts is that a refresh costs no more of it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from sqlalchemy import text

from tokenkeep.cli.bench.accounts import add_accounts, add_source
from tokenkeep.cli.bench.installation import Installation, temporary_installation
from tokenkeep.cli.bench.processes.meter import Meter, Spent, Stored
from tokenkeep.cli.bench.processes.reference import ReferenceFigures, measure_reference
from tokenkeep.cli.bench.refresh.due_accounts import leftovers
from tokenkeep.cli.bench.refresh.processes import open_endpoint
from tokenkeep.cli.bench.refresh.rounds import MESSAGE, PATIENCE_S, Stage, refreshed_per_s
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.domain.ids import SourceId

_LOOK_S = 0.25
_IDLE_S = 2.0
_ACCOUNT_BATCHES = 40
"""How many batches a worker has in hand where nothing but the machine is to bound it."""
_TWICE = text("""
SELECT count(*) FROM (
    SELECT FROM refresh_attempts WHERE source_id = :source GROUP BY account_id, presented_generation HAVING count(*) > 1
) AS twice
""")
_TOLD = text("SELECT NOT EXISTS (SELECT FROM outbox)")


@dataclass(frozen=True, slots=True)
class Case:
    """So many workers and so many schedulers, at an endpoint that takes so long."""

    processes: int
    latency_ms: int
    in_flight: int | None
    """How many answers each worker waits for at most; None where the machine is the bound."""

    @property
    def limit_per_s(self) -> float | None:
        """What so many answers in flight allow, if nothing but waiting took time."""
        if self.in_flight is None or not self.latency_ms:
            return None
        return self.processes * self.in_flight / self.latency_ms * 1000

    @property
    def step(self) -> str:
        """What the progress says."""
        return f"{self.latency_ms} ms, {self.processes} of each"


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """Refreshes a second; what was spent meanwhile and stored; and what the same processes had Redis do while idle."""

    case: Case
    accounts: int
    rps: float
    spent: Spent
    stored: Stored
    idle_redis_commands_per_s: float
    connections: Mapping[str, float]
    """What one worker and one scheduler hold together, by the name that the connections give themselves."""


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """All cases. `presented_twice` is the endpoint's count, `attempted_twice` the journal's, `unsettled` the schedule's.

    `kept_bytes` is what a refresh leaves in the journal and the events, with their indexes.
    """

    cases: Sequence[CaseFigures]
    reference: Sequence[ReferenceFigures]
    presented_twice: int
    attempted_twice: int
    unsettled: int
    kept_bytes: float


async def measure_processes(
    cases: Sequence[Case], *, accounts: int, naive_accounts: int, advance: Advance
) -> ProcessFigures:
    """Measure on an installation of its own: every case with so many accounts, the reference with `naive_accounts`.

    Raises:
        TimeoutError: Accounts have not been refreshed within five minutes.
    """
    async with temporary_installation() as installation, open_endpoint() as endpoint:
        stage = Stage(installation, endpoint, advance)
        meter = await Meter.of(installation)
        strict = {"refresh_rotates": "yes", "reuse_detection": "revokes"}
        source_id = await add_source(installation, f"{endpoint.url}/rotating", **strict)
        await add_accounts(installation, source_id, accounts, made=lambda done: advance("accounts", done, accounts))
        former = await meter.kept()
        figures = [await _case(stage, meter, case, source_id, accounts) for case in cases]
        latter = await meter.kept()
        counts = sorted({case.processes for case in cases})
        reference = await measure_reference(stage, meter, counts, accounts=naive_accounts)
        seen = await endpoint.control()
        async with installation.foundation.database.reading() as connection:
            twice = int((await connection.execute(_TWICE, {"source": source_id})).scalar_one())
        return ProcessFigures(
            figures,
            reference,
            presented_twice=int(seen["reused"]),
            attempted_twice=twice,
            unsettled=await leftovers(installation, source_id),
            kept_bytes=(latter.size - former.size) / (latter.attempts - former.attempts),
        )


async def _case(stage: Stage, meter: Meter, case: Case, source_id: SourceId, accounts: int) -> CaseFigures:
    await stage.endpoint.control(delay_ms=case.latency_ms)
    # A worker's thread waits for a batch, and one source may have as many under way as all threads' batches.
    before = await meter.connections()
    threads = _ACCOUNT_BATCHES if case.in_flight is None else max(1, case.in_flight // MESSAGE)
    async with _running(stage.installation, case.processes, threads) as running:
        # Workers get to know the source: how many it takes at a time is found out anew by each of them.
        first = min(MESSAGE * case.processes, accounts)
        await refreshed_per_s(stage, source_id, first, f"{case.step}, first of all")
        await _until_told(stage.installation)
        idle = await meter.stored()
        began = monotonic()
        await asyncio.sleep(_IDLE_S)
        idle = (await meter.stored()).since(idle)
        idle_per_s = idle.redis_commands / (monotonic() - began)
        stored = await meter.stored()
        spent = await meter.spent(running, stage.endpoint)
        rps = await refreshed_per_s(stage, source_id, accounts, case.step)
        await _until_told(stage.installation)
        spent = (await meter.spent(running, stage.endpoint)).since(spent)
        held = await meter.connections()
    # Once the processes have ended: a connection's last figures come with its end.
    done = (await meter.stored()).since(stored)
    connections = {kind: (count - before.get(kind, 0)) / case.processes for kind, count in held.items()}
    return CaseFigures(case, accounts, rps, spent, done, idle_per_s, connections)


@asynccontextmanager
async def _running(installation: Installation, processes: int, threads: int) -> AsyncIterator[dict[str, list[int]]]:
    """So many workers and schedulers, ready: their process ids."""
    async with AsyncExitStack() as stack:

        async def start(kind: str, **changed: Any) -> tuple[str, int]:
            child = await stack.enter_async_context(installation.process(kind, **changed))
            return kind, child.pid or 0

        starting = [start("worker", worker_threads=threads) for _ in range(processes)]
        starting += [start("scheduler") for _ in range(processes)]
        running: dict[str, list[int]] = {"worker": [], "scheduler": []}
        # All of them, whatever becomes of one: nobody may be left behind.
        for started in await asyncio.gather(*starting, return_exceptions=True):
            if isinstance(started, BaseException):
                raise started
            kind, pid = started
            running[kind].append(pid)
        yield running


async def _until_told(installation: Installation) -> None:
    """Wait until the relay has told everything: that belongs to a refresh too."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with installation.foundation.database.reading() as connection:
                if (await connection.execute(_TOLD)).scalar_one():
                    return
            await asyncio.sleep(_LOOK_S)
