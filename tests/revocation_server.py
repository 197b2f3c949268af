"""A revocation endpoint that says what the test tells it to, and remembers what it was told to revoke."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import parse_qs

from loopback_server import LoopbackServer


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
class RevocationServer(LoopbackServer):
    """Answers 200 with an empty body, as RFC 7009 has it, or what the script says: a status, a body, perhaps headers.

    With a `gate`, it answers when that is set.
    """

    path: ClassVar[str] = "/revoke"

    asked: list[Asked] = field(default_factory=list)
    script: deque[tuple[int, bytes] | tuple[int, bytes, dict[str, str]]] = field(default_factory=deque)
    gate: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def revoked(self) -> list[dict[str, str]]:
        return [one.form for one in self.asked]

    @property
    def authorizations(self) -> list[str]:
        return [one.headers.get("authorization", "") for one in self.asked]

    @property
    def tokens(self) -> list[str]:
        return [form["token"] for form in self.revoked]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
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
        return False
