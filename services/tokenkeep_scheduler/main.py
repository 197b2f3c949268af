"""Wires and runs one scheduler process. Any number may run; none is a leader."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
import uvloop
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from tokenkeep.adapters.ending import end
from tokenkeep.adapters.failpoints.ledgers import SWEEP, FailingLedgers
from tokenkeep.adapters.failpoints.scheduler_ports import FailingOutbox, FailingQueue, FailingSchedule, FailingStream
from tokenkeep.adapters.failpoints.striking import arm
from tokenkeep.adapters.postgres.event_log import OUTBOX_CHANNEL
from tokenkeep.adapters.postgres.fleet import count_fleet
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep.adapters.postgres.notifications import Listener
from tokenkeep.adapters.postgres.outbox import PostgresOutbox
from tokenkeep.adapters.postgres.schedule import PostgresSchedule
from tokenkeep.adapters.postgres.source_tending import PostgresTendings
from tokenkeep.adapters.postgres.sources import PostgresSourceConfigs
from tokenkeep.adapters.postgres.unit_of_work import PostgresLedgers, PostgresWorks
from tokenkeep.adapters.redis.connection import connect_blocking
from tokenkeep.adapters.redis.event_stream import STREAM, RedisEventStream
from tokenkeep.adapters.redis.inbox_stream import RedisInboxStream
from tokenkeep.adapters.redis.queue import DramatiqRefreshQueue, create_broker
from tokenkeep.adapters.redis.stream_trimmer import StreamTrimmer
from tokenkeep.adapters.telemetry.health_server import HealthServer
from tokenkeep.adapters.telemetry.logs import configure_logging
from tokenkeep.adapters.telemetry.refresh_observer import RefreshTelemetry
from tokenkeep.adapters.tracing.opening import open_traces
from tokenkeep.application.accept_events import AcceptEvents
from tokenkeep.application.emit_due_refreshes import EmitDueRefreshes
from tokenkeep.application.fleet import StreamFigures
from tokenkeep.application.ports import HintQueue, Ledgers, Schedule
from tokenkeep.application.relay_events import EventStream, Outbox, RelayEvents
from tokenkeep.application.sweep_leases import SweepLeases
from tokenkeep.application.tend_sources import TendSources
from tokenkeep.bootstrap import Foundation, ProcessClocks, calm_collector, lay_foundation, stop_on_signals
from tokenkeep.domain.ids import new_correlation_id, new_id
from tokenkeep.domain.stream_trimming import Keeping
from tokenkeep.settings import Settings, require_database, require_redis, trace_exporters
from tokenkeep_scheduler.inbox import RECLAIM_AFTER, InboxIntake

_TEND_EVERY_S = 1.0
_SHARDS_EVERY_S = 1.0
_RELAY_SWEEP_S = 0.5
_LOOK_AT_CLOCK_EVERY_S = 1.0
_CLOCK_STEP_S = 1.0
_FIGURES_EVERY_S = 15.0
_FIGURES_SHARE = 20
_FIGURES_AT_LATEST_S = 600.0
"""Counting reads whole tables. However large they are, it takes no more than so small a share of the time, but for a count every ten minutes."""
_HOUSEKEEPING_EVERY_S = 600.0
_TRIM_EVERY_S = 60.0
_FINISH_S = 10.0
_GIVE_BACK_S = 5.0
_CONSUMERS_KEPT = timedelta(hours=1)

_log = structlog.get_logger("tokenkeep.scheduler")


@dataclass(frozen=True, slots=True)
class Jobs:
    """What a scheduler does, each to be run now and then."""

    emit_due: EmitDueRefreshes
    sweep: SweepLeases
    tend: TendSources
    relay: RelayEvents
    trim: StreamTrimmer
    inbox: RedisInboxStream
    intake: InboxIntake


@dataclass(frozen=True, slots=True)
class _Ports:
    """What of the world the scheduler's steps touch."""

    schedule: Schedule
    queue: HintQueue
    ledgers: Ledgers
    outbox: Outbox
    stream: EventStream


