"""Batches that form by themselves: whoever comes while one is under way goes into the next."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

_SINGLES_AT_ONCE = 4
"""How many items of a failed batch are run at once, each by itself: a locked row holds up few of its neighbours."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Natural group commit, without a timer.

    A lone item goes at once, in a batch of one; those that come in the same turn of the event loop go with it. Items that
    arrive while as many batches as may be are under way wait for one of them, and go together. With `patience_s`, in
    seconds, they wait for the latest one even where there is room, until it takes longer than that or they fill a batch: few
    large batches cost less than many small ones, and one that hangs holds nobody up for long. Each caller awaits its own
    result. If `run` raises for a batch of several, its items are run one by one, so that a bad one fails alone. A caller that
    is cancelled does not stop the batch: the work is the batcher's, not the caller's.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        limit: int = 200,
        concurrency: int = 1,
        patience_s: float = 0.0,
    ) -> None:
        self._run = run
        self._limit = limit
        self._concurrency = concurrency
        self._patience_s = patience_s
        self._latest_begun = -math.inf
        self._reminder: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._beginning = 0

    async def __call__(self, item: Item) -> Result:
        """The result for this item, or the error that it alone caused."""
        return await self.submit(item)

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """The same, to be awaited later."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._start()
        return future

    async def drain(self) -> None:
        """Wait until nothing is waiting or under way."""
        while self._running:
            await asyncio.wait(set(self._running))

    def _start(self) -> None:
        while (
            len(self._waiting) > self._beginning * self._limit
            and len(self._running) < self._concurrency
            and not self._is_patient()
        ):
            self._beginning += 1
            loop = asyncio.get_running_loop()
            self._latest_begun = loop.time()
            task = loop.create_task(self._begin())
            self._running.add(task)
            task.add_done_callback(self._finished)

    def _is_patient(self) -> bool:
        """Whether what waits does so for the batch under way; it is looked at again when that one is late."""
        if not self._patience_s or not self._running or len(self._waiting) >= (self._beginning + 1) * self._limit:
            return False
        loop = asyncio.get_running_loop()
        until = self._latest_begun + self._patience_s
        if loop.time() >= until:
            return False
        if self._reminder is None:
            self._reminder = loop.call_at(until, self._remind)
        return True

    def _remind(self) -> None:
        self._reminder = None
        self._start()

    async def _begin(self) -> None:
        self._beginning -= 1
        batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        if batch:
            await self._work(batch)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._start()

    async def _work(self, batch: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        try:
            results = await self._run([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed to the callers, each of whom sees its own
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return
            alone = asyncio.Semaphore(_SINGLES_AT_ONCE)

            async def work_alone(pair: tuple[Item, asyncio.Future[Result]]) -> None:
                async with alone:
                    await self._work([pair])

            await asyncio.gather(*(work_alone(pair) for pair in batch))
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)


def _fail(future: "asyncio.Future[Result]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
