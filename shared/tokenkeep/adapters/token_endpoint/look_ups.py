"""Names looked up in threads of one's own, so that a resolver that keeps silent holds up nobody else's look-ups.

The event loop's own look-ups share a handful of threads among all that the process does. A question can't be taken back: its
thread is busy until the system gives up.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Found = Sequence[tuple[Any, ...]]
"""As `socket.getaddrinfo` gives it."""

LookUp = Callable[[str, int], Awaitable[Found]]
"""Asks for the addresses of a host at a port, for TCP. Raises what `getaddrinfo` raises."""


async def look_up_by_the_loop(host: str, port: int) -> Found:
    """By the event loop, in the threads that everybody shares."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


def _ask(host: str, port: int) -> Found:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


class OwnLookUps:
    """Asks in so many threads of its own; whoever asks what is being asked already shares the answer.

    So each name has one thread at most, however many wait for it.
    """

    def __init__(self, threads: int, *, ask: Callable[[str, int], Found] = _ask) -> None:
        self._ask = ask
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="look-up")
        self._asked: dict[tuple[str, int], asyncio.Future[Found]] = {}

    async def __call__(self, host: str, port: int) -> Found:
        """The addresses of a host. Whoever gives up waiting takes nothing away from the others."""
        key = (host, port)
        asking = self._asked.get(key)
        if asking is None:
            loop = asyncio.get_running_loop()
            asking = asyncio.ensure_future(loop.run_in_executor(self._threads, self._ask, host, port))
            self._asked[key] = asking
            asking.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(asking)

    def close(self) -> None:
        """Ask nothing more. What is being asked ends when the system gives up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _end(self, key: tuple[str, int], done: "asyncio.Future[Found]") -> None:
        del self._asked[key]
        if not done.cancelled():
            done.exception()  # it is told to those who wait, if there are any left
