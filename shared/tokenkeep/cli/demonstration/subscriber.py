"""A subscriber of the stream `tokenkeep:events`, as any service may be one: a consumer group of its own."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import redis.asyncio
from redis.exceptions import RedisError

_STREAM = "tokenkeep:events"
_CONSUMER = "demo"
_BATCH = 100
_BLOCK_MS = 1000
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class HeardEvent:
    """An event as it came over the stream: its fields `id`, `type`, `subject`, and what the demo needs of `event`."""

    id: str
    type: str
    subject: str
    time: datetime
    source_id: str
    external_id: str | None
    reason: str | None


class Subscriber:
    """Reads the stream from now on. Every event is heard at least once; one that comes again is passed on once."""

    def __init__(self, client: "redis.asyncio.Redis", *, group: str) -> None:
        self._client: Any = client  # redis-py's types tell of blocking and awaitable answers alike
        self._group = group
        self._seen: set[str] = set()

    async def __aenter__(self) -> Self:
        """Make the group. What is said after this is heard."""
        await self._client.xgroup_create(_STREAM, self._group, id="$", mkstream=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the group away, if Redis is there to do it, and close the connections."""
        with contextlib.suppress(RedisError):
            await self._client.xgroup_destroy(_STREAM, self._group)
        await self._client.aclose()

    async def listen(self, hear: Callable[[HeardEvent], None]) -> None:
        """Pass on every event until cancelled. While Redis is away it is asked again."""
        me = asyncio.current_task()
        # redis-py sends under `asyncio.wait_for`, which on Python 3.11 can lose a cancellation; the task still knows.
        while me is None or not me.cancelling():
            try:
                await self._listen_once(hear)
            except RedisError:
                await asyncio.sleep(_PAUSE_S)

    async def _listen_once(self, hear: Callable[[HeardEvent], None]) -> None:
        answer = await self._client.xreadgroup(self._group, _CONSUMER, {_STREAM: ">"}, count=_BATCH, block=_BLOCK_MS)
        for entry_id, fields in _entries(answer):
            event = read_event(fields)
            if event is not None and event.id not in self._seen:
                self._seen.add(event.id)
                hear(event)
            await self._client.xack(_STREAM, self._group, entry_id)


def read_event(fields: dict[bytes, bytes]) -> HeardEvent | None:
    """The event of one entry; None if it is not of the form that the contract promises."""
    try:
        document = json.loads(fields[b"event"])
        data = document["data"]
        return HeardEvent(
            id=fields[b"id"].decode(),
            type=fields[b"type"].decode(),
            subject=fields[b"subject"].decode(),
            time=datetime.fromisoformat(document["time"]),
            source_id=data["source_id"],
            external_id=data.get("external_id"),
            reason=data.get("reason"),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _entries(answer: Any) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of an answer to XREADGROUP; none if the time ran out."""
    for _stream, entries in answer or ():
        yield from entries
