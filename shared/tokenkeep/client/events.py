"""`client.events`: being told what happens."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tokenkeep.client.errors import NotConfigured
from tokenkeep.client.retrying import RetryPolicy, described
from tokenkeep.client.running import Subscription
from tokenkeep.client.running_async import AsyncSubscription
from tokenkeep.client.subscribing import Choice, Start

if TYPE_CHECKING:
    import redis
    import redis.asyncio


class Events:
    """Events, for programs that block."""

    def __init__(self, environment: str | None, redis: "str | redis.Redis | None") -> None:
        self._environment = environment
        self._redis = redis

    def subscribe(
        self,
        types: Iterable[str] | None = None,
        *,
        group: str,
        ordered: bool = True,
        start: Start = "beginning",
        retry: RetryPolicy | None = None,
        lease: float = 10.0,
        describe: Callable[[BaseException], str] = described,
    ) -> Subscription:
        """A subscription over the Redis stream, by a consumer group; `run` begins it."""
        choice = Choice(group, types, self._environment, ordered, start, retry or RetryPolicy(), lease)
        if self._redis is None:
            raise NotConfigured("give the client `redis`")
        from tokenkeep.client.redis_wire import RedisWire  # noqa: PLC0415 - redis-py is an extra

        return Subscription(choice.stream_flow, RedisWire(self._redis), describe)


class AsyncEvents:
    """As `Events`, for programs with an event loop."""

    def __init__(self, environment: str | None, redis: "str | redis.asyncio.Redis | None") -> None:
        self._environment = environment
        self._redis = redis

    def subscribe(
        self,
        types: Iterable[str] | None = None,
        *,
        group: str,
        ordered: bool = True,
        start: Start = "beginning",
        retry: RetryPolicy | None = None,
        lease: float = 10.0,
        describe: Callable[[BaseException], str] = described,
        handler_timeout: float | None = None,
    ) -> AsyncSubscription:
        """As `Events.subscribe`. A handler that takes longer than `handler_timeout` seconds is cancelled, and has failed."""
        choice = Choice(group, types, self._environment, ordered, start, retry or RetryPolicy(), lease)
        if self._redis is None:
            raise NotConfigured("give the client `redis`")
        from tokenkeep.client.redis_wire import AsyncRedisWire  # noqa: PLC0415 - redis-py is an extra

        return AsyncSubscription(choice.stream_flow, AsyncRedisWire(self._redis), describe, handler_timeout)