def wire(foundation: Foundation) -> Jobs:
    """The scheduler's use-cases over real adapters.

    Raises:
        SettingsError: The failpoints can't be understood.
    """
    settings, database, traces = foundation.settings, foundation.database, foundation.traces
    broker = create_broker(connect_blocking(require_redis(settings)))
    inbox = RedisInboxStream(foundation.redis, consumer=new_id().hex, reclaim_after=RECLAIM_AFTER)
    ports = _Ports(
        schedule=PostgresSchedule(database),
        queue=DramatiqRefreshQueue(broker, along=None if traces is None else traces.of_message),
        ledgers=PostgresLedgers(database),
        outbox=PostgresOutbox(database),
        stream=_stream(foundation),
    )
    if settings.failpoints is not None:
        ports = _armed(ports, settings.failpoints)
    return Jobs(
        emit_due=EmitDueRefreshes(
            schedule=ports.schedule,
            queue=ports.queue,
            claim_batch=settings.claim_batch,
            message_batch=settings.message_batch,
            trust=timedelta(seconds=settings.dispatch_timeout_s),
            leaving=foundation.leaving.is_set,
        ),
        sweep=SweepLeases(
            schedule=ports.schedule,
            ledgers=ports.ledgers,
            sources=PostgresSourceConfigs(database),
            catalogue=foundation.catalogue,
            observer=RefreshTelemetry(foundation.metrics),
            clocks=ProcessClocks(lambda: asyncio.get_running_loop().time()),
            policy=foundation.policy,
            quarantine=foundation.quarantine,
            links=foundation.links,
            longest_gap=timedelta(seconds=3 * settings.sweep_interval_s),
        ),
        tend=TendSources(PostgresTendings(database)),
        relay=RelayEvents(ports.outbox, ports.stream, holder=new_id(), leaving=foundation.leaving.is_set),
        trim=StreamTrimmer(
            foundation.redis,
            Keeping(entries=settings.stream_max_entries),
            lost=foundation.metrics.jobs.unread_was_dropped,
        ),
        inbox=inbox,
        intake=InboxIntake(inbox, AcceptEvents(PostgresWorks(database), foundation.metrics)),
    )


def _stream(foundation: Foundation) -> EventStream:
    stream = RedisEventStream(foundation.redis)
    if foundation.traces is None:
        return stream
    from tokenkeep.adapters.tracing.traced_stream import TracedStream  # noqa: PLC0415 - it imports OpenTelemetry

    return TracedStream(stream, foundation.traces, name=STREAM)


def _armed(ports: _Ports, spec: str) -> _Ports:
    """The ports with failpoints around them. Raises `SettingsError` when the specification can't be understood."""
    points = arm(spec)
    return _Ports(
        schedule=FailingSchedule(ports.schedule, points),
        queue=FailingQueue(ports.queue, points),
        ledgers=FailingLedgers(ports.ledgers, points, writing=SWEEP),
        outbox=FailingOutbox(ports.outbox, points),
        stream=FailingStream(ports.stream, points),
    )


