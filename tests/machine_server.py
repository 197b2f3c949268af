"""A token endpoint for machines: takes those that it knows, remembers what it was asked."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson

from form_posts import FormPost, read_form_post
from loopback_server import LoopbackServer


@dataclass
class MachineServer(LoopbackServer):
    """Grants to everybody but to those who are `refused`, by a text that their request holds.

    `script` holds answers that come first, each a status and a document.
    """

    path: ClassVar[str] = "/token"

    lifetime_s: int | None = 3600
    refused: dict[str, str] = field(default_factory=dict)
    posts: list[FormPost] = field(default_factory=list)
    script: deque[tuple[int, Any]] = field(default_factory=deque)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        post = await read_form_post(reader)
        self.posts.append(post)
        status, document = self.script.popleft() if self.script else self._answered(post)
        body = orjson.dumps(document)
        head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        return True

    def _answered(self, post: FormPost) -> tuple[int, Any]:
        told = f"{post.form} {post.headers}"
        for text, error in self.refused.items():
            if text in told:
                return (401 if error == "invalid_client" else 400), {"error": error}
        document: dict[str, Any] = {"access_token": f"machine-{len(self.posts)}", "token_type": "Bearer"}
        if self.lifetime_s is not None:
            document["expires_in"] = self.lifetime_s
        return 200, document
