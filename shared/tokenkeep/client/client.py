"""The clients: one that blocks, and one for programs with an event loop."""

from typing import TYPE_CHECKING

from tokenkeep.client.events import AsyncEvents, Events

if TYPE_CHECKING:
    import redis
    import redis.asyncio


class Tokenkeep:
    """A client of tokenkeep."""

    def __init__(self, *, environment: str | None = None, redis: "str | redis.Redis | None" = None) -> None:
        self.events = Events(environment, redis)


class AsyncTokenkeep:
    """As `Tokenkeep`, for programs with an event loop."""

    def __init__(self, *, environment: str | None = None, redis: "str | redis.asyncio.Redis | None" = None) -> None:
        self.events = AsyncEvents(environment, redis)
