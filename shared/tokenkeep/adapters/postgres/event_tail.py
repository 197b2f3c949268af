"""The newest events in memory, for everybody in this process who follows the feed.

The database is asked once for all of them: when it tells that events were written, and while a transaction that is under way
holds the horizon back. Nothing is buffered for a follower; one that is slow reads from the table again.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic

import structlog
from asyncpg import PostgresError
from sqlalchemy.exc import SQLAlchemyError

from tokenkeep.adapters.ending import end
from tokenkeep.adapters.postgres.event_feed import PostgresEventFeed
from tokenkeep.domain.event_feed import FeedFilter, Horizon, Place, PlacedEvent

_MOST = 2_000
_PAUSE_S = 0.05
_SWEEP_S = 5.0
_RETRY_S = 1.0
_WARN_AFTER_S = 10.0
_SETTLED_WITHIN_S = 10.0
_FOUND_WITHIN_S = 1.0
"""A reader who finds nothing at first gives those who are writing so long to end."""

_log = structlog.get_logger("tokenkeep.event_tail")


class EventTail:
    """Knows the horizon and the events just below it.

    Args:
        feed: The table.
        pause_s: The least time between two looks at the database while events are written, in seconds.
        sweep_s: How often to look, in seconds, when the database tells nothing. The net under notifications that were missed.
        most: How many events are held.
        warn_after_s: After how many seconds without progress the log is to say who holds the feed back.
    """

    def __init__(
        self,
        feed: PostgresEventFeed,
        *,
        pause_s: float = _PAUSE_S,
        sweep_s: float = _SWEEP_S,
        most: int = _MOST,
        warn_after_s: float = _WARN_AFTER_S,
    ) -> None:
        self.feed = feed
        self.closed = False
        self.server = ""
        self.era = 0
        self.start = 0
        self._horizon = Horizon()
        self._held: list[PlacedEvent] = []
        self._pause_s = pause_s
        self._sweep_s = sweep_s
        self._most = most
        self._warn_after_s = warn_after_s
        self._followers = 0
        self._followed = asyncio.Event()
        self._hint = asyncio.Event()
        self._news = asyncio.Event()
        self._looking = asyncio.Lock()
        self._looks = 0
        self._given_up = False
        self._failure: Exception | None = None
        self._held_back_since: float | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def settled(self) -> int:
        """The position up to which the feed may be read."""
        return self._horizon.settled

    @property
    def held_back(self) -> bool:
        """Whether somebody is writing events that may have drawn lower positions than were last seen: look again soon."""
        return self._horizon.mark is not None

    def start_watching(self) -> None:
        """Begin to look whenever there is a reason and somebody follows."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def notify(self) -> None:
        """The database tells that events were written."""
        self._hint.set()

    def close(self) -> None:
        """Let everybody who waits go; nobody waits any more."""
        self.closed = True
        self._tell()

    async def stop(self) -> None:
        """Close, and stop looking."""
        self.close()
        await end(self._task)

    @contextmanager
    def following(self, wanted: FeedFilter, place: Place | None) -> "Iterator[Follower]":
        """Follow the feed from a place, None being the first event that is kept."""
        self._followers += 1
        self._followed.set()
        try:
            yield Follower(self, wanted, place)
        finally:
            self._followers -= 1
            if not self._followers:
                self._followed.clear()

    async def look(self) -> None:
        """Move the horizon on by a look at the database that begins from now on. Several callers share one, and its error."""
        before = self._looks
        async with self._looking:
            if self._looks != before and not self._given_up:
                if self._failure is not None:
                    raise self._failure
                return
            self._looks += 1
            # Until it has ended: one that goes with its caller was nobody else's.
            self._given_up, self._failure = True, None
            try:
                await self._advance()
            except Exception as error:
                self._given_up, self._failure = False, error
                raise
            self._given_up = False

    async def settle(self, timeout_s: float = _SETTLED_WITHIN_S) -> int:
        """The last position that is drawn now, once it is settled: whatever is committed after that lies behind it.

        Raises:
            TimeoutError: Somebody has been writing events for so many seconds.
        """
        async with asyncio.timeout(timeout_s):
            drawn = (await self.feed.drawn()).position
            await self.look()
            while self.settled < drawn:
                await asyncio.sleep(self._pause_s)
                await self.look()
        return drawn

    def held_after(self, position: int) -> Sequence[PlacedEvent]:
        """The events behind a position that is not before `start`."""
        return self._held[bisect_right(self._held, position, key=_position) :]

    def news(self) -> asyncio.Event:
        """Is set when the horizon has moved, or the tail was closed."""
        return self._news

    async def _advance(self) -> None:
        drawn = await self.feed.drawn()
        if drawn.server != self.server or drawn.position < self.settled:
            # What was settled there may be open here: nothing that was known holds any more.
            self.era += 1
            self.server, self._horizon, self._held, self.start = drawn.server, Horizon(), [], 0
            self._tell()
        if drawn.position == self.settled:
            return
        moved = self._horizon.seen(drawn.position, await self.feed.writers())
        await self._hold(moved.settled)
        self._note_delay(moved)
        further = moved.settled > self.settled
        self._horizon = moved
        if further:
            self._tell()
        if moved.mark is not None:
            self._hint.set()  # it is looked at again soon, whoever took this look

    async def _hold(self, until: int) -> None:
        """Take in the events up to a new horizon, if somebody follows; the oldest make room."""
        if until == self.settled:
            return
        if not self._followers or not self.settled:
            self._held, self.start = [], until
            return
        new = await self.feed.newest(after=self.settled, until=until, limit=self._most)
        held = [*self._held, *new]
        surplus = len(held) - self._most
        if len(new) == self._most:
            self._held, self.start = new, new[0].place.position
        elif surplus > 0:
            self._held, self.start = held[surplus:], held[surplus - 1].place.position
        else:
            self._held = held

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        if self.closed:
            self._news.set()
        news.set()

    def _note_delay(self, horizon: Horizon) -> None:
        if horizon.mark is None or horizon.settled > self.settled:
            self._held_back_since = None
        elif self._held_back_since is None:
            self._held_back_since = monotonic()
        elif monotonic() - self._held_back_since > self._warn_after_s:
            self._held_back_since = monotonic()
            _log.warning("event_feed_held_back", transactions=sorted(horizon.mark.waits_for))

    async def _watch(self) -> None:
        while True:  # bounded by stop(): it watches as long as the process lives
            await self._followed.wait()
            if self._horizon.mark is None:
                await self._hinted()
            self._hint.clear()
            try:
                await self.look()
            except (SQLAlchemyError, PostgresError, OSError, TimeoutError) as error:
                _log.warning("event_tail_interrupted", error=type(error).__name__)
                self._hint.set()
                await asyncio.sleep(_RETRY_S)
            await asyncio.sleep(self._pause_s)

    async def _hinted(self) -> None:
        try:
            async with asyncio.timeout(self._sweep_s):
                await self._hint.wait()
        except TimeoutError:
            return


