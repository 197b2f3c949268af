"""The worker's loops that give events to webhooks and deliver them.

They have a few database connections of their own, and bounds on what is under way, so that refreshing does not wait for them.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Self

import structlog

from tokenkeep.adapters.ending import end
from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.event_feed import PostgresEventFeed
from tokenkeep.adapters.postgres.event_tail import EventTail
from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.adapters.postgres.webhook_feed import PostgresWebhookFeed
from tokenkeep.adapters.postgres.webhook_lanes import PostgresLanes
from tokenkeep.adapters.telemetry.webhook_observer import WebhookTelemetry
from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.lending import LentConnections
from tokenkeep.adapters.token_endpoint.look_ups import OwnLookUps
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.adapters.webhooks.excerpts import excerpt_of
from tokenkeep.adapters.webhooks.signatures import sign_delivery
from tokenkeep.application.deliver_webhooks import DeliverWebhooks
from tokenkeep.application.ports import Vault
from tokenkeep.application.post_webhook import PostWebhook
from tokenkeep.application.webhooks import Lane
from tokenkeep.bootstrap import Foundation, ProcessClocks, wall_clock
from tokenkeep.domain.errors import VaultError
from tokenkeep.settings import require_database

_PAUSE_S = 0.05
_IDLE_PAUSE_S = 1.0
_FEED_SWEEP_S = 5.0
_SWEEP_S = 1.0
_HEALTHY_AT_ONCE = 16
_FAILING_AT_ONCE = 4
"""So many endpoints are delivered to side by side. Those that fail have places of their own, and never one of the others'."""
_PATIENCE_S = 2.0
_MOST_AT_ONCE = 64
"""An endpoint that takes longer gives its place to another one while it is waited for; so many there are at most."""
_AFTER_A_FAULT = timedelta(seconds=1)
_CONNECTIONS = 3
_MOST_ANSWER_BYTES = 256 * 1024

_log = structlog.get_logger("tokenkeep.worker")


@dataclass(frozen=True, slots=True)
class Outlet:
    """Connections to endpoints, and the threads in which their names are looked up: one for each that is delivered to."""

    pool: ConnectionPool
    look_ups: OwnLookUps
    deadline: timedelta

    @classmethod
    def open(cls, policy: AddressPolicy, *, endpoints: int, deadline: timedelta) -> Self:
        """For so many endpoints at once."""
        look_ups = OwnLookUps(endpoints)
        pool = ConnectionPool(
            policy,
            max_idle=8,
            connect_timeout_s=deadline.total_seconds(),
            max_body_bytes=_MOST_ANSWER_BYTES,
            look_up=look_ups,
        )
        return cls(pool, look_ups, deadline)

    def posting(self, post: Callable[..., PostWebhook] = PostWebhook) -> PostWebhook:
        """The use-case over these connections."""
        return post(
            endpoints=LentConnections(self.pool),
            sign=sign_delivery,
            excerpt=excerpt_of,
            clocks=ProcessClocks(boottime),
            wall_clock=wall_clock,
            deadline=self.deadline,
        )

    async def close(self) -> None:
        """Close what is open."""
        await self.pool.close()
        self.look_ups.close()


@dataclass(frozen=True, slots=True)
class WebhookParts:
    """What the loops work with."""

    database: Database
    tail: EventTail
    feed: PostgresWebhookFeed
    lanes: PostgresLanes
    outlets: tuple["Outlet", ...]
    deliver: DeliverWebhooks


@dataclass(frozen=True, slots=True)
class _Turn:
    """An endpoint that is being delivered to, since `begun` on the monotonic clock."""

    failing: bool
    begun: float


