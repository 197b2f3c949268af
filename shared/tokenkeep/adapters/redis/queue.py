"""The queues of hints (dramatiq over Redis). A message holds ids and says what caused it; never state, never a secret."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any
from uuid import UUID

import dramatiq
import redis
import structlog
from dramatiq import Consumer
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage
from redis.exceptions import RedisError

from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, SourceId

SCHEDULED = "refresh"
DEMANDED = "refresh_now"
# A probe does not wait behind the backlog of sources that are well: the accounts of its own source wait for it.
_ACTORS = {
    Trigger.SCHEDULE: "refresh_due",
    Trigger.DEMAND: "refresh_demanded",
    Trigger.PROBE: "refresh_demanded",
    Trigger.REPORT: "refresh_demanded",
}
_QUEUES = {
    Trigger.SCHEDULE: SCHEDULED,
    Trigger.DEMAND: DEMANDED,
    Trigger.PROBE: DEMANDED,
    Trigger.REPORT: DEMANDED,
}
# Maintenance at every call: what a killed worker had fetched goes back into the queue at once and not some day.
_ALWAYS = 1_000_000
_HEARTBEAT_MS = 15_000

_log = structlog.get_logger("tokenkeep.queue")


class _Broker(RedisBroker):
    """Looks into its queues as often as it is told to. dramatiq has one time for that and for how long an idle thread sleeps, which needs no haste."""

    look_every_ms: int | None = None

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        return super().consume(queue_name, prefetch, self.look_every_ms or timeout)


def create_broker(client: "redis.Redis", *, traced: bool = False, look_every_ms: int | None = None) -> RedisBroker:
    """The broker. No retries, limits or delays: whatever a message leaves undone, a later tick hints at again.

    `traced`: who works on a message may ask what went along with it. `look_every_ms`: how long a consumer that found nothing sleeps at most.
    """
    broker = _Broker(  # type: ignore[no-untyped-call]  # dramatiq leaves it untyped
        client=client,
        namespace="tokenkeep:queue",
        maintenance_chance=_ALWAYS,
        heartbeat_timeout=_HEARTBEAT_MS,
        middleware=[CurrentMessage()] if traced else [],
    )
    broker.look_every_ms = look_every_ms
    for queue in (SCHEDULED, DEMANDED):
        broker.declare_queue(queue)
    return broker


@dataclass(frozen=True, slots=True)
class RefreshHint:
    """What a message says: look at these accounts. With `source_id` they are all of this source.

    `traceparent` went along with it, if traces are on: it is no argument, so that a worker which knows nothing of it takes the message.
    """

    account_ids: tuple[AccountId, ...]
    trigger: Trigger
    correlation_id: str
    source_id: SourceId | None = None
    traceparent: str | None = None

    def to_kwargs(self) -> dict[str, Any]:
        """The message's arguments, as JSON takes them."""
        said: dict[str, Any] = {
            "account_ids": [one.hex for one in self.account_ids],
            "trigger": self.trigger.value,
            "correlation_id": self.correlation_id,
        }
        # A worker of the version before knows no such argument, and APIs may be upgraded before it.
        return said if self.source_id is None else said | {"source_id": self.source_id.hex}

    @classmethod
    def from_kwargs(
        cls, account_ids: Sequence[str], trigger: str, correlation_id: str, source_id: str | None = None
    ) -> "RefreshHint":
        """The hint that a message's arguments spell."""
        ids = tuple(AccountId(UUID(hex=one)) for one in account_ids)
        source = None if source_id is None else SourceId(UUID(hex=source_id))
        return cls(ids, Trigger(trigger), correlation_id, source)


Along = Callable[[Trigger, int, str], Mapping[str, str]]
"""What goes along with a message, by its trigger, how many accounts it names, and its cause."""


def traceparent_of_message() -> str | None:
    """What went along with the message that this thread works on."""
    message = CurrentMessage.get_current_message()
    given = None if message is None else message.options.get("traceparent")
    return given if isinstance(given, str) else None


class DramatiqRefreshQueue:
    """Puts hints into the queues. One that can't be put there is dropped: the account's row remembers."""

    def __init__(self, broker: RedisBroker, *, along: Along | None = None) -> None:
        self._broker = broker
        self._along = along
        # The same broker over a pipeline: what it sends is gathered, and goes in one round trip.
        self._pipeline = broker.client.pipeline(transaction=False)
        self._gathering = create_broker(self._pipeline)
        self._turn = Lock()

    async def enqueue(
        self,
        account_ids: Sequence[AccountId],
        *,
        trigger: Trigger,
        correlation_id: str,
        source_id: SourceId | None = None,
    ) -> bool:
        """Hint at these accounts. False when the queue can't be had; the rows remember all the same."""
        message = self._message(RefreshHint(tuple(account_ids), trigger, correlation_id, source_id))
        try:
            await asyncio.to_thread(self._broker.enqueue, message)
        except (RedisError, dramatiq.errors.BrokerConnectionError) as error:
            _log.warning("hint_dropped", accounts=len(account_ids), error=type(error).__name__)
            return False
        return True

    async def enqueue_all(
        self, hints: Sequence[tuple[Trigger, SourceId, Sequence[AccountId]]], *, correlation_id: str
    ) -> bool:
        """Give several hints at once. False when it is not sure that all of them were given."""
        messages = [
            self._message(RefreshHint(tuple(ids), trigger, correlation_id, source)) for trigger, source, ids in hints
        ]
        if not messages:
            return True
        try:
            await asyncio.to_thread(self._send, messages)
        except (RedisError, dramatiq.errors.BrokerConnectionError) as error:
            accounts = sum(len(account_ids) for _, _, account_ids in hints)
            _log.warning("hint_dropped", accounts=accounts, error=type(error).__name__)
            return False
        return True

    def _send(self, messages: Sequence["dramatiq.Message[Any]"]) -> None:
        # A thread goes on when its caller is cancelled, and there is one pipeline.
        with self._turn:
            # The first one by itself: dramatiq may have questions to Redis, which a pipeline does not answer.
            self._broker.enqueue(messages[0])
            try:
                for message in messages[1:]:
                    self._gathering.enqueue(message)
                self._pipeline.execute()
            finally:
                self._pipeline.reset()

    async def waiting(self) -> int | None:
        """How many scheduled messages wait for a worker; None when the queue can't be had."""
        try:
            count: int = await asyncio.to_thread(self._broker.client.llen, f"{self._broker.namespace}:{SCHEDULED}")
        except (RedisError, dramatiq.errors.BrokerConnectionError) as error:
            _log.warning("queue_unavailable", error=type(error).__name__)
            return None
        return count

    def _message(self, hint: RefreshHint) -> "dramatiq.Message[Any]":
        along = self._along
        return dramatiq.Message(
            queue_name=_QUEUES[hint.trigger],
            actor_name=_ACTORS[hint.trigger],
            args=(),
            kwargs=hint.to_kwargs(),
            options={} if along is None else dict(along(hint.trigger, len(hint.account_ids), hint.correlation_id)),
        )
