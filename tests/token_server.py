"""A token endpoint that says what the test tells it to, and remembers what was presented."""

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import uuid4

import orjson

from form_posts import FormPost, read_form_post
from loopback_server import LoopbackServer
from raw_http import client_name


@dataclass(frozen=True)
class Said:
    """One scripted answer. `drop`: close without a word, after the request was read. `delay_s` comes before it."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    delay_s: float = 0.0
    drop: bool = False


def says(status: int, document: object, **headers: str) -> Said:
    """An answer of this status with a JSON body."""
    named = (("content-type", "application/json"), *((k.replace("_", "-"), v) for k, v in headers.items()))
    return Said(status, orjson.dumps(document), named)


@dataclass
class TokenServer(LoopbackServer):
    """Serves scripted answers in turn; when the script is empty, it rotates: each token yields the next one.

    A token, or a code, is `<name>.<n>`; its access token is `access-<name>.<n>`. With `rotates` off, the refresh token stays.
    `clients` are the names in the certificates that came with the `posts`.
    """

    path: ClassVar[str] = "/token"

    lifetime_s: int = 3600
    rotates: bool = True
    tls: ssl.SSLContext | None = None
    presented: list[str] = field(default_factory=list)
    posts: list[FormPost] = field(default_factory=list)
    clients: list[str | None] = field(default_factory=list)
    script: deque[Said] = field(default_factory=deque)
    gate: asyncio.Event | None = None
    on_request: Callable[[], Awaitable[object]] | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = field(default_factory=lambda: uuid4().hex)

    @property
    def url(self) -> str:
        """An address of its own: ports come back in a long run, and a provider's client is known by where its endpoint is."""
        return f"{super().url}/{self.name}"

    def most_presented(self) -> int:
        """How often the most presented refresh token was presented."""
        return max(Counter(self.presented).values(), default=0)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        post = await read_form_post(reader)
        self.posts.append(post)
        self.clients.append(client_name(writer))
        token = post.form.get("refresh_token") or post.form["code"]
        self.presented.append(token)
        self.arrived.set()
        said = self.script.popleft() if self.script else self._rotated(token)
        if self.on_request is not None:
            await self.on_request()
        if self.gate is not None:
            await self.gate.wait()
        if said.delay_s:
            await asyncio.sleep(said.delay_s)
        if said.drop:
            return False
        lines = [
            f"HTTP/1.1 {said.status} -",
            *(f"{k}: {v}" for k, v in said.headers),
            f"content-length: {len(said.body)}",
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + said.body)
        await writer.drain()
        return True

    def _rotated(self, token: str) -> Said:
        name, _, number = token.rpartition(".")
        successor = f"{name}.{int(number) + 1}"
        document = {"access_token": f"access-{successor}", "token_type": "Bearer", "expires_in": self.lifetime_s}
        if self.rotates:
            document["refresh_token"] = successor
        return says(200, document)


Script = Callable[[str], Said]
