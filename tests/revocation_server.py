"""A revocation endpoint that says what the test tells it to, and remembers what it was told to revoke."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from form_posts import read_form_post


@dataclass
class RevocationServer:
    """Answers 200 with an empty body, as RFC 7009 has it, or what the script says: a status and a body."""

    revoked: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    script: deque[tuple[int, bytes]] = field(default_factory=deque)
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
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}/revoke"

    @property
    def tokens(self) -> list[str]:
        return [form["token"] for form in self.revoked]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            post = await read_form_post(reader)
            self.revoked.append(post.form)
            self.authorizations.append(post.headers.get("authorization", ""))
            status, body = self.script.popleft() if self.script else (200, b"")
            writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
