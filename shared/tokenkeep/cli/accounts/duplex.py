"""A POST whose answer is read while its body is still being sent.

The usual clients read an answer once they have sent everything. An import's results would fill the network's buffers by
then, and each side would wait for the other.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import h11

from tokenkeep.cli.http_api.failure import ApiRefused, BrokenOff

_CONNECT_S = 10.0
_SILENCE_S = 120.0
"""The API lets a batch wait for its database for a quarter of a minute, and for a slow client for a whole one."""
_PIECE = 65_536
_LONGEST_PROBLEM = 65_536


class Answer:
    """The answer, as it comes."""

    def __init__(self, reader: asyncio.StreamReader, connection: h11.Connection) -> None:
        self._reader = reader
        self._connection = connection
        self.status = 0

    async def begin(self) -> None:
        """Wait for its status."""
        event = await self._next()
        while isinstance(event, h11.InformationalResponse):
            event = await self._next()
        if not isinstance(event, h11.Response):
            raise _broken()
        self.status = event.status_code

    async def body(self) -> bytes:
        """What a short answer says: one that is no stream of results."""
        content = bytearray()
        try:
            async for piece in self.pieces():
                content += piece
                if len(content) > _LONGEST_PROBLEM:
                    break
        except BrokenOff:
            pass  # what is left of the request was not read, so the connection may go before all of the answer is here
        return bytes(content)

    async def lines(self) -> AsyncIterator[bytes]:
        """Its lines. Raises `BrokenOff` when it ends before its end."""
        rest = b""
        async for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line

    async def pieces(self) -> AsyncIterator[bytes]:
        """What came, as it came."""
        while True:
            event = await self._next()
            if isinstance(event, h11.EndOfMessage):
                return
            if not isinstance(event, h11.Data):
                raise _broken()
            yield bytes(event.data)

    async def _next(self) -> object:
        try:
            async with asyncio.timeout(_SILENCE_S):
                while (event := self._connection.next_event()) is h11.NEED_DATA:
                    self._connection.receive_data(await self._reader.read(_PIECE))
        except (OSError, TimeoutError, h11.RemoteProtocolError):
            raise _broken() from None
        return event


@asynccontextmanager
async def posted(
    url: str, headers: Mapping[str, str], body: AsyncIterable[bytes], *, media_type: str
) -> AsyncIterator[Answer]:
    """The answer to a POST of this body, from its status on. Leaving the block hangs up.

    Raises:
        ApiRefused: The URL can't be.
        BrokenOff: There was no connection, or it broke.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"{url} is not the address of an API"
        raise ApiRefused(msg)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        msg = f"{url}: its certificate is not good: {error.verify_message}"
        raise ApiRefused(msg) from None
    except (OSError, TimeoutError) as error:
        msg = f"{parts.scheme}://{parts.netloc} can't be reached: {type(error).__name__}"
        raise BrokenOff(msg) from None
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="POST",
        target=f"{parts.path}?{parts.query}" if parts.query else parts.path,
        headers=[
            ("Host", parts.netloc.rpartition("@")[2]),
            ("Content-Type", media_type),
            ("Transfer-Encoding", "chunked"),
            *headers.items(),
        ],
    )
    sending = asyncio.create_task(_send(writer, connection, request, body))
    # A body that can't be sent to its end must not leave us waiting for an answer to it.
    sending.add_done_callback(lambda task: writer.transport.abort() if task.cancelled() or task.exception() else None)
    try:
        answer = Answer(reader, connection)
        await answer.begin()
        yield answer
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()


async def _send(
    writer: asyncio.StreamWriter, connection: h11.Connection, request: h11.Request, body: AsyncIterable[bytes]
) -> None:
    """Send it all, at the pace of the network."""
    writer.write(connection.send(request) or b"")
    async for piece in body:
        writer.write(connection.send(h11.Data(data=piece)) or b"")
        await writer.drain()
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()


def _broken() -> BrokenOff:
    return BrokenOff("the connection to the API broke off")
