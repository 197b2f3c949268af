"""`/v1/events`: what happened, told from the table to whoever asks, waits or keeps a stream open."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from pydantic import WithJsonSchema
from starlette.responses import Response
from starlette.types import Receive

from tokenkeep.adapters.postgres.event_tail import Follower
from tokenkeep.domain.api_key import Caller, Scope
from tokenkeep.domain.event_feed import PREFIX, FeedFilter, PlacedEvent, full_types
from tokenkeep.domain.events import EventType, cloudevent
from tokenkeep.domain.ids import IdKind, parse_id
from tokenkeep_api import rendering
from tokenkeep_api.authentication import needs
from tokenkeep_api.described_problems import also
from tokenkeep_api.event_answers import FeedAnswer
from tokenkeep_api.event_streams import AT_ONCE, STREAM_TYPE, EventStream, StreamTimes
from tokenkeep_api.feed_cursors import NOW, cursor_text, place_of
from tokenkeep_api.strict_route import StrictRoute
from tokenkeep_api.wired import Wired

LONGEST_WAIT_S = 60
MOST = 500
DEFAULT = 100
_LOOKED_THROUGH_S = 5.0
_LAST_EVENT_ID = "Last-Event-ID"
_NAMES = [name for kind in EventType for name in (kind.value, kind.value.removeprefix(PREFIX))]

Reader = Annotated[Caller, needs(Scope.EVENTS_READ)]
TypeName = Annotated[str, WithJsonSchema({"type": "string", "enum": _NAMES})]
Types = Annotated[
    list[TypeName] | None,
    Query(
        alias="type",
        max_length=2 * len(EventType),
        description="Only events of these types; `account.disabled` is short for `tokenkeep.account.disabled`.",
    ),
]
Subject = Annotated[
    str | None, Query(max_length=64, description="Only events of this account, source or webhook, by its id.")
]
After = Annotated[
    str | None,
    Query(
        max_length=64,
        pattern="^[A-Za-z0-9_-]*$",
        description="The cursor to go on from: a former answer's `next_cursor`, or the `id` of an event of the stream. `now` leaves out "
        "what has happened. Without it, the feed begins with the first event that is kept: they are for 30 days, unless the installation says otherwise.",
    ),
]


def routes(wired: Wired, times: StreamTimes) -> APIRouter:
    """The routes of the feed."""
    router = APIRouter(prefix="/v1/events", tags=["events"], route_class=StrictRoute)

    @router.get("", response_model=FeedAnswer, responses=also(410))
    async def read_events(
        request: Request,
        *,
        caller: Reader,
        after: After = None,
        types: Types = None,
        subject: Subject = None,
        wait: Annotated[
            int,
            Query(ge=0, le=LONGEST_WAIT_S, description="How long to wait for an event if there is none, in seconds."),
        ] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST, description="How many events the answer has at most.")] = DEFAULT,
    ) -> Response:
        """What happened after a cursor, oldest first, in order for each account and source. Go on from `next_cursor`, also when there were no events."""
        with _reading(wired, caller, _wanted(caller, types, subject), after or None) as follower:
            if after == NOW:
                await follower.skip()
            found = await _first(follower, limit, wait, request.receive)
            assert follower.place is not None  # noqa: S101 - it has been read
            return rendering.page([cloudevent(one.event) for one in found], cursor_text(follower.place))

    @router.get("/stream", response_class=Response, responses={**also(410), **_described_stream()})
    async def stream_events(
        caller: Reader,
        after: After = None,
        types: Types = None,
        subject: Subject = None,
        last_event_id: Annotated[
            str | None,
            Header(
                alias=_LAST_EVENT_ID,
                max_length=64,
                description="The `id` of the last event that was read; counts before `after`.",
            ),
        ] = None,
    ) -> Response:
        """What happens, as server-sent events: `id` is the cursor, `event` the type, `data` the CloudEvent. Comments come every 15 s; a stream ends after 5 minutes, and is gone on with by `Last-Event-ID`."""
        wanted = _wanted(caller, types, subject)
        given, field = (last_event_id, _LAST_EVENT_ID) if last_event_id else (after or None, "after")
        with ExitStack() as held:
            follower = held.enter_context(_reading(wired, caller, wanted, given, field))
            if given == NOW:
                await follower.skip()
            first = await follower.read(AT_ONCE)
            return EventStream(wired.event_tail, follower, first, held.pop_all(), times)

    return router


@contextmanager
def _reading(
    wired: Wired, caller: Caller, wanted: FeedFilter, cursor: str | None, field: str = "after"
) -> Iterator[Follower]:
    place = None if cursor in {None, NOW} else place_of(cursor, field)
    with wired.feed_readers.admit(caller.name), wired.event_tail.following(wanted, place) as follower:
        yield follower


def _wanted(caller: Caller, types: list[str] | None, subject: str | None) -> FeedFilter:
    return FeedFilter(caller.environment, full_types(types or ()), None if subject is None else _subject(subject))


def _subject(text: str) -> Any:
    kind = next((one for one in (IdKind.SOURCE, IdKind.WEBHOOK) if text.startswith(f"{one}_")), IdKind.ACCOUNT)
    return parse_id(kind, text, field="subject")


async def _first(follower: Follower, limit: int, wait_s: float, receive: Receive) -> list[PlacedEvent]:
    """The next events, if need be when some have come; empty if the time was over, or the client has gone, before."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    looked_until = loop.time() + max(wait_s, _LOOKED_THROUGH_S)
    gone = loop.create_task(_gone(receive))
    try:
        while not gone.done():
            found = await follower.read(limit)
            if found or follower.stopped:
                return found
            if follower.behind and loop.time() < looked_until:
                continue
            left = until - loop.time()
            if left <= 0:
                return []
            await _either(gone, follower.wait(left))
    finally:
        gone.cancel()
    return []


async def _either(gone: "asyncio.Task[None]", waiting: Any) -> None:
    waiter = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait({gone, waiter}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _described_stream() -> dict[int | str, dict[str, Any]]:
    about = "A stream of server-sent events."
    return {200: {"description": about, "content": {STREAM_TYPE: {"schema": {"type": "string"}}}}}
