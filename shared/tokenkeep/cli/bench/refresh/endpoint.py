"""A token endpoint that costs as little as one can: `python -m tokenkeep.cli.bench.refresh.endpoint`.

It answers by RFC 6749, section 5.1. At `/rotating` each refresh token is good for one time, and presenting one again is
counted and refused, as providers with reuse detection do; at `/steady` it stays. A token reads `rt-ACCOUNT-GENERATION`.
`/control?delay_ms=100` sets how long answers take, and `/control` tells what was seen. Its port is the first line that it
prints; it ends with its standard input.
"""

import asyncio
import re
import sys
import time
from dataclasses import dataclass, field
from typing import cast

import orjson
import uvloop

_HOST = "127.0.0.1"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOKEN = re.compile(rb"refresh_token=rt-([0-9a-z]+)-(\d+)")
_DELAY = re.compile(rb"delay_ms=(\d+)")
_LIFE_S = 3600


@dataclass(slots=True)
class _Seen:
    """What was presented: each account's newest generation, and how many times one came that was spent."""

    delay_s: float = 0.0
    answered: int = 0
    reused: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    generations: dict[bytes, int] = field(default_factory=dict)


class _Conversation(asyncio.Protocol):
    """One connection. Requests come one at a time, as HTTP/1.1 clients that don't pipeline send them."""

    def __init__(self, seen: _Seen) -> None:
        self._seen = seen
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """A request, or a piece of one."""
        self._buffer = buffer = self._buffer + data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(buffer, 0, head)
        if len(buffer) < head + 4 + (int(length[1]) if length else 0):
            return
        self._buffer = b""
        if buffer.startswith(b"GET /control"):
            self._transport.write(_answer(200, self._controlled(buffer[:head])))
            return
        seen = self._seen
        seen.in_flight += 1
        seen.most_in_flight = max(seen.most_in_flight, seen.in_flight)
        answer = self._granted(buffer)
        if seen.delay_s:
            self._loop.call_later(seen.delay_s, self._say, answer)
        else:
            self._say(answer)

    def _say(self, answer: bytes) -> None:
        self._seen.in_flight -= 1
        self._seen.answered += 1
        self._transport.write(answer)

    def _granted(self, request: bytes) -> bytes:
        found = _TOKEN.search(request)
        if found is None:
            return _answer(400, b'{"error":"invalid_request"}')
        account, presented = found[1], int(found[2])
        if request.startswith(b"POST /rotating"):
            if self._seen.generations.get(account, presented) != presented:
                self._seen.reused += 1
                return _answer(400, b'{"error":"invalid_grant"}')
            self._seen.generations[account] = presented + 1
            refresh = b'"refresh_token":"rt-%b-%d",' % (account, presented + 1)
        else:
            refresh = b""
        body = b'{"access_token":"at-%b-%d",%b"token_type":"Bearer","expires_in":%d}' % (
            account,
            presented + 1,
            refresh,
            _LIFE_S,
        )
        return _answer(200, body)

    def _controlled(self, head: bytes) -> bytes:
        seen = self._seen
        delay = _DELAY.search(head)
        if delay is not None:
            seen.delay_s = int(delay[1]) / 1000
            seen.most_in_flight = 0
        return orjson.dumps(
            {
                "answered": seen.answered,
                "reused": seen.reused,
                "in_flight": seen.in_flight,
                "most_in_flight": seen.most_in_flight,
                "cpu_s": time.process_time(),
            }
        )


def _answer(status: int, body: bytes) -> bytes:
    reason = b"200 OK" if status == 200 else b"400 Bad Request"  # noqa: PLR2004 - the two that it gives
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncache-control: no-store\r\ncontent-length: %d\r\n\r\n"
    return head % (reason, len(body)) + body


async def _serve() -> None:
    seen = _Seen()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Conversation(seen), _HOST, 0, backlog=16_384)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve())
