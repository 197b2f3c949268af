"""A token endpoint that answers every refresh at once, in this process."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

_HOST = "127.0.0.1"
_MOST_BYTES = 64 * 1024
_LENGTH = b"content-length:"


@asynccontextmanager
async def token_endpoint() -> AsyncIterator[str]:
    """Its URL, for the block's length."""
    numbers = itertools.count()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:  # until the client closes the connection
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(_body_length(head))
                number = next(numbers)
                body = orjson.dumps(
                    {
                        "access_token": f"access-{number}",
                        "refresh_token": f"refresh-of-{number}",
                        "token_type": "Bearer",
                        "expires_in": 3600,
                    }
                )
                start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                writer.write(start + str(len(body)).encode() + b"\r\n\r\n" + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, _HOST, 0, limit=_MOST_BYTES)
    try:
        yield f"http://{_HOST}:{server.sockets[0].getsockname()[1]}/token"
    finally:
        server.close()


def _body_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(_LENGTH):
            return int(line.removeprefix(_LENGTH))
    return 0
