"""Carries out a subscription in the calling thread."""

import inspect
import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from tokenkeep.client.effects import Beat, Command, Effect, Flow, Handle, Pause
from tokenkeep.client.errors import ClientError
from tokenkeep.client.event import Event
from tokenkeep.client.performing import perform
from tokenkeep.client.retrying import Done, Outcome, described, outcome_of
from tokenkeep.domain.errors import TokenkeepError

Handler = Callable[[Event], None]


class Wire(Protocol):
    """Input and output for one way of being told."""

    def carry_out(self, effect: Effect) -> Any:
        """The answer to an effect. Raises `ClientError`, or `CursorExpired`."""

    def close(self) -> None:
        """Give back what is open."""


class Subscribing(Protocol):
    """The decisions of a subscription."""

    def run(self) -> Flow:
        """The whole of it."""

    def part(self) -> Flow:
        """Only its end."""


class Subscription:
    """Gives events to a handler, one after the other, and acknowledges each when the handler has returned.

    It runs once. What the handler raises is no error of `run`: the event is tried again, and in the end becomes a dead letter.
    """

    def __init__(
        self,
        make: Callable[[Callable[[], bool]], Subscribing],
        wire: Wire,
        describe: Callable[[BaseException], str] = described,
    ) -> None:
        self._wire = wire
        self._describe = describe
        self._stopping = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._subscribing = make(lambda: self._stopping)
        self._pulse = _Pulse(wire)
        self._ran = False

    def run(self, handler: Handler) -> None:
        """Consume until `stop` is called.

        Raises:
            StreamRefused: Redis refuses for good.
            ApiProblem: The API refuses.
            CursorExpired: Events after the cursor are not kept any more.
            GaveUp: An event could not be handled, and there is no place for dead letters.
            TypeError: The handler is a coroutine function. Its event is not acknowledged.
        """
        if self._ran:
            raise RuntimeError("a subscription runs once: make another one")
        self._ran = True
        try:
            self._drive(self._subscribing.run(), handler)
        except (
            BaseException
        ):  # whatever ends it, a Ctrl-C too: the group is left, so that others need not wait for the lease
            with suppress(TokenkeepError):
                self._drive(self._subscribing.part(), handler)
            raise
        finally:
            self._pulse.close()
            self._wire.close()

    def stop(self) -> None:
        """Have `run` return once the handler under way has, and its event is acknowledged.

        May be called from any thread and from a signal handler, also before `run`.
        """
        self._stopping = True
        self._wake.put(None)

    @contextmanager
    def running(self, handler: Handler) -> Iterator["Subscription"]:
        """Consume in a thread of its own for as long as the block lasts. What ended it early is raised at the block's end."""
        ended: list[BaseException] = []

        def run() -> None:
            try:
                self.run(handler)
            except BaseException as error:  # noqa: BLE001 - it is raised where the block ends
                ended.append(error)

        thread = threading.Thread(target=run, name="tokenkeep-subscription")
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join()
        if ended:
            raise ended[0]

    def _drive(self, flow: Flow, handler: Handler) -> None:
        perform(flow, lambda effect: self._do(effect, handler))

    def _do(self, effect: Effect, handler: Handler) -> Any:
        match effect:
            case Handle(event):
                return self._handle(handler, event)
            case Pause(seconds):
                return self._pause(seconds)
            case Beat(command, every):
                return self._pulse.beat(command, every)
            case _:
                return self._wire.carry_out(effect)

    def _handle(self, handler: Handler, event: Event) -> Outcome:
        try:
            answer: object = handler(event)  # type: ignore[func-returns-value]
        # A loop of the handler's own may tell that something in it was cancelled.
        except (Exception, CancelledError) as error:  # noqa: BLE001 - whatever a handler raises is about its event
            return outcome_of(error, self._describe)
        check_handled(answer)
        return Done()

    def _pause(self, seconds: float) -> None:
        with suppress(Empty):
            if not self._stopping:
                self._wake.get(timeout=seconds)


def check_handled(answer: object) -> None:
    """Raises `TypeError` where a handler has returned what would have to be awaited: nobody would, and its event would count as handled."""
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError("the handler is for an event loop: use AsyncTokenkeep")


class _Pulse:
    """A thread that sends a command now and then, whatever the handler does. It starts with the first command."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._changed = threading.Condition()
        self._command: Command | None = None
        self._every = 0.0
        self._closed = False
        self._thread: threading.Thread | None = None

    def beat(self, command: Command | None, every: float) -> None:
        """From now on, send this; None: nothing."""
        with self._changed:
            self._command, self._every = command, every
            if self._thread is None and command is not None:
                self._thread = threading.Thread(target=self._work, name="tokenkeep-pulse", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Stop, and wait until that is so."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        sent_at = time.monotonic()
        while True:
            with self._changed:
                left = None if self._command is None else sent_at + self._every - time.monotonic()
                if not self._closed and (left is None or left > 0):
                    self._changed.wait(left)
                if self._closed:
                    return
                command = self._command
                if command is None or time.monotonic() < sent_at + self._every:
                    continue
            sent_at = time.monotonic()
            with suppress(ClientError):  # the flow meets the same fault, and knows what to do
                self._wire.carry_out(command)
