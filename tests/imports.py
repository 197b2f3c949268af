"""Imports as a client makes them that sends and reads at the same time, without a network between."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message

from api_service import ADMIN_KEY, Service

Piece = bytes | Callable[[], Awaitable[None]]


@dataclass
class Imported:
    """What came back. `whole` is whether the stream had a proper end."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False

    @property
    def results(self) -> list[dict[str, Any]]:
        assert self.status == 200, f"{self.status} {self.body.decode()}"
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def problem(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        return document

    def statuses(self) -> list[str]:
        results = self.results
        assert [one["line"] for one in results] == list(range(1, len(results) + 1))
        return [one["status"] for one in results]


@dataclass
class Import:
    """One request. `pieces` are sent as the API asks for them; `on_result` is awaited for each piece of the answer."""

    service: Service
    pieces: Iterable[bytes] | AsyncIterator[bytes]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    on_answer: Callable[[bytes], Awaitable[None]] | None = None
    leaves: bool = False
    """Whether the client goes away after the last piece, instead of ending the body."""
    answer: Imported = field(default_factory=Imported)
    asked: int = 0

    async def __call__(self) -> Imported:
        given = {
            "authorization": f"Bearer {ADMIN_KEY}",
            "x-tokenkeep-environment": self.service.environment,
            "content-type": "application/x-ndjson",
            "transfer-encoding": "chunked",
            **{name.lower(): value for name, value in self.headers.items()},
        }
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/accounts/import",
            "raw_path": b"/v1/accounts/import",
            "query_string": "&".join(f"{name}={value}" for name, value in self.query.items()).encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in given.items() if value],
            "client": ("192.0.2.7", 4711),
            "server": ("api.test", 80),
        }
        coming = self._coming()

        async def receive() -> Message:
            self.asked += 1
            return await anext(coming)

        async def send(message: Message) -> None:
            await self._take(message)

        await self.service.app(scope, receive, send)
        return self.answer

    async def _coming(self) -> AsyncIterator[Message]:
        if isinstance(self.pieces, AsyncIterator):
            async for piece in self.pieces:
                yield {"type": "http.request", "body": piece, "more_body": True}
        else:
            for piece in self.pieces:
                yield {"type": "http.request", "body": piece, "more_body": True}
        if self.leaves:
            yield {"type": "http.disconnect"}
        yield {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()

    async def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.answer.status = message["status"]
            self.answer.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            return
        self.answer.body += message.get("body", b"")
        self.answer.whole = not message.get("more_body", False)
        if self.on_answer is not None:
            await self.on_answer(message.get("body", b""))


def a_line(name: str, **changes: Any) -> bytes:
    """A line about a live token set of this name; `source_id` is left to the request unless given."""
    tokens = {"access_token": f"canary-access-{name}", "refresh_token": f"canary-refresh-{name}", "expires_in": 3600}
    body = {"credentials": tokens, **changes}
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode() + b"\n"
