"""Runs one worker process."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
import uvloop
from sqlalchemy.exc import SQLAlchemyError

from tokenkeep.adapters.ending import end
from tokenkeep.adapters.postgres.event_log import OUTBOX_CHANNEL
from tokenkeep.adapters.postgres.inbox import INBOX_CHANNEL
from tokenkeep.adapters.postgres.notifications import Listener
from tokenkeep.adapters.postgres.schedule import PostgresSchedule
from tokenkeep.adapters.redis.connection import connect_blocking
from tokenkeep.adapters.redis.queue import (
    DEMANDED,
    SCHEDULED,
    DramatiqRefreshQueue,
    RefreshHint,
    create_broker,
    traceparent_of_message,
)
from tokenkeep.adapters.telemetry.health_server import HealthServer
from tokenkeep.adapters.telemetry.logs import configure_logging
from tokenkeep.adapters.tracing.opening import open_traces
from tokenkeep.application.backpressure import Permits
from tokenkeep.bootstrap import Foundation, calm_collector, lay_foundation, stop_on_signals
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.errors import StoreUnavailable
from tokenkeep.settings import Settings, require_database, require_redis, trace_exporters
from tokenkeep_worker.draining import keep_draining
from tokenkeep_worker.inbox import InboxApplication, wire_inbox
from tokenkeep_worker.revoking import keep_revoking
from tokenkeep_worker.storekeeping import claim_stores, keep_moving, keep_sweeping
from tokenkeep_worker.webhooks import WebhookDelivery, wire_webhooks
from tokenkeep_worker.wiring import Refreshing, wire
from tokenkeep_worker.without_queue import DirectClaims

if TYPE_CHECKING:  # dramatiq reads its prefetch when it is imported
    from dramatiq import Worker as Consumer

_DEMAND_THREADS = 8
_PICKUP_MS = 50
_IDLE_THREAD_MS = 500
"""How often a thread that waits for a message looks whether it is to end. A message wakes it; to look takes the interpreter from whoever works."""
_PREFETCH = 64
_DRAIN_AGAIN_S = 1.0
_PATIENCE_S = 2.0
"""How long a thread waits for a full batch, and for a smaller one in proportion: many small sources that hang would take all threads.
Most endpoints answer sooner; what is admitted goes on without it."""
_DEMAND_PATIENCE_S = 0.05
"""Demands that wait for their turn, or for an endpoint, keep no thread from those behind them; admission bounds them."""
_SPOOL_GRACE = timedelta(seconds=20)
"""How long a stop waits for the database once the answers are in the spool."""

_log = structlog.get_logger("tokenkeep.worker")


class Worker:
    """Takes hints and refreshes, until it is told to stop; then it settles what it has sent, and gives back what it has not."""

    def __init__(
        self, foundation: Foundation, refreshing: Refreshing, inbox: InboxApplication, webhooks: WebhookDelivery
    ) -> None:
        self._foundation = foundation
        self._refreshing = refreshing
        self._inbox = inbox
        self._webhooks = webhooks
        self._batches: set[asyncio.Task[None]] = set()
        settings = foundation.settings
        self._capacity, self._under_way = settings.worker_threads * settings.message_batch, 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set and everything in hand is durable."""
        settings = self._foundation.settings
        # dramatiq reads its prefetch when the module is imported.
        os.environ.setdefault("dramatiq_queue_prefetch", str(_PREFETCH))
        from dramatiq import Worker as Consumer  # noqa: PLC0415 - see above

        from tokenkeep_worker.actors import declare_actors  # noqa: PLC0415 - imports dramatiq

        loop, limit_s = asyncio.get_running_loop(), settings.actor_time_limit_s
        # Demands have threads of their own: they never wait behind a scheduled batch at a slow provider.
        threads_of = {SCHEDULED: settings.worker_threads, DEMANDED: _DEMAND_THREADS}
        consumers, traced = [], self._foundation.traces is not None
        along = traceparent_of_message if traced else None
        for queue, threads in threads_of.items():
            client = connect_blocking(require_redis(settings))
            broker = create_broker(client, traced=traced, look_every_ms=_PICKUP_MS)
            declare_actors(broker, self.refresh, loop, time_limit_s=limit_s, traceparent=along)
            consumers.append(Consumer(broker, queues={queue}, worker_threads=threads, worker_timeout=_IDLE_THREAD_MS))
        health = HealthServer(
            self._foundation.metrics,
            self._foundation.checks(),
            port=settings.metrics_port,
            host=settings.api_host,
            leaving=self._foundation.leaving,
        )
        port = await health.start()
        await self._drain_spool(stopping)
        if stopping.is_set():  # nothing was taken, and the spool may not be drained
            await health.stop()
            return
        for consumer in consumers:
            await asyncio.to_thread(consumer.start)
        claims = DirectClaims(
            self._foundation.redis,
            PostgresSchedule(self._foundation.database),
            self.begin,
            batch=settings.message_batch,
            trust=self._foundation.times.look,
        )
        helping = loop.create_task(claims.run())
        beside = [
            loop.create_task(keep_revoking(self._refreshing.revoke)),
            loop.create_task(keep_draining(self._refreshing.drain_spool)),
        ]
        if self._refreshing.stores.in_use:
            beside.append(loop.create_task(keep_moving(self._refreshing.move)))
            beside.append(loop.create_task(keep_sweeping(self._refreshing.sweep)))
        listener = Listener(require_database(settings), INBOX_CHANNEL, self._inbox.notice)
        listener.start()
        applying = loop.create_task(self._inbox.run())
        telling = Listener(require_database(settings), OUTBOX_CHANNEL, self._webhooks.notice)
        telling.start()
        self._webhooks.start()
        _log.info("worker_ready", metrics_port=port, pid=os.getpid())
        await stopping.wait()
        taking_no_more = self._take_no_more(consumers)
        webhooks = loop.create_task(self._webhooks.stop())
        try:
            await telling.stop()
            await listener.stop()
            for task in (applying, helping, *beside):
                await end(task)
            _log.info("worker_draining", batches=len(self._batches))
        finally:  # whatever went wrong: a process that ends before this loses what was answered
            await asyncio.wait({taking_no_more})
            await self._settle_what_was_sent()
        await webhooks
        for consumer in consumers:
            await asyncio.to_thread(consumer.broker.close)
        await health.stop()

    async def _settle_what_was_sent(self) -> None:
        if self._batches:
            await asyncio.wait(self._batches)
        await self._refreshing.refresh.drain()

    def _take_no_more(self, consumers: "Sequence[Consumer]") -> asyncio.Task[None]:
        """Done once no hint is in hand any more. It begins at once: whoever is given back must not come here again."""
        self._foundation.leaving.set()
        self._refreshing.refresh.hurry(_SPOOL_GRACE)
        return asyncio.get_running_loop().create_task(self._leave_queues(consumers))

    async def _leave_queues(self, consumers: "Sequence[Consumer]") -> None:
        """Hints that wait here are given back. Where Redis does not take them, another worker has them once this one is silent."""
        grace_ms = int((self._foundation.settings.provider_deadline_s + 20) * 1000)
        stops = (asyncio.to_thread(consumer.stop, grace_ms) for consumer in consumers)
        for fault in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(fault, BaseException):
                _log.warning("hints_not_given_back", error=type(fault).__name__)

    async def _drain_spool(self, stopping: asyncio.Event) -> None:
        """Nothing new is sent before what was received is stored: as long as that takes, but for a stop."""
        while not stopping.is_set():
            try:
                await self._refreshing.drain_spool()
            except (SQLAlchemyError, OSError, TimeoutError, StoreUnavailable) as error:
                _log.warning("spool_not_drained", error=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), _DRAIN_AGAIN_S)
            else:
                return

    async def refresh(self, hint: RefreshHint) -> None:
        """Refresh what a hint from the queue names, once answers are settled in time."""
        await self.begin(hint, await self._refreshing.refresh.take(len(hint.account_ids), hint.trigger))

    async def begin(self, hint: RefreshHint, permits: Permits | None = None) -> None:
        """Refresh what a hint names, and wait for it while as much is under way as threads can carry, but no longer than it should take.

        What is counted are accounts: of many small sources each has its own hint, and a thread that waited for each of these would let a
        worker do next to nothing. The batch belongs to the process: a caller that gives up, or whose patience is over, does not stop it. So
        a provider that hangs keeps no thread from the others; how much of it is under way is for admission to say.
        """
        accounts = len(hint.account_ids)
        task = asyncio.get_running_loop().create_task(self._batch(hint, permits))
        self._batches.add(task)
        self._under_way += accounts

        def ended(task: asyncio.Task[None]) -> None:
            self._batches.discard(task)
            self._under_way -= accounts
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("batch_failed", error=type(error).__name__, correlation_id=hint.correlation_id)

        task.add_done_callback(ended)
        if self._under_way >= self._capacity:
            share = min(accounts / self._foundation.settings.message_batch, 1.0)
            patience_s = _PATIENCE_S * share if hint.trigger is Trigger.SCHEDULE else _DEMAND_PATIENCE_S
            await asyncio.wait({task}, timeout=patience_s)

    async def _batch(self, hint: RefreshHint, permits: Permits | None) -> None:
        with structlog.contextvars.bound_contextvars(correlation_id=hint.correlation_id), self._traced(hint):
            try:
                await self._refreshing.refresh(
                    hint.account_ids,
                    trigger=hint.trigger,
                    correlation_id=hint.correlation_id,
                    source_id=hint.source_id,
                    permits=permits,
                )
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                # Nothing was leased, or a sweeper will see to it; a later tick hints at the accounts again.
                _log.warning("batch_postponed", accounts=len(hint.account_ids), error=type(error).__name__)

    def _traced(self, hint: RefreshHint) -> AbstractContextManager[None]:
        traces = self._foundation.traces
        if traces is None:
            return nullcontext()
        return traces.batch(
            accounts=len(hint.account_ids),
            trigger=hint.trigger,
            correlation_id=hint.correlation_id,
            source_id=hint.source_id,
            traceparent=hint.traceparent,
        )


async def serve(settings: Settings) -> None:
    """One worker process, from wiring to its end."""
    stopping = stop_on_signals()
    foundation = lay_foundation(settings, process="worker", traces=open_traces(trace_exporters(), process="worker"))
    refreshing = wire(foundation)
    try:
        await claim_stores(refreshing.stores)
        along = None if foundation.traces is None else foundation.traces.of_message
        queue = DramatiqRefreshQueue(create_broker(connect_blocking(require_redis(settings))), along=along)
        inbox = wire_inbox(foundation, queue, refreshing.stores, refreshing.sealer)
        webhooks = wire_webhooks(foundation, refreshing.sealer.vault)
        calm_collector()
        await refreshing.keyring_reports.start()
        try:
            await Worker(foundation, refreshing, inbox, webhooks).run(stopping)
        finally:
            await refreshing.keyring_reports.stop()
    finally:
        await refreshing.close()
        await foundation.close()


def run(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT.

    Raises:
        SettingsError: A setting is missing or wrong, or the credential store is another installation's.
    """
    configure_logging(settings.log_level, settings.log_format, "worker")
    uvloop.run(serve(settings))