class Follower:
    """One reader, at one place of the feed. It holds nothing but that place."""

    def __init__(self, tail: EventTail, wanted: FeedFilter, place: Place | None) -> None:
        self.place = place
        self._tail = tail
        self._wanted = wanted
        self._era: int | None = None
        self._scanned = 0

    @property
    def behind(self) -> bool:
        """Whether there may be something that was not looked at, or was before the database changed."""
        return self._tail.settled > self._scanned or self._tail.era != self._era

    @property
    def stopped(self) -> bool:
        """Whether the process stops, and nothing is to be waited for any more."""
        return self._tail.closed

    async def read(self, limit: int) -> list[PlacedEvent]:
        """The next events, as far as the feed may be read; empty if there are none, or none yet (see `behind`).

        The first read waits a little for those who are writing, rather than tell that there is nothing.

        Raises:
            CursorExpired: The place is not to be gone on from. Told by the first read, and after the database has changed.
        """
        if self._era is not None:
            return await self._next(limit)
        await self._tail.look()
        found = await self._next(limit)
        if found or not self._tail.held_back:
            return found
        with suppress(TimeoutError):
            await self._tail.settle(_FOUND_WITHIN_S)
        return await self._next(limit)

    async def skip(self) -> None:
        """Go behind all that there is now, once that is settled: before, the horizon may lie far behind it.

        Raises:
            TimeoutError: Somebody has been writing events for ten seconds.
        """
        until = await self._tail.settle()
        server, era = self._tail.server, self._tail.era
        self.place = await self._tail.feed.head(self._wanted.environment, until=until, server=server)
        self._scanned, self._era = max(until, self.place.position), era

    async def wait(self, timeout_s: float) -> bool:
        """Until there is something new for somebody, or the time is over; tells whether there may be."""
        news = self._tail.news()
        if not self.behind and not self._tail.closed:
            try:
                async with asyncio.timeout(timeout_s):
                    await news.wait()
            except TimeoutError:
                return False
        return True

    async def _next(self, limit: int) -> list[PlacedEvent]:
        if self._era == self._tail.era and self._scanned >= self._tail.start:
            return self._from_memory(limit)
        return await self._from_table(limit)

    def _from_memory(self, limit: int) -> list[PlacedEvent]:
        found: list[PlacedEvent] = []
        for one in self._tail.held_after(self._scanned):
            self._scanned = one.place.position
            if one.event.environment != self._wanted.environment:
                continue
            self.place = one.place
            if self._wanted.takes(one.event):
                found.append(one)
                if len(found) == limit:
                    return found
        self._scanned = max(self._scanned, self._tail.settled)
        return found

    async def _from_table(self, limit: int) -> list[PlacedEvent]:
        until, server, era = self._tail.settled, self._tail.server, self._tail.era
        page = await self._tail.feed.page(self._wanted, self.place, until=until, limit=limit, server=server)
        self.place, self._era = page.place, era
        self._scanned = max(until, page.place.position) if page.whole else page.place.position
        return page.events


def _position(one: PlacedEvent) -> int:
    return one.place.position
