"""`client.events` for programs with an event loop; what the calls mean stands at `Events`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tokenkeep.client import event_calls, stream_dead_letters
from tokenkeep.client.api_wire import AsyncApiWire
from tokenkeep.client.cursor_stores import AsyncCursorStore, CursorStore
from tokenkeep.client.dead_letters import AsyncDeadLetterBox, DeadLetter, DeadLetterBox
from tokenkeep.client.effects import Effect, Pause
from tokenkeep.client.errors import NotConfigured
from tokenkeep.client.event import Event
from tokenkeep.client.event_calls import Page, Question
from tokenkeep.client.feed_wire import AsyncFeedWire
from tokenkeep.client.performing import perform_async
from tokenkeep.client.reports import Reception, Report
from tokenkeep.client.retrying import RetryPolicy, described
from tokenkeep.client.running_async import AsyncHandler, AsyncSubscription
from tokenkeep.client.subscribing import Choice, Start, Way, way_of
from tokenkeep.client.wanted import checked_group
from tokenkeep.domain.secret import Secret

if TYPE_CHECKING:
    import redis.asyncio

    from tokenkeep.client.redis_wire import AsyncRedisWire

_PATIENCE_S = 25


class AsyncEvents:
    """As `Events`. Of an `AsyncTokenkeep`: `client.events`."""

    def __init__(
        self, api: AsyncApiWire, environment: str | None, redis: "Secret | redis.asyncio.Redis | None"
    ) -> None:
        self._api = api
        self._environment = environment
        self._redis = redis

    def subscribe(
        self,
        types: Iterable[str] | None = None,
        *,
        group: str,
        via: Way | None = None,
        ordered: bool = True,
        start: Start = "beginning",
        retry: RetryPolicy | None = None,
        lease: float = 10.0,
        cursors: CursorStore | AsyncCursorStore | None = None,
        dead_letters: DeadLetterBox | AsyncDeadLetterBox | None = None,
        describe: Callable[[BaseException], str] = described,
        handler_timeout: float | None = None,
    ) -> AsyncSubscription:
        """As `Events.subscribe`. A handler that takes longer than `handler_timeout` seconds is cancelled, and has failed."""
        choice = Choice(group, types, self._environment, ordered, start, retry or RetryPolicy(), lease)
        if way_of(via, redis=self._redis, cursors=cursors, dead_letters=dead_letters) == "stream":
            return AsyncSubscription(choice.stream_flow, self._redis_wire(), describe, handler_timeout)
        assert cursors is not None  # noqa: S101 - the feed has some
        wire = AsyncFeedWire(self._api, group, cursors, dead_letters)
        flow = partial(choice.feed_flow, patience=_PATIENCE_S)
        return AsyncSubscription(flow, wire, describe, handler_timeout)

    async def list(
        self,
        *,
        after: str | None = None,
        types: Iterable[str] | None = None,
        subject: str | None = None,
        wait: int = 0,
        limit: int = 100,
    ) -> Page:
        """As `Events.list`."""
        question = Question(after, types, subject, wait, limit)
        return await perform_async(event_calls.fetch_page(question), self._do)

    async def iterate(
        self, *, after: str | None = None, types: Iterable[str] | None = None, subject: str | None = None
    ) -> AsyncIterator[Event]:
        """As `Events.iterate`."""
        names = None if types is None else tuple(types)
        while True:
            page = await self.list(after=after, types=names, subject=subject, limit=500)
            for event in page.events:
                yield event
            if page.next_cursor == after:
                return
            after = page.next_cursor

    async def send(self, *reports: Report) -> Sequence[Reception]:
        """As `Events.send`."""
        return await perform_async(event_calls.send(reports), self._do)

    def dead_letters(self, group: str) -> "AsyncDeadLetters":
        """As `Events.dead_letters`."""
        return AsyncDeadLetters(checked_group(group), self._redis_wire)

    async def _do(self, effect: Effect) -> Any:
        if isinstance(effect, Pause):
            return await asyncio.sleep(effect.seconds)
        return await self._api.carry_out(effect)

    def _redis_wire(self) -> "AsyncRedisWire":
        if self._redis is None:
            raise NotConfigured("give the client `redis`")
        try:
            from tokenkeep.client.redis_wire import AsyncRedisWire  # noqa: PLC0415 - redis-py is an extra
        except ModuleNotFoundError as missing:
            raise NotConfigured("the Redis stream needs redis-py: pip install 'tokenkeep[streams]'") from missing
        return AsyncRedisWire(self._redis)


class AsyncDeadLetters:
    """As `DeadLetters`."""

    def __init__(self, group: str, connect: "Callable[[], AsyncRedisWire]") -> None:
        self._group = group
        self._connect = connect

    async def list(self, limit: int = 100) -> Sequence[DeadLetter]:
        """The oldest ones."""
        found: Sequence[DeadLetter] = await self._perform(stream_dead_letters.list_letters(self._group, limit))
        return found

    async def retry(self, letter_id: str, handler: AsyncHandler) -> bool:
        """As `DeadLetters.retry`."""
        letter: DeadLetter | None = await self._perform(stream_dead_letters.find_letter(self._group, letter_id))
        if letter is None:
            return False
        await handler(letter.readable_event())
        return await self.discard(letter_id)

    async def discard(self, letter_id: str) -> bool:
        """Forget a letter. False: there is no such one."""
        return bool(await self._perform(stream_dead_letters.discard_letter(self._group, letter_id)))

    async def _perform(self, flow: Any) -> Any:
        wire = self._connect()
        try:
            return await perform_async(flow, wire.carry_out)
        finally:
            await wire.close()
