"""The token endpoints of forty providers: `python -m tokenkeep.cli.bench.fleet.endpoint`.

Each has its own path, `/NUMBER/token`, its own latency, rotation and trouble (`providers.py`). A refresh token reads `rt-ACCOUNT-GENERATION`;
the grant of each account whose number is divisible by `revoked_every` is revoked. `/control?seconds=120&revoked_every=1000` begins to count and
lets the troubles begin in their time; `/control` tells what was seen. Its two ports are the first line that it prints: one for all, and one that
is closed during an outage, for whom it concerns. It ends with its standard input.
"""

import asyncio
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import cast
from urllib.parse import parse_qs, urlsplit

import httptools
import orjson
import uvloop

from tokenkeep.cli.bench.fleet.providers import PROVIDERS, REFUSED_SHARE, FleetProvider, Trouble

_HOST = "127.0.0.1"
_TOKEN = re.compile(rb"refresh_token=rt-(\d+)-(\d+)")
_REASONS = {200: b"OK", 400: b"Bad Request", 429: b"Too Many Requests", 503: b"Service Unavailable"}
_SEED = 42

Answer = tuple[int, bytes, bytes]
"""Status, further headers, body."""


@dataclass(slots=True)
class _Seen:
    """What was presented, and since when that counts.

    `generations`: each account's newest one. `reused`: how many times a token came that was spent. `per_second`: requests by the second that
    they came in. `revoked`: the accounts that were told so.
    """

    began_at: float = 0.0
    seconds: float = 0.0
    revoked_every: int = 0
    answered: Counter[int] = field(default_factory=Counter)
    reused: int = 0
    generations: dict[int, int] = field(default_factory=dict)
    per_second: Counter[int] = field(default_factory=Counter)
    revoked: set[int] = field(default_factory=set)


class Playing:
    """What the providers do."""

    def __init__(self) -> None:
        self.draw = Random(_SEED)  # noqa: S311 - latencies are no secrets
        self.seen = _Seen()
        self.out = asyncio.Event()
        self.idle: set[asyncio.Transport] = set()
        """Connections over the closing port that wait for a request."""

    @property
    def progress(self) -> float:
        """How large a share of the time has passed; beyond 1 once it is over, and before it begins."""
        seen = self.seen
        return (asyncio.get_running_loop().time() - seen.began_at) / seen.seconds if seen.seconds else 2.0

    def answer(self, provider: FleetProvider, body: bytes) -> Answer:
        """What it says, counted."""
        seen = self.seen
        seen.per_second[int(asyncio.get_running_loop().time() - seen.began_at)] += 1
        answer = self._answer(provider, body)
        seen.answered[answer[0]] += 1
        return answer

    def _answer(self, provider: FleetProvider, body: bytes) -> Answer:
        found = _TOKEN.search(body)
        if found is None:
            return 400, b"", b'{"error":"invalid_request"}'
        # Refused before it is looked at, so the refresh token is not spent.
        if provider.in_trouble(self.progress) and self.draw.random() < REFUSED_SHARE:
            if provider.trouble is Trouble.THROTTLING:
                return 429, b"retry-after: 2\r\n", b'{"error":"rate_limited"}'
            if provider.trouble is Trouble.OVERLOADED:
                return 503, b"", b'{"error":"temporarily_unavailable"}'
        account, presented = int(found[1]), int(found[2])
        if self.seen.revoked_every and account % self.seen.revoked_every == 0:
            self.seen.revoked.add(account)
            return 400, b"", b'{"error":"invalid_grant","error_description":"Token has been revoked."}'
        return self._granted(provider, account, presented)

    def _granted(self, provider: FleetProvider, account: int, presented: int) -> Answer:
        refresh = b""
        if provider.rotation != "kept":
            if self.seen.generations.get(account, presented) != presented:
                self.seen.reused += 1
                return 400, b"", b'{"error":"invalid_grant"}'
            self.seen.generations[account] = presented + 1
            refresh = b'"refresh_token":"rt-%d-%d",' % (account, presented + 1)
        said = (account, presented + 1, refresh, provider.life_s)
        return 200, b"", b'{"access_token":"at-%d-%d",%b"token_type":"Bearer","expires_in":%d}' % said

    def control(self, query: str) -> bytes:
        """Begin to count, if the query says for how long; what was seen so far."""
        wanted = {name: values[0] for name, values in parse_qs(query).items()}
        if "seconds" in wanted:
            began_at = asyncio.get_running_loop().time()
            self.seen = _Seen(began_at, float(wanted["seconds"]), int(wanted.get("revoked_every", "0")))
        seen = self.seen
        told = {
            "answered": {str(status): count for status, count in seen.answered.items()},
            "reused": seen.reused,
            "per_second": [seen.per_second[second] for second in range(int(seen.seconds))],
            "revoked": sorted(seen.revoked),
        }
        return orjson.dumps(told)


class _Conversation(asyncio.Protocol):
    """One connection. Requests come one at a time, as HTTP/1.1 clients that don't pipeline send them."""

    def __init__(self, playing: Playing, *, closing: bool) -> None:
        self._playing = playing
        self._closing = closing
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body = b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's form
        """He has gone."""
        self._playing.idle.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """A request, or a piece of one."""
        self._playing.idle.discard(self._transport)
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """The request's path and query (httptools)."""
        self._url, self._body = self._url + url, b""

    def on_body(self, body: bytes) -> None:
        """A piece of its body (httptools)."""
        self._body += body

    def on_message_complete(self) -> None:
        """All of it (httptools)."""
        url, self._url = urlsplit(self._url.decode()), b""
        if url.path == "/control":
            self._say((200, b"", self._playing.control(url.query)))
            return
        provider = PROVIDERS[int(url.path.split("/")[1])]
        answer = self._playing.answer(provider, self._body)
        self._loop.call_later(provider.latency_s(self._playing.draw), self._say, answer)

    def _say(self, answer: Answer) -> None:
        status, headers, body = answer
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncache-control: no-store\r\n%bcontent-length: %d\r\n\r\n"
        self._transport.write(head % (status, _REASONS[status], headers, len(body)) + body)
        self._rest()

    def _rest(self) -> None:
        if not self._closing:
            return
        if self._playing.out.is_set():
            self._transport.close()
        else:
            self._playing.idle.add(self._transport)


async def _serve() -> None:
    playing = Playing()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Conversation(playing, closing=False), _HOST, 0, backlog=16_384)
    failing = await loop.create_server(lambda: _Conversation(playing, closing=True), _HOST, 0, backlog=16_384)
    port = failing.sockets[0].getsockname()[1]
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]} {port}\n")
    sys.stdout.flush()
    outages = asyncio.create_task(_have_outages(playing, failing, port))
    await asyncio.to_thread(sys.stdin.read)
    outages.cancel()
    server.close()


async def _have_outages(playing: Playing, server: asyncio.Server, port: int) -> None:
    """Close the port while its provider is out. Who waits for an answer still gets it; nobody is heard after that."""
    provider = next(one for one in PROVIDERS if one.trouble is Trouble.OUT)
    while True:
        await asyncio.sleep(0.1)
        is_out = provider.in_trouble(playing.progress)
        if is_out and not playing.out.is_set():
            playing.out.set()
            server.close()
            for transport in list(playing.idle):
                transport.close()
        elif not is_out and playing.out.is_set():
            playing.out.clear()
            server = await asyncio.get_running_loop().create_server(
                lambda: _Conversation(playing, closing=True), _HOST, port, backlog=16_384
            )


if __name__ == "__main__":
    uvloop.run(_serve())
