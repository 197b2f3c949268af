"""A resource that says whose a token is, as an identity provider's `/me` does, and remembers who asked."""

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar

import orjson

from loopback_server import LoopbackServer
from raw_http import http

UNKNOWN_TOKEN = http(
    b'{"error": "invalid_token"}',
    "content-type: application/json",
    'www-authenticate: Bearer error="invalid_token"',
    status="401 Unauthorized",
)


_CREDENTIALS = re.compile(
    rb'(?:authorization: Bearer |authorization: Basic |x-api-key: |authorization: OAuth [^\r]*oauth_token=")([^"\r]*)'
)


@dataclass
class WhoamiServer(LoopbackServer):
    """Knows the `people` by their access tokens, API keys or encoded passwords, or by the token of a signature. What is in the `script` is answered first; empty bytes close without a word."""

    path: ClassVar[str] = "/me"

    people: dict[str, object] = field(default_factory=dict)
    script: deque[bytes] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    gate: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        found = _CREDENTIALS.search(head)
        token = "" if found is None else found[1].decode()
        self.heads.append(head)
        self.asked.append(token)
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        writer.write(self.script.popleft() if self.script else self._told(token))
        await writer.drain()
        return False

    def _told(self, token: str) -> bytes:
        if token not in self.people:
            return UNKNOWN_TOKEN
        return http(orjson.dumps({"sub": self.people[token], "name": "x"}), "content-type: application/json")
