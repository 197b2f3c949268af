"""`client.events`: being told what happens, asking what has happened, and telling what a service sees."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tokenkeep.client import event_calls, stream_dead_letters
from tokenkeep.client.api_wire import ApiWire
from tokenkeep.client.cursor_stores import CursorStore
from tokenkeep.client.dead_letters import DeadLetter, DeadLetterBox
from tokenkeep.client.effects import Effect, Pause
from tokenkeep.client.errors import NotConfigured
from tokenkeep.client.event import Event
from tokenkeep.client.event_calls import Page, Question
from tokenkeep.client.feed_wire import FeedWire
from tokenkeep.client.performing import perform
from tokenkeep.client.reports import Reception, Report
from tokenkeep.client.retrying import RetryPolicy, described
from tokenkeep.client.running import Handler, Subscription, check_handled
from tokenkeep.client.subscribing import Choice, Start, Way, way_of
from tokenkeep.client.wanted import checked_group
from tokenkeep.domain.secret import Secret

if TYPE_CHECKING:
    import redis

    from tokenkeep.client.redis_wire import RedisWire

_PATIENCE_S = 2
"""How long a call of a subscription waits: a thread that waits for an answer can't be told to stop."""


class Events:
    """Events, for programs that block. Of a `Tokenkeep`: `client.events`."""

    def __init__(self, api: ApiWire, environment: str | None, redis: "Secret | redis.Redis | None") -> None:
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
        cursors: CursorStore | None = None,
        dead_letters: DeadLetterBox | None = None,
        describe: Callable[[BaseException], str] = described,
    ) -> Subscription:
        """A subscription, which `run(handler)` begins: at least once, in order for each subject.

        Args:
            types: `account.disabled` is short for `tokenkeep.account.disabled`; None: all.
            group: Who reads. Processes of one group are told each event together once, and go on where it stands.
            via: `stream`, the Redis stream, if the client has `redis`; else `feed`, the HTTP API.
            ordered: One process of the group at a time. False: they share the events, whose order is lost (`stream`).
            start: Where a group begins that is new: at the `beginning` of what is kept, or with what is `new`.
            retry: How often and when an event is tried again whose handler raised.
            lease: A process that says nothing for so many seconds counts as dead (`stream`).
            cursors: Where the place is kept (`feed`).
            dead_letters: Who takes events that are given up (`feed`). Without one, `run` raises `GaveUp` before it.
            describe: What a dead letter's reason says of an exception. It is stored: no secret may be in it.

        Raises:
            InvalidInput: There are no events of such a type.
            NotConfigured: Something is missing for this way of reading.
        """
        choice = Choice(group, types, self._environment, ordered, start, retry or RetryPolicy(), lease)
        if way_of(via, redis=self._redis, cursors=cursors, dead_letters=dead_letters) == "stream":
            return Subscription(choice.stream_flow, self._redis_wire(), describe)
        assert cursors is not None  # noqa: S101 - the feed has some
        wire = FeedWire(self._api, group, cursors, dead_letters)
        return Subscription(partial(choice.feed_flow, patience=_PATIENCE_S), wire, describe)

    def list(
        self,
        *,
        after: str | None = None,
        types: Iterable[str] | None = None,
        subject: str | None = None,
        wait: int = 0,
        limit: int = 100,
    ) -> Page:
        """A page of the feed: the events after a cursor, oldest first.

        Args:
            after: A former page's `next_cursor`, or `now`. None: from the first event that is kept.
            types: As of `subscribe`.
            subject: Only this account's or source's.
            wait: If there is nothing, wait for it, up to 60 seconds.
            limit: At most so many, up to 500.

        Raises:
            CursorExpired: Events after the cursor are not kept any more.
        """
        question = Question(after, types, subject, wait, limit)
        return perform(event_calls.fetch_page(question), self._do)

    def iterate(
        self, *, after: str | None = None, types: Iterable[str] | None = None, subject: str | None = None
    ) -> Iterator[Event]:
        """The events after a cursor, up to the present."""
        names = None if types is None else tuple(types)
        while True:
            page = self.list(after=after, types=names, subject=subject, limit=500)
            yield from page.events
            if page.next_cursor == after:
                return
            after = page.next_cursor

    def send(self, *reports: Report) -> Sequence[Reception]:
        """Report of accounts, or ask something of them; a result for each, in order. What is `accepted` is durable.

        Calls that fail are made again, up to five times; `Unreachable` says that it was in vain. Send the same reports again
        then: what was accepted is a `duplicate`.
        """
        return perform(event_calls.send(reports), self._do)

    def dead_letters(self, group: str) -> "DeadLetters":
        """What a group that reads the Redis stream has given up."""
        return DeadLetters(checked_group(group), self._redis_wire)

    def _do(self, effect: Effect) -> Any:
        return time.sleep(effect.seconds) if isinstance(effect, Pause) else self._api.carry_out(effect)

    def _redis_wire(self) -> "RedisWire":
        if self._redis is None:
            raise NotConfigured("give the client `redis`")
        try:
            from tokenkeep.client.redis_wire import RedisWire  # noqa: PLC0415 - redis-py is an extra
        except ModuleNotFoundError as missing:
            raise NotConfigured("the Redis stream needs redis-py: pip install 'tokenkeep[streams]'") from missing
        return RedisWire(self._redis)


class DeadLetters:
    """The dead letters of a group. About the latest 10,000 are kept."""

    def __init__(self, group: str, connect: "Callable[[], RedisWire]") -> None:
        self._group = group
        self._connect = connect

    def list(self, limit: int = 100) -> Sequence[DeadLetter]:
        """The oldest ones."""
        found: Sequence[DeadLetter] = self._perform(stream_dead_letters.list_letters(self._group, limit))
        return found

    def retry(self, letter_id: str, handler: Handler) -> bool:
        """Give an event to a handler here and now, and forget the letter when it has returned. False: there is no such letter.

        Raises:
            NotAnEvent: The letter holds none.
            TypeError: The handler is a coroutine function. The letter is kept.
        """
        letter: DeadLetter | None = self._perform(stream_dead_letters.find_letter(self._group, letter_id))
        if letter is None:
            return False
        answer: object = handler(letter.readable_event())  # type: ignore[func-returns-value]
        check_handled(answer)
        return self.discard(letter_id)

    def discard(self, letter_id: str) -> bool:
        """Forget a letter. False: there is no such one."""
        return bool(self._perform(stream_dead_letters.discard_letter(self._group, letter_id)))

    def _perform(self, flow: Any) -> Any:
        wire = self._connect()
        try:
            return perform(flow, wire.carry_out)
        finally:
            wire.close()
