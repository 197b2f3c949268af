"""A subscription over the feed `GET /v1/events`: decisions, without input and output.

The place is kept after each event that was dealt with, up to the first that was not. One that waits for another try holds
back the later ones of its subject only; what was dealt with behind it is told again if the process dies meanwhile.
"""

import logging
from collections.abc import Callable, Generator
from typing import Any

from tokenkeep.client.backlog import Backlog, Entry
from tokenkeep.client.effects import Bury, Effect, Flow, Handle, LoadPosition, Pause, SavePosition
from tokenkeep.client.errors import GaveUp, Unreachable
from tokenkeep.client.event_calls import Question, read_page
from tokenkeep.client.progress import NEW, Progress
from tokenkeep.client.retrying import Done, Failed, Outcome, Postponed, Rejected, RetryPolicy
from tokenkeep.client.wanted import Wanted

WINDOW = 1_000
_AT_ONCE = 100
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0

_log = logging.getLogger("tokenkeep.client")


class FeedFlow:
    """One reader, from its last place on. `clock` is in seconds, and only ever goes forward. `patience`: how long a call waits."""

    def __init__(
        self,
        wanted: Wanted,
        policy: RetryPolicy,
        *,
        new: bool,
        patience: int,
        clock: Callable[[], float],
        stopping: Callable[[], bool],
    ) -> None:
        self._wanted = wanted
        self._policy = policy
        self._new = new
        self._patience = patience
        self._clock = clock
        self._stopping = stopping
        self._backlog = Backlog(ordered=True)
        self._progress = Progress(None)
        self._kept: str | None = None
        self._trouble = 0
        self._ask_at = 0.0

    def run(self) -> Flow:
        """Read until the reader is to stop.

        Raises:
            CursorExpired: Events after the place are not kept any more. Nothing is skipped silently.
            ApiProblem: The API refuses.
            NotAuthenticated: The key is not valid (any more).
            GaveUp: An event is to be a dead letter, and nobody takes those.
        """
        self._kept = yield LoadPosition()
        self._progress = Progress(self._kept, new=self._new)
        while not self._stopping():
            entry = self._backlog.next(self._clock())
            if entry is not None:
                yield from self._deal(entry)
                continue
            if (rest := self._ask_at - self._clock()) > 0:
                yield Pause(self._no_longer_than_due(rest))
                continue
            try:
                yield from self._gather()
                self._trouble = 0
            except Unreachable as error:
                self._trouble += 1
                wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(self._trouble - 1, 16))
                wait = max(wait, error.retry_after or 0.0)
                _log.warning("feed_unreachable wait_s=%.1f error=%s", wait, error)
                # Events that are due meanwhile are tried; the API is not asked before.
                self._ask_at = self._clock() + wait

    def part(self) -> Flow:
        """There is nobody to take leave of."""
        yield from ()

    def _gather(self) -> Generator[Effect, Any, None]:
        """Read on, or wait for events, but no longer than until one is due again."""
        wait = self._no_longer_than_due(float(self._patience))
        room = min(_AT_ONCE, WINDOW - len(self._backlog))
        if room <= 0:
            yield Pause(wait)
            return
        if self._progress.next_cursor == NEW:
            wait = 0.0  # the place is to be kept before anything comes
        question = Question(self._progress.next_cursor, self._wanted.types, wait=int(wait), limit=room)
        document = yield question.call()
        if document is None:
            return  # it stops
        page = read_page(document)
        done = self._progress.add([event.id for event in page.events], page.next_cursor)
        for event in page.events[done:]:
            self._backlog.add(Entry(event.id, event))
        yield from self._keep()
        if not page.events and 0 < wait < 1:
            yield Pause(wait)

    def _deal(self, entry: Entry) -> Generator[Effect, Any, None]:
        event = entry.event
        assert event is not None  # noqa: S101 - the feed has nothing else
        outcome: Outcome = yield Handle(event)
        match outcome:
            case Done():
                yield from self._settle(entry)
            case Rejected(reason):
                yield from self._bury(entry, reason)
            case Postponed(after):
                entry.due = self._clock() + after
            case Failed(reason):
                entry.record = entry.record.started().failed()
                if self._policy.exhausted(entry.record):
                    yield from self._bury(entry, reason)
                    return
                wait = self._policy.wait_after(entry.record.failures)
                _log.warning("handler_failed event=%s failures=%d wait_s=%g", event.id, entry.record.failures, wait)
                entry.due = self._clock() + wait

    def _bury(self, entry: Entry, reason: str) -> Generator[Effect, Any, None]:
        event = entry.event
        assert event is not None  # noqa: S101 - as above
        if not (yield Bury(event, reason, max(1, entry.record.failures))):
            raise GaveUp(event.id, reason)
        _log.error("dead_letter event=%s", event.id)
        yield from self._settle(entry)

    def _settle(self, entry: Entry) -> Generator[Effect, Any, None]:
        self._backlog.remove(entry.key)
        self._progress.settle(entry.key)
        yield from self._keep()

    def _keep(self) -> Generator[Effect, Any, None]:
        position = self._progress.position
        if position != self._kept:
            yield SavePosition(position)
            self._kept = position

    def _no_longer_than_due(self, wait: float) -> float:
        due = self._backlog.next_due()
        return wait if due is None else max(0.001, min(wait, due - self._clock()))
