"""Serves a provider on loopback, from the running event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tokenkeep.adapters.demo_provider.faults import DROP
from tokenkeep.adapters.demo_provider.provider import DemoProvider

_DRAIN_S = 2
_HOST = "127.0.0.1"
_KEEP_ALIVE_S = 75
"""As common web servers have it: longer than the pause between two refreshes of short tokens, or each would find its
connection about to be closed."""


class ProviderServer:
    """One provider at one port. It handles no signals: who started it stops it."""

    def __init__(self, provider: DemoProvider, *, port: int = 0) -> None:
        self.provider = provider
        self._port = port
        self._server = _QuietServer(
            uvicorn.Config(
                provider.app,
                http=DroppingProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_DRAIN_S,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens; no slash at its end. The port is the real one once it was started."""
        return f"http://{_HOST}:{self._port}"

    async def start(self) -> None:
        """Listen and serve.

        Raises:
            OSError: The port is taken.
        """
        listener = socket.create_server((_HOST, self._port))
        self._port = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))

    async def stop(self) -> None:
        """Finish the requests under way, for up to 2 s, and free the port."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving
            self._serving = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class DroppingProtocol(HttpToolsProtocol):
    """HTTP/1.1 with an ASGI extension that closes the connection without an answer."""

    def on_message_begin(self) -> None:
        """A request begins, and with it its scope."""
        super().on_message_begin()
        self.scope["extensions"] = {DROP: self._drop}  # type: ignore[dict-item]  # an extension holds what it likes

    def _drop(self) -> None:
        self.transport.abort()


class _QuietServer(uvicorn.Server):
    """A uvicorn server inside a process that has its own signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
