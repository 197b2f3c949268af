"""One piece of work for all who ask for the same at the same time."""

import asyncio
import copy
import threading
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from tokenkeep.client.errors import ClientError, DeadlineExceeded, Unreachable

Result = TypeVar("Result")
Key = tuple[Hashable, ...]


def _own(error: BaseException) -> BaseException:
    """Who waited raises an error of his own: a traceback grows where it is raised."""
    return copy.copy(error).with_traceback(error.__traceback__) if isinstance(error, ClientError) else error


class Flight:
    """Work under way. `spoiled`: what comes of it was overtaken, and is good for those who wait already, and nobody else."""

    def __init__(self) -> None:
        self.spoiled = False


class _Awaited(Flight, Generic[Result]):
    def __init__(self) -> None:
        super().__init__()
        self._landed = threading.Event()
        self._result: Result | None = None
        self._error: Exception | None = None
        self.is_abandoned = False

    def land(self, result: Result) -> None:
        self._result = result
        self._landed.set()

    def fail(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self._error = error
        else:
            self.is_abandoned = True  # whoever worked is ended from outside, which is nothing to the others
        self._landed.set()

    def wait(self, timeout: float) -> Result:
        if not self._landed.wait(timeout):
            raise DeadlineExceeded("no answer in time")
        if self._error is not None:
            raise _own(self._error)
        return self._result  # type: ignore[return-value]  # it has landed


class Flights(Generic[Result]):
    """Flights of threads. `lock` guards what they bring too."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._under_way: dict[Key, _Awaited[Result]] = {}

    def join(
        self, key: Key, work: Callable[[Flight], Result], look: Callable[[], Result | None], timeout: float
    ) -> Result:
        """What `look` finds at once, or what comes of the work, of which there is one for each key at a time.

        Raises what the work raises, and `DeadlineExceeded` if another thread's takes longer than `timeout`, in seconds.
        """
        while True:  # again only when whoever worked was ended from outside, and this one may take its place
            with self.lock:
                found = look()
                if found is not None:
                    return found
                flight = self._under_way.get(key)
                is_ours = flight is None
                if flight is None:
                    flight = self._under_way[key] = _Awaited()
            if is_ours:
                return self._fly(key, flight, work)
            result = flight.wait(timeout)
            if not flight.is_abandoned:
                return result

    def spoil(self, first: Hashable) -> None:
        """Nobody else joins flights whose key begins with this. The lock is held by the caller."""
        for key in [key for key in self._under_way if key[0] == first]:
            self._under_way.pop(key).spoiled = True

    def spoil_all(self) -> None:
        """Nobody else joins any flight. The lock is held by the caller."""
        for flight in self._under_way.values():
            flight.spoiled = True
        self._under_way.clear()

    def _fly(self, key: Key, flight: _Awaited[Result], work: Callable[[Flight], Result]) -> Result:
        try:
            result = work(flight)
        except BaseException as error:
            self._end(key, flight)
            flight.fail(error)
            raise
        self._end(key, flight)
        flight.land(result)
        return result

    def _end(self, key: Key, flight: _Awaited[Result]) -> None:
        with self.lock:
            if self._under_way.get(key) is flight:
                del self._under_way[key]


class AsyncFlights(Generic[Result]):
    """Flights of tasks. One that is cancelled takes nothing from the others: the work goes on."""

    def __init__(self) -> None:
        self._under_way: dict[Key, tuple[Flight, asyncio.Task[Result]]] = {}
        self._tasks: set[asyncio.Task[Result]] = set()

    async def join(self, key: Key, work: Callable[[Flight], Awaitable[Result]], timeout: float) -> Result:  # noqa: ASYNC109 - one waiter's, not the work's
        """What comes of the work, of which there is one for each key at a time.

        Raises what the work raises, `DeadlineExceeded` if it takes longer than `timeout`, in seconds, and `Unreachable` if it
        was given up because the client was closed.
        """
        if key not in self._under_way:
            flight = Flight()
            task = asyncio.ensure_future(self._fly(key, flight, work))
            self._under_way[key] = (flight, task)
            self._tasks.add(task)
            task.add_done_callback(self._landed)
        task = self._under_way[key][1]
        # Not its own await: who is cancelled must leave the work be, and who is not must not look as if he were.
        await asyncio.wait({task}, timeout=timeout)
        if not task.done():
            raise DeadlineExceeded("no answer in time")
        if task.cancelled():
            raise Unreachable("the client was closed")
        error = task.exception()
        if error is not None:
            raise _own(error)
        return task.result()

    def spoil(self, first: Hashable) -> None:
        """Nobody else joins flights whose key begins with this."""
        for key in [key for key in self._under_way if key[0] == first]:
            self._under_way.pop(key)[0].spoiled = True

    def spoil_all(self) -> None:
        """Nobody else joins any flight."""
        for flight, _ in self._under_way.values():
            flight.spoiled = True
        self._under_way.clear()

    async def close(self) -> None:
        """Give up what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fly(self, key: Key, flight: Flight, work: Callable[[Flight], Awaitable[Result]]) -> Result:
        try:
            return await work(flight)
        finally:
            held = self._under_way.get(key)
            if held is not None and held[0] is flight:
                del self._under_way[key]

    def _landed(self, task: "asyncio.Task[Result]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; if nobody does any more, that is no news
