"""The lines of a body that streams in, in batches: bounded in number and in bytes, however large the body is."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Sequence

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from tokenkeep.application.import_accounts import Line
from tokenkeep_api.problems import Problem

LONGEST_LINE = 1024 * 1024
MOST_LINES = 250
MOST_BYTES = 4 * LONGEST_LINE
_LINGER_S = 0.02
_END = b"\n"


class _Splitter:
    """Cuts pieces into lines. Of a line that is too long only the hash is kept."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._skipped: tuple[hashlib._Hash, int] | None = None  # its type has no other name
        self._number = 0

    def feed(self, piece: bytes) -> None:
        """What came next."""
        self._buffer += piece

    def next_line(self) -> Line | None:
        """The next whole line; None when there is none yet."""
        end = self._buffer.find(_END, self._searched)
        if end < 0:
            if len(self._buffer) > LONGEST_LINE or self._skipped is not None:
                self._skip(len(self._buffer))
            self._searched = len(self._buffer)
            return None
        return self._line(end, len(_END))

    def last_line(self) -> Line | None:
        """What stands behind the last line's end, if anything does."""
        if not self._buffer and self._skipped is None:
            return None
        return self._line(len(self._buffer), 0)

    def _line(self, end: int, terminator: int) -> Line:
        self._number += 1
        self._searched = 0
        if self._skipped is not None or end > LONGEST_LINE:
            self._skip(end)
            del self._buffer[:terminator]
            assert self._skipped is not None  # noqa: S101 - just made
            digest, size = self._skipped
            self._skipped = None
            return Line(self._number, None, digest.digest() + size.to_bytes(8, "big"))
        content = bytes(memoryview(self._buffer)[:end])
        del self._buffer[: end + terminator]
        return Line(self._number, content, content)

    def _skip(self, size: int) -> None:
        digest, before = self._skipped or (hashlib.sha256(), 0)
        digest.update(self._buffer[:size])
        del self._buffer[:size]
        self._skipped = (digest, before + size)


class LineBatches:
    """The batches of one body. `seen` is how many lines there were so far.

    One piece is asked for ahead, so that the network works while a batch does; a batch that is not full waits a moment for
    more, and no longer.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._splitter = _Splitter()
        self._coming: asyncio.Task[Message] | None = None
        self._ended = False
        self.seen = 0

    async def batches(self) -> AsyncGenerator[Sequence[Line]]:
        """Batch after batch, none of them empty.

        Raises:
            ClientDisconnect: The client went away. What it had sent of the present batch is dropped.
        """
        while batch := await self._batch():
            self.seen = batch[-1].number
            yield batch

    async def drop(self, *, within_s: float) -> None:
        """Read on for a while and keep nothing, until the client has gone."""
        with contextlib.suppress(TimeoutError, Problem):
            async with asyncio.timeout(within_s):
                while not self._ended:
                    message = await (self._coming or self._receive())
                    self._coming = None
                    self._ended = message["type"] == "http.disconnect" or not message.get("more_body", False)

    async def close(self) -> None:
        """Ask for nothing more."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)

    async def _batch(self) -> Sequence[Line]:
        batch: list[Line] = []
        size = 0
        while len(batch) < MOST_LINES and size < MOST_BYTES:
            line = self._splitter.next_line()
            if line is None and self._ended:
                line = self._splitter.last_line()
                if line is None:
                    break
            if line is None:
                if not await self._more(wait_s=_LINGER_S if batch else None):
                    break
                continue
            batch.append(line)
            size += len(line.content or b"")
        return batch

    async def _more(self, *, wait_s: float | None) -> bool:
        """Whether the next piece has come. It is not given up by not waiting any longer: cancelled, it might be lost."""
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._receive())
        await asyncio.wait({self._coming}, timeout=wait_s)
        if not self._coming.done():
            return False
        message = self._coming.result()
        self._coming = None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._splitter.feed(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if not self._ended:
            self._coming = asyncio.ensure_future(self._receive())
        return True
