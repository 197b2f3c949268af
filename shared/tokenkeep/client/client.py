"""The clients: one that blocks, and one for programs with an event loop."""

from typing import TYPE_CHECKING, Self

from tokenkeep.client.api_wire import Address, ApiWire, AsyncApiWire
from tokenkeep.client.events import Events
from tokenkeep.client.events_async import AsyncEvents
from tokenkeep.domain.secret import Secret

if TYPE_CHECKING:
    import httpx
    import redis
    import redis.asyncio


class Tokenkeep:
    """A client of tokenkeep. Opens connections when they are needed; `close`, or the end of a `with` block, closes them.

    Args:
        base_url: Where the API is.
        api_key: A key of it, `tk_…`. It belongs to one environment.
        environment: With the admin key, the environment that is meant. Over Redis, which has the events of all environments,
            only this one's are told.
        redis: Where the Redis of tokenkeep is (`redis://`, `rediss://`, `unix://`), or a client of redis-py, which should not
            repeat commands by itself. Needs `tokenkeep[streams]`.
        transport: Another transport for httpx, for proxies and tests.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        environment: str | None = None,
        redis: "str | redis.Redis | None" = None,
        transport: "httpx.BaseTransport | None" = None,
    ) -> None:
        self._api = ApiWire(Address(base_url, api_key, environment), transport)
        self.events = Events(self._api, environment, Secret(redis) if isinstance(redis, str) else redis)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncTokenkeep:
    """As `Tokenkeep`, for programs with an event loop: `async with`, or `await client.close()`."""

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        environment: str | None = None,
        redis: "str | redis.asyncio.Redis | None" = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        self._api = AsyncApiWire(Address(base_url, api_key, environment), transport)
        self.events = AsyncEvents(self._api, environment, Secret(redis) if isinstance(redis, str) else redis)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
