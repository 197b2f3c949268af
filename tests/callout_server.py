"""An address of a developer's own that refreshes for tokenkeep: it checks each message's signature, and answers as it is told."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from standardwebhooks.webhooks import Webhook

from loopback_server import LoopbackServer
from token_server import Said, says

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass
class CalloutServer(LoopbackServer):
    """Says what the script holds; when it is empty, it rotates, as `TokenServer` does, or asks `answer`."""

    path: ClassVar[str] = "/refresh"

    secret: str = SECRET
    headers: list[dict[str, str]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    script: deque[Said] = field(default_factory=deque)
    answer: Callable[[dict[str, Any]], Awaitable[Said]] | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None

    @property
    def presented(self) -> list[str]:
        return [message["refresh_token"] for message in self.messages]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        said = await self._said(reader)
        if not said.drop:
            lines = [f"HTTP/1.1 {said.status} -", *(f"{name}: {value}" for name, value in said.headers)]
            lines += [f"content-length: {len(said.body)}", "connection: close"]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + said.body)
            await writer.drain()
        return False

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
