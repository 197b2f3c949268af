"""A revocation endpoint that says what the test tells it to, and remembers what it was told to revoke."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Asked:
    """One request, as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body).items()}


@dataclass
class RevocationServer:
    """Answers 200 with an empty body, as RFC 7009 has it, or what the script says: a status, a body, perhaps headers.

    With a `gate`, it answers when that is set.
    """

    asked: list[Asked] = field(default_factory=list)
    script: deque[tuple[int, bytes] | tuple[int, bytes, dict[str, str]]] = field(default_factory=deque)
    gate: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def origin(self) -> str:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/revoke"

    @property
    def revoked(self) -> list[dict[str, str]]:
        return [one.form for one in self.asked]

    @property
    def authorizations(self) -> list[str]:
        return [one.headers.get("authorization", "") for one in self.asked]

    @property
    def tokens(self) -> list[str]:
        return [form["token"] for form in self.revoked]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            method, target, _ = first.split(" ")
            headers = dict(line.split(": ", 1) for line in lines if line)
            body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
            self.asked.append(Asked(method, target, headers, body))
            self.arrived.set()
            if self.gate is not None:
                await self.gate.wait()
            status, said, *more = self.script.popleft() if self.script else (200, b"")
            named = "".join(f"{name}: {value}\r\n" for name, value in (more[0] if more else {}).items())
            writer.write(f"HTTP/1.1 {status} -\r\n{named}content-length: {len(said)}\r\n\r\n".encode() + said)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
