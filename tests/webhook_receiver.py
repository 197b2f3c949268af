"""An endpoint of somebody's own: it checks each message's signature, and answers as it is told."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from standardwebhooks.webhooks import Webhook

from loopback_server import LoopbackServer
from token_server import Said


@dataclass(frozen=True)
class Received:
    """One message as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verify(self, secret: str) -> dict[str, Any]:
        """The event, if the message is signed with this secret; raises otherwise."""
        document: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return document


@dataclass
class Receiver(LoopbackServer):
    """Answers with what the script holds, else by `answer`, else 204. While there is a `gate` it answers nothing before it is set."""

    path: ClassVar[str] = "/hook"

    received: list[Received] = field(default_factory=list)
    script: deque[Said] = field(default_factory=deque)
    answer: Callable[[Received], Awaitable[Said]] | None = None
    gate: asyncio.Event | None = None
    under_way: int = 0
    most_under_way: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.received]

    async def come(self, count: int, timeout_s: float = 30) -> list[Received]:
        """Wait until so many messages have come."""
        async with asyncio.timeout(timeout_s), self._news:
            await self._news.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
        message = Received(first.split(" ")[1], headers, await reader.readexactly(int(headers["content-length"])))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            async with self._news:
                self.received.append(message)
                self._news.notify_all()
            said = self.script.popleft() if self.script else await self._said(message)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.under_way -= 1
        if said.drop:
            return False
        told = [f"HTTP/1.1 {said.status} -", *(f"{name}: {value}" for name, value in said.headers)]
        told.append(f"content-length: {len(said.body)}")
        writer.write("\r\n".join(told).encode() + b"\r\n\r\n" + said.body)
        await writer.drain()
        return True

    async def _said(self, message: Received) -> Said:
        return Said(204, headers=()) if self.answer is None else await self.answer(message)
