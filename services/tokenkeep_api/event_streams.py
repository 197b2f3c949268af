"""Server-sent events (HTML Living Standard, section 9.2): the feed as a browser's `EventSource` and its like read it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass

import orjson
import structlog
from asyncpg import PostgresError
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tokenkeep.adapters.postgres.event_tail import EventTail, Follower
from tokenkeep.domain.errors import CursorExpired
from tokenkeep.domain.event_feed import Place, PlacedEvent
from tokenkeep.domain.events import cloudevent
from tokenkeep_api.feed_cursors import cursor_text

STREAM_TYPE = "text/event-stream"
AT_ONCE = 50
"""How many events are read and written in one piece: all that a stream ever holds in memory."""

_RETRY_MS = 2_000
_HEARTBEAT = b": still here\n\n"

_log = structlog.get_logger("tokenkeep.event_streams")


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """How long streams take, in seconds.

    A stream ends by itself, and its client comes back with its key: one that was withdrawn is refused then.
    """

    heartbeat_s: float = 15.0
    longest_s: float = 300.0


STREAM_TIMES = StreamTimes()


class EventStream(StreamingResponse):
    """A stream of events. `held` is what its reader takes up; it is given back however the stream ends."""

    def __init__(
        self, tail: EventTail, follower: Follower, first: list[PlacedEvent], held: ExitStack, times: StreamTimes
    ) -> None:
        # A proxy that collects what it passes on would hold events back; nginx and its kin heed this header.
        headers = {"X-Accel-Buffering": "no"}
        super().__init__(_pieces(tail, follower, first, times), media_type=STREAM_TYPE, headers=headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the client goes away, the time is over, or the process stops."""
        with self._held:
            await super().__call__(scope, receive, send)


async def _pieces(
    tail: EventTail, follower: Follower, first: list[PlacedEvent], times: StreamTimes
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + times.longest_s
    yield b"retry: %d\n" % _RETRY_MS + (b"\n" if first else _mark(follower.place))
    told = follower.place
    found = first
    while loop.time() < ends_at and not tail.closed:
        if found:
            told = found[-1].place
            yield b"".join(_frame(one) for one in found)
        elif not follower.behind and not await follower.wait(min(times.heartbeat_s, ends_at - loop.time())):
            # What a filter left out is not looked through again by a client that comes back.
            yield _HEARTBEAT if follower.place == told else _HEARTBEAT.rstrip() + b"\n" + _mark(follower.place)
            told = follower.place
        try:
            found = await follower.read(AT_ONCE)
        except (CursorExpired, SQLAlchemyError, PostgresError, OSError, TimeoutError) as error:
            # The client comes back and is told what the matter is: the answer's status has been sent long since.
            _log.info("event_stream_ended", error=type(error).__name__)
            return


def _frame(one: PlacedEvent) -> bytes:
    document = cloudevent(one.event)
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        cursor_text(one.place).encode(),
        document["type"].encode(),
        orjson.dumps(document),
    )


def _mark(place: Place | None) -> bytes:
    """A block without data: nothing is dispatched, but the client's last event id moves."""
    return b"\n" if place is None else b"id: %s\n\n" % cursor_text(place).encode()
