"""Commands to Redis, by redis-py (the extra `tokenkeep[streams]`), and what its errors mean."""

from typing import Any

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from tokenkeep.client.effects import Command, Effect
from tokenkeep.client.errors import ClientError, StreamRefused, Unreachable
from tokenkeep.domain.secret import Secret

_TIMEOUT_S = 5.0  # longer than any command waits
_FOR_GOOD = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
_FOR_NOW = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.MasterDownError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
)
_FOR_NOW_WORDS = frozenset({"OOM", "MISCONF", "BUSY", "NOREPLICAS", "UNBLOCKED", "LOADING", "READONLY"})


class RedisWire:
    """Carries out commands and waits for their replies."""

    def __init__(self, given: "Secret | redis.Redis") -> None:
        self._owned = isinstance(given, Secret)
        # A command that is repeated behind our back would hide that its first reply was lost.
        self._client: Any = (
            redis.Redis.from_url(
                given.reveal(),
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
            )
            if isinstance(given, Secret)
            else given
        )

    def carry_out(self, effect: Effect) -> Any:
        """The reply to a command."""
        assert isinstance(effect, Command)  # noqa: S101 - the stream's flow wants nothing else of a wire
        try:
            return self._client.execute_command(*effect.words)
        except exceptions.RedisError as error:
            raise fault_of(error) from error

    def close(self) -> None:
        """Close the connections, if they are our own."""
        if self._owned:
            self._client.close()


class AsyncRedisWire:
    """As `RedisWire`, on an event loop."""

    def __init__(self, given: "Secret | redis.asyncio.Redis") -> None:
        self._owned = isinstance(given, Secret)
        self._client: Any = (
            redis.asyncio.Redis.from_url(
                given.reveal(),
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                retry=AsyncRetry(NoBackoff(), 0),
            )
            if isinstance(given, Secret)
            else given
        )

    async def carry_out(self, effect: Effect) -> Any:
        """The reply to a command."""
        assert isinstance(effect, Command)  # noqa: S101 - as above
        try:
            return await self._client.execute_command(*effect.words)
        except exceptions.RedisError as error:
            raise fault_of(error) from error

    async def close(self) -> None:
        """Close the connections, if they are our own."""
        if self._owned:
            await self._client.aclose()


def fault_of(error: Exception) -> ClientError:
    """Whether Redis is away for now, or refuses for good."""
    text = str(error)
    if isinstance(error, exceptions.NoScriptError):
        return StreamRefused(f"NOSCRIPT {text}")
    # The asyncio client wraps what refuses a connection into an error of connections.
    if isinstance(error, _FOR_GOOD) or isinstance(error.__cause__, _FOR_GOOD):
        return StreamRefused(text)
    if isinstance(error, _FOR_NOW) or text.partition(" ")[0] in _FOR_NOW_WORDS or "OOM command" in text:
        return Unreachable(f"{type(error).__name__}: {text}")
    if isinstance(error, exceptions.ResponseError):
        return StreamRefused(text)
    return Unreachable(f"{type(error).__name__}: {text}")
