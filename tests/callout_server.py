"""An address of a developer's own that refreshes for tokenkeep: it checks each message's signature, and answers as it is told."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from standardwebhooks.webhooks import Webhook

from token_server import Said, says

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass
class CalloutServer:
    """Says what the script holds; when it is empty, it rotates, as `TokenServer` does, or asks `answer`."""

    secret: str = SECRET
    headers: list[dict[str, str]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    script: deque[Said] = field(default_factory=deque)
    answer: Callable[[dict[str, Any]], Awaitable[Said]] | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None
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
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/refresh"

    @property
    def presented(self) -> list[str]:
        return [message["refresh_token"] for message in self.messages]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            said = await self._said(reader)
            if not said.drop:
                lines = [f"HTTP/1.1 {said.status} -", *(f"{name}: {value}" for name, value in said.headers)]
                lines += [f"content-length: {len(said.body)}", "connection: close"]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + said.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _said(self, reader: asyncio.StreamReader) -> Said:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        message = Webhook(self.secret).verify(body, headers)  # raises when it is not signed as it must be
        self.headers.append(headers)
        self.messages.append(message)
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.script:
            return self.script.popleft()
        return rotated(message) if self.answer is None else await self.answer(message)


def rotated(message: dict[str, Any]) -> Said:
    name, _, number = message["refresh_token"].rpartition(".")
    successor = f"{name}.{int(number) + 1}"
    return says(200, {"access_token": f"access-{successor}", "refresh_token": successor, "expires_in": 3600})