class WebhookDelivery:
    """Two loops: one gives what happened to the webhooks that want it, the other has it delivered."""

    def __init__(self, parts: WebhookParts) -> None:
        self._parts = parts
        self._news = asyncio.Event()
        self._due = asyncio.Event()
        self._wanted = False
        self._swept_at = 0.0
        self._turns: dict[asyncio.Task[None], _Turn] = {}
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()
        self._loops = [loop.create_task(self._keep_giving()), loop.create_task(self._keep_delivering())]

    def notice(self) -> None:
        """The database tells that events were written, or that webhooks were changed."""
        self._news.set()
        self._due.set()

    async def stop(self) -> None:
        """Begin nothing new, and wait until what is under way has ended; that takes as long as one request may."""
        for one in self._loops:
            await end(one)
        if self._turns:
            await asyncio.wait(set(self._turns))
        for outlet in self._parts.outlets:
            await outlet.close()
        await self._parts.database.close()

    async def give(self) -> bool:
        """Give out what happened; whether to look again soon."""
        parts = self._parts
        self._wanted = await parts.feed.is_wanted()
        if not self._wanted:
            return False
        await parts.tail.look()
        settled = parts.tail.settled
        reached = await parts.feed.give(settled=settled, server=parts.tail.server)
        self._due.set()
        return reached is None or reached < settled or parts.tail.held_back

    async def claim(self) -> int:
        """Begin the turns of endpoints that wait, as far as there is room; returns how many that were."""
        now = monotonic()
        failing = sum(turn.failing for turn in self._turns.values())
        healthy = sum(not turn.failing and now - turn.begun < _PATIENCE_S for turn in self._turns.values())
        room = {
            "healthy": min(_HEALTHY_AT_ONCE - healthy, _MOST_AT_ONCE - len(self._turns)),
            "failing": _FAILING_AT_ONCE - failing,
        }
        if max(room.values()) <= 0:
            return 0
        claimed = await self._parts.deliver.claim(**room)
        for lane, send_before in claimed:
            task = asyncio.get_running_loop().create_task(self._turn(lane, send_before))
            self._turns[task] = _Turn(lane.failing, monotonic())
            task.add_done_callback(self._turn_is_over)
        return len(claimed)

    async def _keep_giving(self) -> None:
        while True:  # bounded by the process's life
            self._news.clear()
            again = False
            try:
                again = await self.give()
                again = await self._sweep() or again
            except Exception as error:  # noqa: BLE001 - whatever failed, the next round finds what is left
                _log.warning("webhook_feed_interrupted", error=type(error).__name__)
            await asyncio.sleep(_PAUSE_S if self._wanted or again else _IDLE_PAUSE_S)
            if not again:
                await _heard(self._news, _FEED_SWEEP_S)

    async def _keep_delivering(self) -> None:
        while True:  # bounded by the process's life
            self._due.clear()
            try:
                while self._wanted and await self.claim():
                    pass
            except Exception as error:  # noqa: BLE001 - whatever failed, the next round finds what is left
                _log.warning("webhook_claim_failed", error=type(error).__name__)
                await asyncio.sleep(_SWEEP_S)
            await _heard(self._due, _SWEEP_S)

    async def _turn(self, lane: Lane, send_before: float) -> None:
        try:
            await self._parts.deliver(lane, send_before=send_before)
        except VaultError as error:
            _log.error("webhook_secret_unreadable", error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - whatever failed, the endpoint's turn comes again
            _log.warning("webhook_turn_failed", error=type(error).__name__)
            with suppress(Exception):  # else its lease ends
                await self._parts.lanes.put_off(lane, _AFTER_A_FAULT)

    def _turn_is_over(self, task: asyncio.Task[None]) -> None:
        del self._turns[task]
        self._due.set()

    async def _sweep(self) -> bool:
        """Put aside some of what disabled endpoints were not sent; whether more may be left. In between, events are given out."""
        if monotonic() - self._swept_at < _FEED_SWEEP_S:
            return False
        if await self._parts.lanes.park_some():
            return True
        self._swept_at = monotonic()
        return False


def wire_webhooks(foundation: Foundation, vault: Vault) -> WebhookDelivery:
    """The loops over real adapters."""
    settings = foundation.settings
    engine = create_engine(require_database(settings), pool_size=_CONNECTIONS, process="tokenkeep webhooks")
    database = Database(engine)
    policy = AddressPolicy(settings.allow_private_hosts)
    deadline = timedelta(seconds=settings.webhook_deadline_s)
    outlet = Outlet.open(policy, endpoints=_MOST_AT_ONCE, deadline=deadline)
    to_failing = Outlet.open(policy, endpoints=4 * _FAILING_AT_ONCE, deadline=deadline)
    lanes, post = PostgresLanes(database), _post(foundation)
    deliver = DeliverWebhooks(
        lanes=lanes,
        works=PostgresWorks(database),
        vault=vault,
        post=outlet.posting(post),
        post_to_failing=to_failing.posting(post),
        observer=WebhookTelemetry(foundation.metrics),
        clocks=ProcessClocks(boottime),
    )
    tail = EventTail(PostgresEventFeed(database))
    parts = WebhookParts(database, tail, PostgresWebhookFeed(database), lanes, (outlet, to_failing), deliver)
    return WebhookDelivery(parts)


async def _heard(told: asyncio.Event, within_s: float) -> None:
    try:
        await asyncio.wait_for(told.wait(), within_s)
    except TimeoutError:
        return


def _post(foundation: Foundation) -> Callable[..., PostWebhook]:
    """What posts events: traced, where that is on."""
    if foundation.traces is None:
        return PostWebhook
    from tokenkeep.adapters.tracing.traced_webhooks import TracedPost  # noqa: PLC0415 - it imports OpenTelemetry

    return partial(TracedPost, traces=foundation.traces)
