"""A server that says exactly the bytes it is told to."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: "RawServer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer

    @property
    def client(self) -> str | None:
        """The name in the certificate that the client has shown."""
        return client_name(self._writer)

    async def request(self) -> bytes:
        """The next whole request; it is noted by the server. Raises IncompleteReadError when the client has gone."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        message = head + await self._reader.readexactly(length)
        self._server.requests.append(message)
        self._server.asked.set()
        return message

    async def piece(self) -> bytes:
        """What comes next, whatever it is."""
        return await self._reader.read(65_536)

    async def say(self, data: bytes) -> None:
        """Writes these bytes and waits until the socket has taken them."""
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """Closes with a RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def cut(self) -> None:
        """Closes the socket, over TLS without a close_notify, and returns once that is done."""
        self._writer.transport.abort()
        await self._writer.wait_closed()

    def close(self) -> None:
        """Closes in order."""
        self._writer.close()

    async def gone(self) -> None:
        """Returns once the client has closed."""
        while await self._reader.read(65_536):
            pass


def client_name(writer: asyncio.StreamWriter) -> str | None:
    """The name in the certificate that a connection's client has shown; None if it showed none."""
    certificate = writer.get_extra_info("peercert")
    if not certificate:
        return None
    subject = dict(part for parts in certificate["subject"] for part in parts)
    return str(subject["commonName"])


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Listens on loopback and runs a script for each connection; closes the connection when the script ends."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.port = 0
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def url(self, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}/token"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            await self._script(Peer(self, reader, writer))
            writer.close()
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            writer.transport.abort()


def answering(*answers: bytes) -> Script:
    """A script that gives these answers, one per request, and then waits for the client to leave."""

    async def script(peer: Peer) -> None:
        for answer in answers:
            await peer.request()
            await peer.say(answer)
        await peer.gone()

    return script


def closing_after(answer: bytes) -> Script:
    """A script that gives one answer and closes in order."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(answer)

    return script


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer with a content-length."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body