class Scheduler:
    """The process's clock (APScheduler, in memory) and the relay that the database wakes; beside them, the intake of events."""

    def __init__(self, foundation: Foundation, jobs: Jobs) -> None:
        self._foundation = foundation
        self._jobs = jobs
        self._pending = asyncio.Event()
        self._clock = AsyncIOScheduler(timezone="UTC")
        self._count_again_at = 0.0
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set; then finish the jobs under way, and hand over."""
        settings = self._foundation.settings
        health = HealthServer(
            self._foundation.metrics,
            self._foundation.checks(),
            port=settings.metrics_port,
            host=settings.api_host,
            leaving=self._foundation.leaving,
        )
        port = await health.start()
        self._every(settings.tick_interval_s, "tick", partial(self._whole, self._tick))
        self._every(settings.sweep_interval_s, "sweep", partial(self._whole, self._sweep))
        self._every(_TEND_EVERY_S, "tend", partial(self._whole, self._tend))
        self._every(_SHARDS_EVERY_S, "keep_shards", partial(self._whole, self._jobs.relay.keep_shards))
        self._every(_FIGURES_EVERY_S, "figures", self._count)
        self._every(_FIGURES_EVERY_S, "stream_figures", self._count_streams)
        self._every(_HOUSEKEEPING_EVERY_S, "housekeeping", self._keep_house)
        self._every(_TRIM_EVERY_S, "trim", self._jobs.trim)
        self._clock.start()
        listener = Listener(require_database(settings), OUTBOX_CHANNEL, self._pending.set)
        listener.start()
        relay = asyncio.get_running_loop().create_task(self._relay())
        intake = asyncio.get_running_loop().create_task(self._jobs.intake.run())
        minding = asyncio.get_running_loop().create_task(self._mind_the_clock())
        _log.info("scheduler_ready", metrics_port=port, pid=os.getpid())
        await stopping.wait()
        _log.info("scheduler_stopping")
        self._foundation.leaving.set()
        self._clock.pause()
        self._pending.set()
        await end(minding)
        # A tick that were cut off between its claims and its hints would leave those accounts without any for a minute; a relay
        # between the stream and the outbox would tell events twice.
        await self._finished(relay)
        self._clock.shutdown(wait=False)
        await end(intake)
        await end(relay)
        await listener.stop()
        await self._guarded("give_back_shards", self._give_back_shards)
        await health.stop()

    def _every(self, seconds: float, name: str, job: Callable[[], Awaitable[object]]) -> None:
        self._clock.add_job(
            self._guarded,
            "interval",
            args=(name, job),
            seconds=seconds,
            id=name,
            next_run_time=datetime.now(UTC),
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )

    async def _mind_the_clock(self) -> None:
        """Let every job run at once after the wall clock was set: APScheduler goes by it, and would wait out a step back."""
        loop = asyncio.get_running_loop()
        offset = time.time() - loop.time()
        while True:  # bounded by the process's life; cancelled when it stops
            await asyncio.sleep(_LOOK_AT_CLOCK_EVERY_S)
            now = time.time() - loop.time()
            if abs(now - offset) > _CLOCK_STEP_S:
                _log.warning("wall_clock_stepped", seconds=round(now - offset, 1))
                for job in self._clock.get_jobs():
                    job.modify(next_run_time=datetime.fromtimestamp(time.time(), UTC))
            offset = now

    async def _finished(self, relay: "asyncio.Task[None]") -> None:
        """Wait until nothing is under way that must not be cut off, for as long as a statement of it may take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_S):
                await self._quiet.wait()
                await asyncio.wait({relay})

    async def _give_back_shards(self) -> None:
        """With the database away they are free once their lease is over, a few seconds later."""
        async with asyncio.timeout(_GIVE_BACK_S):
            await self._jobs.relay.stop()

    async def _whole(self, job: Callable[[], Awaitable[object]]) -> None:
        """Run a job that a stop waits for."""
        self._under_way += 1
        self._quiet.clear()
        try:
            await job()
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._quiet.set()

    async def _guarded(self, name: str, job: Callable[[], Awaitable[object]]) -> None:
        """Run a job. A store that is away is no reason to die: the next round finds everything where it was."""
        jobs = self._foundation.metrics.jobs
        try:
            await job()
        except (OperationalError, InterfaceError, RedisError, OSError, TimeoutError) as error:
            jobs.ended(name, "postponed")
            _log.warning("job_postponed", job=name, error=type(error).__name__)
        except Exception:  # noqa: BLE001 - a fault of ours in one job must not stop the others; it is told in full
            jobs.ended(name, "failed")
            _log.exception("job_failed", job=name)
        else:
            jobs.ended(name, "done")

    async def _tick(self) -> None:
        correlation_id = new_correlation_id()
        traces = self._foundation.traces
        with nullcontext() if traces is None else traces.tick(correlation_id):
            emitted = await self._jobs.emit_due(correlation_id=correlation_id)
        if emitted:
            _log.info("due_emitted", accounts=emitted, correlation_id=correlation_id)

    async def _sweep(self) -> None:
        freed = await self._jobs.sweep()
        if freed:
            _log.info("leases_swept", accounts=freed)

    async def _tend(self) -> None:
        picked, woken = await self._jobs.tend()
        if picked or woken:
            _log.info("sources_tended", picked=picked, woken=woken)

    async def _count(self) -> None:
        began = time.monotonic()
        if began < self._count_again_at:
            return
        try:
            self._foundation.metrics.observe_fleet(await count_fleet(self._foundation.database))
        finally:  # a count that was broken off may have read as much
            self._count_again_at = began + min(_FIGURES_SHARE * (time.monotonic() - began), _FIGURES_AT_LATEST_S)

    async def _count_streams(self) -> None:
        inbox, dead = await self._jobs.inbox.lengths()
        self._foundation.metrics.observe_streams(StreamFigures(inbox, dead, await self._jobs.trim.unread()))

    async def _keep_house(self) -> None:
        settings = self._foundation.settings
        try:
            await keep_house(
                self._foundation.database, audit_days=settings.audit_days, history_days=settings.history_days
            )
        finally:  # it is of another store
            await self._jobs.inbox.forget_consumers(_CONSUMERS_KEPT)

    async def _relay(self) -> None:
        while not self._foundation.leaving.is_set():
            self._pending.clear()
            await self._guarded("relay", self._jobs.relay)
            try:
                await asyncio.wait_for(self._pending.wait(), _RELAY_SWEEP_S)
            except TimeoutError:
                continue


async def serve(settings: Settings) -> None:
    """One scheduler process, from wiring to its end."""
    stopping = stop_on_signals()
    foundation = lay_foundation(
        settings, process="scheduler", traces=open_traces(trace_exporters(), process="scheduler")
    )
    try:
        scheduler = Scheduler(foundation, wire(foundation))
        calm_collector()
        await scheduler.run(stopping)
    finally:
        await foundation.close()


def run(settings: Settings) -> None:
    """Run a scheduler until SIGTERM or SIGINT.

    Raises:
        SettingsError: A setting is missing or wrong.
    """
    configure_logging(settings.log_level, settings.log_format, "scheduler")
    uvloop.run(serve(settings))
