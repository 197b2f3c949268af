"""The dramatiq actors: thin shells around the use-case, which runs on the process's one event loop."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Protocol

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tokenkeep.adapters.redis.queue import DEMANDED, SCHEDULED, RefreshHint


class Refresher(Protocol):
    """What an actor does with a hint."""

    def __call__(self, hint: RefreshHint) -> Coroutine[Any, Any, None]:
        """Refresh what the hint names."""


def declare_actors(
    broker: RedisBroker,
    refresh: Refresher,
    loop: asyncio.AbstractEventLoop,
    *,
    time_limit_s: float,
    traceparent: Callable[[], str | None] | None = None,
) -> None:
    """Declare the actors of both queues on `broker`.

    A dramatiq thread waits for as long as `refresh` has it wait; then its message is acknowledged. When `time_limit_s` is
    over it goes on to the next one; the batch itself is not cancelled, for it may hold an answer. `traceparent` tells what went
    along with the message of the thread that asks.
    """

    def handle(account_ids: Sequence[str], trigger: str, correlation_id: str, source_id: str | None = None) -> None:
        hint = RefreshHint.from_kwargs(account_ids, trigger, correlation_id, source_id)
        if traceparent is not None:
            hint = replace(hint, traceparent=traceparent())
        asyncio.run_coroutine_threadsafe(refresh(hint), loop).result(time_limit_s)

    dramatiq.actor(broker=broker, actor_name="refresh_due", queue_name=SCHEDULED)(handle)
    dramatiq.actor(broker=broker, actor_name="refresh_demanded", queue_name=DEMANDED)(handle)
