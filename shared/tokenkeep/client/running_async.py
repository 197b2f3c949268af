"""Carries out a subscription on an event loop."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from tokenkeep.client.effects import Beat, Call, Command, Effect, Flow, Handle, Pause
from tokenkeep.client.errors import ClientError
from tokenkeep.client.event import Event
from tokenkeep.client.performing import perform_async
from tokenkeep.client.retrying import Done, Failed, Outcome, described, outcome_of
from tokenkeep.client.running import Subscribing
from tokenkeep.domain.errors import TokenkeepError

AsyncHandler = Callable[[Event], Awaitable[None]]


class AsyncWire(Protocol):
    """Input and output for one way of being told."""

    async def carry_out(self, effect: Effect) -> Any:
        """The answer to an effect. Raises `ClientError`, or `CursorExpired`."""

    async def close(self) -> None:
        """Give back what is open."""


class AsyncSubscription:
    """Gives events to a handler, one after the other, and acknowledges each when the handler has returned.

    It runs once. What the handler raises is no error of `run`: the event is tried again, and in the end becomes a dead letter.
    A handler that blocks the event loop for longer than `lease` makes the others believe that this consumer is dead.
    """

    def __init__(
        self,
        make: Callable[[Callable[[], bool]], Subscribing],
        wire: AsyncWire,
        describe: Callable[[BaseException], str] = described,
        handler_timeout: float | None = None,
    ) -> None:
        self._wire = wire
        self._describe = describe
        self._handler_timeout = handler_timeout
        self._stop = asyncio.Event()
        self._subscribing = make(self._stop.is_set)
        self._pulse: asyncio.Task[None] | None = None
        self._ran = False

    async def run(self, handler: AsyncHandler) -> None:
        """Consume until `stop` is called, or the task is cancelled: either way the handler under way may end first.

        A second cancellation does not wait for it; its event is then told again.

        Raises:
            StreamRefused: Redis refuses for good.
            ApiProblem: The API refuses.
            CursorExpired: Events after the cursor are not kept any more.
            GaveUp: An event could not be handled, and there is no place for dead letters.
            TypeError: The handler is no coroutine function. Its event is not acknowledged.
        """
        if self._ran:
            raise RuntimeError("a subscription runs once: make another one")
        self._ran = True
        work = asyncio.create_task(self._work(handler))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self.stop()
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                work.cancel()
                await asyncio.wait({work})
                raise
            raise

    def stop(self) -> None:
        """Have `run` return once the handler under way has, and its event is acknowledged.

        Call it on the event loop (`loop.add_signal_handler(SIGTERM, subscription.stop)`), also before `run`.
        """
        self._stop.set()

    @asynccontextmanager
    async def running(self, handler: AsyncHandler) -> AsyncIterator["AsyncSubscription"]:
        """Consume in a task of its own for as long as the block lasts. What ended it early is raised at the block's end."""
        task = asyncio.create_task(self.run(handler))
        try:
            yield self
        except (
            BaseException
        ):  # whatever ends the block counts more than what the consumer did, and goes on to the caller
            await self._ended(task)
            if not task.cancelled():
                task.exception()
            raise
        await self._ended(task)
        await task

    async def _ended(self, task: "asyncio.Task[None]") -> None:
        """Have the consumer stop, and wait for that. Whoever is cancelled meanwhile does not wait for its handler."""
        self.stop()
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            for _ in range(2):  # the first one lets the handler end, the second does not
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait({task})
            raise

    async def _work(self, handler: AsyncHandler) -> None:
        try:
            await self._drive(self._subscribing.run(), handler)
        except (
            Exception
        ):  # whatever ended it, the group is left, so that others need not wait for the lease; it goes on
            with suppress(TokenkeepError):
                await self._drive(self._subscribing.part(), handler)
            raise
        finally:
            await self._beat(None, 0)
            await self._wire.close()

    async def _drive(self, flow: Flow, handler: AsyncHandler) -> None:
        await perform_async(flow, lambda effect: self._do(effect, handler))

    async def _do(self, effect: Effect, handler: AsyncHandler) -> Any:
        match effect:
            case Handle(event):
                return await self._handle(handler, event)
            case Pause(seconds):
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._stop.wait()
                return None
            case Beat(command, every):
                return await self._beat(command, every)
            case Command(idle=True) | Call(idle=True):
                return await self._unless_stopped(effect)
            case _:
                return await self._wire.carry_out(effect)

    async def _handle(self, handler: AsyncHandler, event: Event) -> Outcome:
        is_awaitable = True
        try:
            async with asyncio.timeout(self._handler_timeout):
                answer = handler(event)
                is_awaitable = inspect.isawaitable(answer)
                if is_awaitable:
                    await answer
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return Failed("CancelledError")  # something within the handler was cancelled, not we
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is about its event
            return outcome_of(error, self._describe)
        if not is_awaitable:
            raise TypeError("the handler blocks the event loop: use Tokenkeep, or a coroutine function")
        return Done()

    async def _beat(self, command: Command | None, every: float) -> None:
        pulse, self._pulse = self._pulse, None
        if pulse is not None:
            pulse.cancel()
            await asyncio.wait({pulse})
        if command is not None:
            self._pulse = asyncio.create_task(self._beating(command, every))

    async def _beating(self, command: Command, every: float) -> None:
        # Before Python 3.12 `asyncio.wait_for`, by which redis-py sends, may swallow a cancellation.
        while self._pulse is asyncio.current_task():
            await asyncio.sleep(every)
            with suppress(ClientError):  # the flow meets the same fault, and knows what to do
                await self._wire.carry_out(command)

    async def _unless_stopped(self, effect: Effect) -> Any:
        """The answer, or None if the consumer is to stop before it comes."""
        answering = asyncio.ensure_future(self._wire.carry_out(effect))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({answering, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return answering.result() if answering.done() else None
        finally:
            for task in (answering, stopped):
                task.cancel()
            await asyncio.wait({answering, stopped})
