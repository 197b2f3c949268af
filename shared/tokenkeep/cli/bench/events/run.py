"""What `tokenkeep bench events` measures: how long from a commit to the stream, and how many a second."""

import asyncio
import time
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

import orjson
import redis.asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from tokenkeep.adapters.ending import end
from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.adapters.redis.event_stream import STREAM
from tokenkeep.cli.bench.events import naive
from tokenkeep.cli.bench.events.transitions import Mark, Transitions, open_transitions
from tokenkeep.cli.bench.installation import Installation, temporary_installation
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.settings import require_database

_ACCOUNTS = 256
_PATIENCE_S = 120.0
_READ = 1_000
_BATCH = 500
_NAIVE_SHARE = 10
_NAIVE_SAMPLES = 30
_TYPICAL_BYTES = 600


@dataclass(frozen=True, slots=True)
class EventFigures:
    """Latencies in milliseconds, from the moment a transaction is about to commit until a reader of the stream has the event.

    Attributes:
        median_ms: On an idle machine, one change at a time.
        p99_ms: The same.
        busy_median_ms: While 16 writers change accounts as fast as they can.
        busy_p99_ms: The same.
        written_per_s: How many changes a second those writers made.
        per_s: How many events a second a relay carries that finds them all waiting.
        limit_per_s: How many entries a second Redis takes of one client, 500 a call, with no database.
        naive_median_ms: The reference's latency on an idle machine.
        naive_per_s: The reference's rate where all of them wait.
    """

    median_ms: float
    p99_ms: float
    busy_median_ms: float
    busy_p99_ms: float
    written_per_s: float
    per_s: float
    limit_per_s: float
    naive_median_ms: float
    naive_per_s: float


