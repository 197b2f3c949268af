"""Tokens at hand follow what happens to their accounts: decisions, and the thread or the task that carries them out."""

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from typing import Any, Self

from tokenkeep.client.effects import Effect, Pause
from tokenkeep.client.errors import CursorExpired, Unreachable
from tokenkeep.client.event import Event
from tokenkeep.client.event_calls import Question, persistently, read_page
from tokenkeep.client.lifeline import Lifeline
from tokenkeep.client.performing import perform, perform_async
from tokenkeep.client.performing_asks import Asker, AsyncAsker
from tokenkeep.domain.events import EventType

ENDING = frozenset(
    {
        EventType.ACTIVATED,
        EventType.REFRESHED,
        EventType.TOKEN_REJECTED,
        EventType.DISABLED,
        EventType.ENABLED,
        EventType.REAUTHORIZED,
        EventType.RELEASED,
        EventType.DELETED,
    }
)
"""After these an account's former token is not to be used any more, or there is a better one."""

_PATIENCE_S = 20
_MOST_EVENTS = 500
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0

_log = logging.getLogger("tokenkeep.client")


def ends_tokens(event_type: str) -> bool:
    """Whether an account's token is not to be kept after such an event."""
    return event_type in ENDING


class _Flow:
    """What is asked, and what follows from it."""

    def __init__(self, heed: Callable[[Event], None], clear: Callable[[], None]) -> None:
        self._heed = heed
        self._clear = clear
        self._cursor: str | None = None

    def pin(self) -> Generator[Effect, Any, str]:
        """From here on nothing is missed."""
        reply = yield from persistently(Question("now", ENDING, limit=1).call())
        self._cursor = cursor = read_page(reply.document()).next_cursor
        self._clear()
        return cursor

    def run(self, stopping: Callable[[], bool]) -> Generator[Effect, Any, None]:
        """Read on until it is to stop."""
        trouble = 0
        while not stopping():
            try:
                cursor = self._cursor or (yield from self.pin())
                reply = yield Question(cursor, ENDING, wait=_PATIENCE_S, limit=_MOST_EVENTS).call()
                page = read_page(reply.document())
            except CursorExpired:
                _log.warning("token_events_missed")
                self._cursor = None
                self._clear()
                yield Pause(_FIRST_WAIT_S)  # or a server that knows no cursor of its own would be asked without end
                continue
            except Unreachable as error:
                trouble += 1
                wait = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(trouble - 1, 16))
                yield Pause(max(wait, error.retry_after or 0.0))
                continue
            trouble = 0
            for event in page.events:
                self._heed(event)
            self._cursor = page.next_cursor


class Following:
    """Follows events in a thread. `error`: what ended it, if anything did; the log says `token_events_ended` then."""

    def __init__(self, ask: Asker, *, heed: Callable[[Event], None], clear: Callable[[], None]) -> None:
        self.error: Exception | None = None
        self._lifeline = Lifeline()
        self._ask = ask.apart(self._lifeline)
        self._flow = _Flow(heed, clear)
        self._stopped = threading.Event()

    def start(self) -> None:
        """When this returns, nothing that happens is missed. Raises what the feed refuses."""
        try:
            perform(self._flow.pin(), self._do)
        except (
            BaseException
        ):  # refused or interrupted, and raised again: nobody else would close what was opened for it
            self._ask.close()
            raise
        # It may be in the middle of a wait for events when the program ends.
        threading.Thread(target=self._run, name="tokenkeep-tokens", daemon=True).start()

    def stop(self) -> None:
        """Follow no more. The thread ends at once; over an `http_client` of your own, when its wait for events does, in 20 seconds."""
        self._stopped.set()
        self._lifeline.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            perform(self._flow.run(self._stopped.is_set), self._do)
        except Exception as error:  # noqa: BLE001 - whatever ends it, somebody has to be told that it has ended
            if not self._stopped.is_set():
                self.error = error
                _log.error("token_events_ended error=%s", type(error).__name__)
        finally:
            self._ask.close()

    def _do(self, effect: Effect) -> Any:
        if isinstance(effect, Pause):
            return self._stopped.wait(effect.seconds)
        return self._ask.do(effect)


class AsyncFollowing:
    """As `Following`, in a task."""

    def __init__(self, ask: AsyncAsker, *, heed: Callable[[Event], None], clear: Callable[[], None]) -> None:
        self.error: Exception | None = None
        self._ask = ask
        self._flow = _Flow(heed, clear)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """As `Following.start`."""
        await perform_async(self._flow.pin(), self._ask.do)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _run(self) -> None:
        try:
            await perform_async(self._flow.run(lambda: False), self._ask.do)
        except Exception as error:  # noqa: BLE001 - as above
            self.error = error
            _log.error("token_events_ended error=%s", type(error).__name__)
