"""A load balancer as small as can be: it passes connections on to whoever said that it is ready, and tries nobody twice."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Self

import httpx

_LOOK_EVERY_S = 0.1
_PATIENCE_S = 2.0
_MISSES = 2
"""One alone may come from a machine that stood still for as long as an API waits for its database."""
_HOST = "127.0.0.1"


@dataclass
class Balancer:
    """Passes TCP connections on, in turn to each port that answered `/readyz` with 200 a moment ago."""

    ports: set[int] = field(default_factory=set)
    ready: set[int] = field(default_factory=set)
    open: dict[int, int] = field(default_factory=dict)
    """How many connections lead to each port now."""
    passed: dict[int, int] = field(default_factory=dict)
    refused: int = 0
    """Connections for which there was nobody, or who was chosen did not take them."""
    _server: asyncio.Server | None = None
    _looking: set[asyncio.Task[None]] = field(default_factory=set)
    _turns: "count[int]" = field(default_factory=count)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, _HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for looking in self._looking:
            looking.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://{_HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def until_ready(self, port: int) -> None:
        """Wait until requests may go there."""
        self.ports.add(port)
        self._looking.add(asyncio.create_task(self._look(port)))
        async with asyncio.timeout(60):
            while port not in self.ready:  # noqa: ASYNC110 - what it asks are other processes
                await asyncio.sleep(0.05)

    async def take_out(self, port: int) -> None:
        """Send nothing there any more, and wait until nothing is open."""
        self.ports.discard(port)
        async with asyncio.timeout(60):
            while port in self.ready or self.open.get(port):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)

    async def _look(self, port: int) -> None:
        """At each by itself: one that is slow must not keep the news of another."""
        async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
            misses = 0
            while port in self.ports:
                misses += 1
                with suppress(httpx.TransportError):
                    if (await client.get(f"http://{_HOST}:{port}/readyz")).status_code == httpx.codes.OK:
                        self.ready.add(port)
                        misses = 0
                if misses >= _MISSES:
                    self.ready.discard(port)
                await asyncio.sleep(_LOOK_EVERY_S)
        self.ready.discard(port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.ready:
            self.refused += 1
            writer.close()
            return
        port = sorted(self.ready)[next(self._turns) % len(self.ready)]
        try:
            there, back = await asyncio.open_connection(_HOST, port)
        except OSError:
            self.refused += 1
            writer.close()
            return
        self.open[port] = self.open.get(port, 0) + 1
        self.passed[port] = self.passed.get(port, 0) + 1
        try:
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        finally:
            self.open[port] -= 1


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while not writer.is_closing() and (piece := await reader.read(65_536)):
            writer.write(piece)
            await writer.drain()
    writer.close()