async def measure_events(*, samples: int, transitions: int, advance: Advance) -> EventFigures:
    """Measure on an installation of its own: `samples` changes one by one, then `transitions` at once, twice.

    Raises:
        TimeoutError: Events have not come within two minutes.
    """
    async with temporary_installation() as installation:
        changes = await open_transitions(installation, accounts=_ACCOUNTS)
        client = installation.foundation.redis
        async with asyncio.TaskGroup() as group:
            reader = _Reader(client)
            reading = group.create_task(reader.read())
            async with installation.process("scheduler"):
                await reader.until(sum(changes.sequences.values()) + 1)  # and that their source was paused
                idle = await _idle(changes, reader, samples, advance)
                busy, written_per_s = await _busy(changes, reader, transitions, advance)
            per_s = await _drained(installation, changes, reader, transitions, advance)
            await end(reading)
        limit = await _limit(client, transitions)
        naive_median, naive_per_s = await _naive(installation, transitions // _NAIVE_SHARE, advance)
    return EventFigures(
        median_ms=median(idle),
        p99_ms=_p99(idle),
        busy_median_ms=median(busy),
        busy_p99_ms=_p99(busy),
        written_per_s=written_per_s,
        per_s=per_s,
        limit_per_s=limit,
        naive_median_ms=naive_median,
        naive_per_s=naive_per_s,
    )


@dataclass(slots=True)
class _Reader:
    """A consumer of the stream that notes when it has each event."""

    client: "redis.asyncio.Redis"
    stream: str = STREAM
    arrived: dict[Mark, float] = field(default_factory=dict)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Read until cancelled."""
        last: bytes | str = "0"
        while True:
            answer: Any = await self.client.xread({self.stream: last}, block=1_000, count=_READ)
            now = time.perf_counter()
            for _, entries in answer:
                for entry_id, fields in entries:
                    event = orjson.loads(fields[b"event"])
                    self.arrived.setdefault((event["subject"], int(event["sequence"])), now)
                    last = entry_id
            self._more.set()

    async def until(self, count: int) -> None:
        """Wait until so many events are here."""
        async with asyncio.timeout(_PATIENCE_S):
            while len(self.arrived) < count:
                self._more.clear()
                await self._more.wait()


async def _idle(changes: Transitions, reader: _Reader, samples: int, advance: Advance) -> list[float]:
    marks: list[Mark] = []
    for number in range(samples):
        there = len(reader.arrived)
        marks.append(await changes.make(number))
        await reader.until(there + 1)
        advance("one at a time", number + 1, samples)
    return _latencies(changes, reader, marks)


async def _busy(changes: Transitions, reader: _Reader, transitions: int, advance: Advance) -> tuple[list[float], float]:
    there = len(reader.arrived)
    known = set(changes.committed)
    began = time.perf_counter()
    showing = asyncio.create_task(_show(reader, there, "16 writers", transitions, advance))
    await changes.make_many(transitions)
    written_per_s = transitions / (time.perf_counter() - began)
    await reader.until(there + transitions)
    await end(showing)
    return _latencies(changes, reader, [mark for mark in changes.committed if mark not in known]), written_per_s


async def _drained(
    installation: Installation, changes: Transitions, reader: _Reader, transitions: int, advance: Advance
) -> float:
    """With no relay there, let them pile up; then see how fast one carries them."""
    there = len(reader.arrived)
    await changes.make_many(transitions)
    showing = asyncio.create_task(_show(reader, there, "all at once", transitions, advance))
    async with installation.process("scheduler"):
        await reader.until(there + transitions)
    await end(showing)
    moments = sorted(reader.arrived.values())[there:]
    # The first ones to come start the clock: what a process's start takes is none of the relay's doing.
    counted = [moment for moment in moments if moment > moments[0]]
    return len(counted) / (moments[-1] - moments[0])


async def _limit(client: "redis.asyncio.Redis", count: int) -> float:
    event = "x" * _TYPICAL_BYTES
    began = time.perf_counter()
    for _ in range(0, count, _BATCH):
        pipeline = client.pipeline(transaction=False)
        for _ in range(_BATCH):
            pipeline.xadd("bench:limit", {"id": "evt", "type": "type", "subject": "subject", "event": event})
        await pipeline.execute()
    return count / (time.perf_counter() - began)


async def _naive(installation: Installation, count: int, advance: Advance) -> tuple[float, float]:
    foundation = installation.foundation
    engine = create_engine(require_database(foundation.settings), pool_size=4, process="tokenkeep bench naive")
    try:
        await naive.create_table(engine)
        return await _naive_figures(engine, foundation.redis, count, advance)
    finally:
        await engine.dispose()


async def _naive_figures(
    engine: AsyncEngine, client: "redis.asyncio.Redis", count: int, advance: Advance
) -> tuple[float, float]:
    event = "x" * _TYPICAL_BYTES
    await naive.write(engine, event, count=count)
    began = time.perf_counter()
    relaying = asyncio.create_task(naive.relay(engine, client))
    try:
        last = b"0"
        for done in range(1, count + 1):
            last = await _next(client, last)
            advance("the reference", done, count + _NAIVE_SAMPLES)
        per_s = count / (time.perf_counter() - began)
        waits: list[float] = []
        for number in range(_NAIVE_SAMPLES):
            # At any moment of its poll's pause, not always right after the last one.
            await asyncio.sleep(naive.POLL_S * (number / _NAIVE_SAMPLES))
            written = time.perf_counter()
            await naive.write(engine, event)
            last = await _next(client, last)
            waits.append((time.perf_counter() - written) * 1000)
            advance("the reference", count + number + 1, count + _NAIVE_SAMPLES)
        return median(waits), per_s
    finally:
        await end(relaying)


async def _next(client: "redis.asyncio.Redis", last: bytes) -> bytes:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            answer: Any = await client.xread({naive.STREAM: last}, block=1_000, count=1)
            for _, entries in answer:
                entry_id: bytes = entries[0][0]
                return entry_id


async def _show(reader: _Reader, there: int, step: str, count: int, advance: Advance) -> None:
    while True:
        advance(step, min(count, len(reader.arrived) - there), count)
        await asyncio.sleep(0.2)


def _latencies(changes: Transitions, reader: _Reader, marks: list[Mark]) -> list[float]:
    return [(reader.arrived[mark] - changes.committed[mark]) * 1000 for mark in marks]


def _p99(figures: list[float]) -> float:
    return quantiles(figures, n=100)[98]
