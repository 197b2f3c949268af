"""HTTP as uvicorn speaks it, with bounds: heads in size and in time, answers that nobody reads, connections in number.

uvicorn leaves all of these open with httptools. What is refused here has not reached the application; it gets a problem
document all the same.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tokenkeep.domain.ids import new_correlation_id
from tokenkeep_api.envelope import SECURITY_HEADERS
from tokenkeep_api.problems import Problem

_MALFORMED = Problem(400, "malformed_request", "this is not HTTP/1.1 as RFC 9112 has it")
_TOO_LATE = Problem(408, "request_timeout", "the request's head did not arrive in time")
_LINGER_S = 2.0
_FIRST_REQUEST_S = 3.0
"""How long, at the end, a connection is left open whose client has not sent anything yet: its request may be on the way."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a connection may take up. Times are in seconds."""

    head_bytes: int = 32_768
    head_deadline_s: float = 10.0
    write_deadline_s: float = 60.0
    connections: int = 4_096


@dataclass(frozen=True, slots=True)
class Offered:
    """A request that its connection offers to a fast path. `decline` lets the application serve it."""

    connection: "GuardedProtocol"
    cycle: RequestResponseCycle
    decline: Callable[[], None]


class FastPath(Protocol):
    """Answers some requests in the application's place."""

    def takes(self, cycle: RequestResponseCycle) -> bool:
        """Whether it may be one, by its head."""

    def take(self, offered: Offered) -> None:
        """Answer it by `GuardedProtocol.answer`, or decline, soon."""


@dataclass(slots=True)
class Crowd:
    """The connections of one server that wait for their clients, the one that has waited longest first.

    `leaving`: the server is to end, and each connection serves one more request at most.
    """

    limits: ConnectionLimits
    waiting: "OrderedDict[GuardedProtocol, None]" = field(default_factory=OrderedDict)
    leaving: bool = False

    def make_room(self) -> bool:
        """Let the one go that has waited longest; False if all of them are at work."""
        if not self.waiting:
            return False
        longest, _ = self.waiting.popitem(last=False)
        longest.dismiss()
        return True


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    While the application is at work the application's own deadlines hold. While it is the client's turn, a clock runs: from the
    first byte of a head to its end, over the rest of a body that nobody wants, and between requests.
    """

    crowd: Crowd
    fast_path: "FastPath | None" = None

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._limits = self.crowd.limits
        self._in_head = True
        self._head_bytes = 0
        self._refused = False
        self._why: Problem | None = None
        self._clock: asyncio.TimerHandle | None = None
        self._write_clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client has come."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections and not self.crowd.make_room():
            detail = "there are more connections than this process serves"
            self._refuse(Problem(503, "too_many_connections", detail, headers={"Retry-After": "1"}, retry_after=1))
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._refused = True
        self._stop_clock()
        self.resume_writing()
        self.crowd.waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on. A head that is too long is refused before it ends."""
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self._limits.head_bytes:
            self._refuse(self._too_long())
        if not self._refused:
            self._watch()

    def on_headers_complete(self) -> None:
        """A head is whole. What came with it in one piece may be more than the head."""
        if self._head_bytes > self._limits.head_bytes:
            exactly = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if exactly > self._limits.head_bytes:
                self._why = self._too_long()
                raise ValueError(self._why.code)  # the parser stops at an error in a callback
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()
        if self.crowd.leaving:
            self.announce_end()

    def announce_end(self) -> None:
        """The answer that is not begun yet is the connection's last. One that is under way has said otherwise already."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_started:
            cycle.keep_alive = False

    def shutdown(self) -> None:
        """The server ends. A client that has just come, or is about to send the rest of a head, is heard first."""
        cycle: RequestResponseCycle | None = self.cycle
        is_idle = cycle is not None and self._in_head and not self._head_bytes
        if self._refused or is_idle or (cycle is not None and not cycle.response_complete):
            super().shutdown()
            return
        self.crowd.leaving = True
        self._stop_clock()
        self._clock = self.loop.call_later(_FIRST_REQUEST_S, self.dismiss)

    def on_message_complete(self) -> None:
        """A request is whole; the next head may follow."""
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def on_response_complete(self) -> None:
        """An answer is given; it is the client's turn."""
        super().on_response_complete()
        if not self._refused:
            self._watch()

    def answer(self, cycle: RequestResponseCycle, head: bytes, body: bytes) -> None:
        """Answer by 200 in the application's place. `head`: the lines of the headers, `content-length` among them.

        The cycle ends as `RequestResponseCycle.send` would end it.
        """
        cycle.response_started = True
        closing = b"" if cycle.keep_alive else b"connection: close\r\n"
        default = b"".join(name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers)
        cycle.transport.write(b"".join((STATUS_LINE[200], default, head, closing, b"\r\n", body)))
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        self.on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self.fast_path is None or app is not self.app or not self.fast_path.takes(cycle):
            super()._start_asgi_task(cycle, app)
            return
        self.fast_path.take(Offered(self, cycle, partial(super()._start_asgi_task, cycle, app)))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's text for it
        """What came is not HTTP, or more of it than is read."""
        self._refuse(self._why or _MALFORMED)

    def pause_writing(self) -> None:
        """The client does not read; it has some time to go on."""
        super().pause_writing()
        self._write_clock = self.loop.call_later(self._limits.write_deadline_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads on."""
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None
        super().resume_writing()

    def dismiss(self) -> None:
        """The client has had its time. One that has begun a request is told so."""
        if self._in_head and self._head_bytes:
            self._refuse(_TOO_LATE)
        else:
            self._refused = True
            self.transport.close()

    def _watch(self) -> None:
        """Set the clock for what is waited for, and leave it alone if it runs for that already."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._stop_clock()
            self.crowd.waiting.pop(self, None)
            return
        self.crowd.waiting.setdefault(self)
        if self._head_bytes or not self._in_head or cycle is None:
            if self._clock is None:
                self._clock = self.loop.call_later(self._limits.head_deadline_s, self.dismiss)
            return
        self._stop_clock()
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse(self, problem: Problem) -> None:
        """Answer for the application, unless it is about to, and read no more requests."""
        self._refused = True
        self._stop_clock()
        self._unset_keepalive_if_required()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                cycle.keep_alive = False  # what came after a whole request does not spoil its answer
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        self.crowd.waiting.pop(self, None)
        self.transport.write(self._answer(problem))
        # To close while bytes are still coming would reset the connection, and the client might never see the answer.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._clock = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _answer(self, problem: Problem) -> bytes:
        response = problem.response()
        fixed = {**SECURITY_HEADERS, "X-Request-Id": new_correlation_id(), "Connection": "close"}
        headers = [
            *self.server_state.default_headers,
            *response.raw_headers,
            *((name.lower().encode(), value.encode()) for name, value in fixed.items()),
        ]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return STATUS_LINE[problem.status_code] + lines + b"\r\n" + bytes(response.body)

    def _too_long(self) -> Problem:
        most = self._limits.head_bytes
        if len(self.url) > most:
            return Problem(414, "uri_too_long", f"a request's head has at most {most} bytes")
        return Problem(431, "head_too_large", f"a request's head has at most {most} bytes")


def guarded(of: Crowd, fast_path: FastPath | None = None) -> type[GuardedProtocol]:
    """The protocol for one server."""

    class Guarded(GuardedProtocol):
        crowd = of

    Guarded.fast_path = fast_path
    return Guarded
