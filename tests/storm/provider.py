"""Token endpoints that rotate, detect reuse, and lose answers: a lean HTTP server with the recorder in its path."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Self

import orjson

from form_posts import read_form_post
from storm.grants import Kind, Memory
from storm.wire import HUNG_UP, Ending, Fault, Lateness, Line, Presentation, Recorder, WireWeather

_REASONS = {200: "OK", 400: "Bad Request", 429: "Too Many Requests"}
_LONGEST_LATENCY_S = 0.03


_BEAT_S = 0.05
_REMEMBERED_S = 5.0


class Pulse:
    """Notices when the event loop did not turn, because the machine was busy: clients may have given up meanwhile."""

    def __init__(self) -> None:
        self._missed: deque[tuple[float, float]] = deque()

    async def beat(self) -> None:
        """Watch until cancelled."""
        while True:  # bounded by the storm, which cancels it
            before = time.monotonic()
            await asyncio.sleep(_BEAT_S)
            now = time.monotonic()
            if now - before > 2 * _BEAT_S:
                self._missed.append((now, now - before))
            while self._missed and self._missed[0][0] < now - _REMEMBERED_S:
                self._missed.popleft()

    def missed_before(self, now: float) -> float:
        """For how long, in the last seconds, nothing was read."""
        return sum(missed for at, missed in self._missed if at > now - _REMEMBERED_S)


class Provider:
    """One token endpoint of one kind, served from the running event loop.

    Args:
        kind: By whose rules.
        memory: Where grants are remembered.
        recorder: Where presentations are written down.
        weather: What goes wrong.
        deadline_s: How long clients wait; what comes late comes after it.
        opened: Is told of each connection, to find out whose it is.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        memory: Memory,
        recorder: Recorder,
        weather: WireWeather,
        deadline_s: float,
        opened: Callable[[Line], None],
        pulse: Pulse,
    ) -> None:
        self.kind = kind
        self._memory = memory
        self._recorder = recorder
        self._weather = weather
        self._deadline_s = deadline_s
        self._opened = opened
        self._pulse = pulse
        self._dice = Random(weather.dice.random())  # noqa: S311 - latencies
        self._server: asyncio.Server | None = None

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
        return f"http://127.0.0.1:{port}/token"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line((writer.get_extra_info("peername")[1], writer.get_extra_info("sockname")[1]))
        self._opened(line)
        try:
            if self._weather.hangs_up():
                self._recorder.count(HUNG_UP)
                return
            while await self._exchange(reader, writer, line):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line) -> bool:
        found = self._memory.find((await read_form_post(reader)).form["refresh_token"])
        assert found is not None, "a token that no provider has issued was presented"
        fault = self._weather.draw()
        now = time.monotonic()
        one = Presentation(*found, arrived=now, line=line, fault=fault, hesitated=self._pulse.missed_before(now))
        self._recorder.presentations.append(one)
        if fault is not None:
            self._recorder.count(fault.name)
        try:
            return await self._answer(one, reader, writer)
        finally:
            one.ended = time.monotonic()

    async def _answer(self, one: Presentation, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        fault = one.fault
        await self._take_time(fault, Lateness.BEFORE)
        answer = b""
        if fault is None or fault.processed:
            one.result, body = self._memory.present(one.grant, one.token)
            answer = _http(400 if one.result.is_refusal else 200, orjson.dumps(body))
        await self._take_time(fault, Lateness.AFTER)
        if fault is not None and fault.status is not None:
            answer = _error(fault.status, honest=fault.honest)
        match Ending.ANSWER if fault is None else fault.ending:
            case Ending.RESET:
                writer.transport.abort()
                return False
            case Ending.DROP:
                return False
            case Ending.CUT:
                writer.write(answer[:-20])
                await writer.drain()
                return False
            case Ending.ANSWER:
                writer.write(answer)
                await writer.drain()
                if not reader.at_eof() and not writer.transport.is_closing():
                    one.answered = time.monotonic()
                return True

    async def _take_time(self, fault: Fault | None, moment: Lateness) -> None:
        delay = self._dice.uniform(0, _LONGEST_LATENCY_S)
        if fault is not None and fault.lateness is moment:
            delay += self._deadline_s + self._dice.uniform(0.3, 1.0)
        await asyncio.sleep(delay)


def _http(status: int, body: bytes, *headers: str, content_type: str = "application/json") -> bytes:
    lines = [
        f"HTTP/1.1 {status} {_REASONS.get(status, '-')}",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _error(status: int, *, honest: bool) -> bytes:
    """The provider's own word that it did nothing, or the page of a proxy that knows nothing."""
    if honest:
        return _http(status, b'{"error":"temporarily_unavailable"}', "retry-after: 1")
    return _http(status, b"<html><h1>The server is not there</h1></html>", content_type="text/html")
