"""One connection to a token endpoint, and one exchange at a time on it.

What the custody protocol asks of a client (section 3, steps S3, S5 and S6) decides its shape:

- it is connected, TLS included, before the write-ahead mark is made, so a dead peer costs no doubt;
- between the check of the mark's age and the write there is no await and nothing slow;
- every outcome says whether a byte of the request may have left;
- when the time is over, what the socket already holds is still read: a process that was paused finds its deadline gone
  and the answer there;
- nothing is ever sent twice, and no redirect is followed.
"""

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import cast

from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.deadlines import Deadlines
from tokenkeep.adapters.token_endpoint.handshake import is_refusal
from tokenkeep.adapters.token_endpoint.origin import Origin
from tokenkeep.adapters.token_endpoint.request import UnsendableRequest, serialise
from tokenkeep.adapters.token_endpoint.response import MAX_BODY_BYTES, ResponseReader
from tokenkeep.domain.account import FailureReason
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest
from tokenkeep.providers.client_authentication import ClientKey

# One pass of the loop polls the sockets after the callbacks that were ready, or before them; so it takes two passes to
# be sure that a poll has happened and what it found has been delivered.
_QUIET_PASSES = 2
# Each pass reads 64 KiB or more, so this many read the largest body; a peer that drips does not hold us longer.
_MOST_PASSES = 64


class Connection(asyncio.Protocol):
    """A connection that is ready to carry requests to one origin, of one client where it was made with a certificate.

    Args:
        origin: Where it leads. A request to anywhere else is not sent.
        client_key: What the client's certificate in the handshake was of. A request of any other client is not sent.
        max_body_bytes: The largest body that is taken, both as received and unpacked.
        now: The clock of `send_before` and of `idle_since`, in seconds; counts suspend.
        deadlines: Those of the connections that share its event loop; without it, it has its own.

    Attributes:
        on_sent: Called once the last byte of a request is written, if it is set. What it raises, `exchange` raises.
    """

    # A worker has thousands of these: none has a dict of its own.
    __slots__ = (
        "_awaited",
        "_close_waiter",
        "_deadlines",
        "_fileno",
        "_idle_limit_s",
        "_is_closed",
        "_loop",
        "_max_body_bytes",
        "_now",
        "_outcome",
        "_reader",
        "_transport",
        "_usable",
        "client_key",
        "idle_since",
        "on_sent",
        "origin",
    )

    def __init__(
        self,
        origin: Origin,
        client_key: ClientKey | None = None,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        now: Callable[[], float] = boottime,
        deadlines: Deadlines | None = None,
    ) -> None:
        self.origin = origin
        self.client_key = client_key
        self.idle_since: float | None = None
        self.on_sent: Callable[[], None] | None = None
        self._max_body_bytes = max_body_bytes
        self._now = now
        self._deadlines = Deadlines() if deadlines is None else deadlines
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._close_waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._fileno = -1
        self._reader: ResponseReader | None = None  # made when the first byte comes: most of the time is waiting
        self._awaited = False
        self._outcome: asyncio.Future[Answer | NoAnswer] | None = None
        self._idle_limit_s: float | None = None
        self._usable = False

    def __repr__(self) -> str:
        state = "busy" if self._outcome is not None else "idle" if self._usable else "closed"
        return f"Connection({self.origin}, {state})"

    # What its users call.

    async def exchange(self, request: TokenRequest, *, deadline: float, send_before: float) -> Answer | NoAnswer:
        """Sends a request once and reads its answer. Closes the connection unless it may carry another one.

        Args:
            request: What to send; its URL has this connection's origin.
            deadline: When the last byte must have been read, by `loop.time()`, in seconds; finite. One that comes
                within `MOMENT_S` after it may count still.
            send_before: When the first byte must have been written, by `boottime()`, in seconds. Later than that
                nothing is sent.

        Returns:
            A complete answer, or how the exchange ended without one. It raises nothing but CancelledError; a cancelled
            exchange closes the connection, and whether the request left is then unknown.
        """
        try:
            origin, message = serialise(request)
        except UnsendableRequest as fault:
            return _unsent(FailureReason.INTERNAL_ERROR, str(fault))
        is_for_us = origin == self.origin and request.client_key == self.client_key
        if not is_for_us or self._outcome is not None:
            return _unsent(FailureReason.INTERNAL_ERROR, "the connection is not one for this request")
        outcome: asyncio.Future[Answer | NoAnswer] = self._loop.create_future()
        moment = self._deadlines.add(self, deadline)
        self._outcome = outcome
        try:
            if self.has_input():
                await self._take_input()
            if not self._usable or self._transport is None or self._transport.is_closing():
                return _unsent(FailureReason.NETWORK_ERROR, "the connection was closed before the request")
            transport = self._transport
            if outcome.done() or self._loop.time() >= deadline or self._now() > send_before:
                # We were too slow, or were stopped for a while. That says nothing of the endpoint.
                return _unsent(FailureReason.INTERNAL_ERROR, "too late to send")
            self._awaited = True
            transport.write(message)
            del message  # it would be held, secrets and all, for as long as the answer takes
            self._usable = False  # until the answer says otherwise
            if transport.is_closing() and self.origin.scheme == "http":
                # A socket's one `send` failed at once, so it took no byte. Of a TLS record we would not know.
                return _unsent(FailureReason.NETWORK_ERROR, "the connection refused the request")
            if self.on_sent is not None:
                await self._written(transport)
                self.on_sent()
            return await outcome
        finally:
            self._deadlines.remove(self, moment)
            self._outcome = self._reader = None
            self._awaited = False
            if not self._usable:
                self.abort()

    def is_reusable(self, *, within_s: float) -> bool:
        """Whether the connection completed an exchange in the last `within_s` seconds and has been silent since.

        Input on an idle connection is the peer's closing, or bytes that belong to no request; both rule it out.
        """
        if not self.is_idle or self.idle_since is None:
            return False
        limit = within_s if self._idle_limit_s is None else min(within_s, self._idle_limit_s - 1)
        return self._now() - self.idle_since < limit and not self.has_input()

    @property
    def is_idle(self) -> bool:
        """Whether it has completed an exchange and could carry another."""
        return self._usable and self._outcome is None and self.idle_since is not None

    def has_input(self) -> bool:
        """Whether the socket holds something unread: bytes, its peer's closing, or an error."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        watch = select.poll()  # made anew: one that is kept costs each waiting connection as much as its coroutine
        watch.register(self._fileno, select.POLLIN)
        return bool(watch.poll(0))

    def abort(self) -> None:
        """Closes at once. What was not written is dropped; a TLS peer is not told, as that would mean waiting."""
        self._usable = False
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Returns once the socket is closed."""
        if self._is_closed:
            return
        if self._close_waiter is None:
            self._close_waiter = self._loop.create_future()
        await asyncio.shield(self._close_waiter)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP, and TLS where the scheme is https, are established."""
        self._transport = cast("asyncio.Transport", transport)
        self._fileno = transport.get_extra_info("socket").fileno()
        self._usable = True

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer, or stray ones: those end the connection."""
        outcome = self._outcome
        if not self._awaited or outcome is None or outcome.done():
            self.abort()
            return
        reader = self._reading()
        result = reader.feed(data)
        if result is not None:
            self._finish(reader, result)

    def eof_received(self) -> None:
        """The peer sends no more. That completes a body which nothing else delimits."""
        self._usable = False
        if self._awaited and self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(self._reading().end(clean=self._closed_in_order()))

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._usable = False
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(self._lost(exc))
        self._is_closed = True
        if self._close_waiter is not None and not self._close_waiter.done():
            self._close_waiter.set_result(None)

    # The inside.

    def _reading(self) -> ResponseReader:
        if self._reader is None:
            self._reader = ResponseReader(max_body_bytes=self._max_body_bytes)
        return self._reader

    def _finish(self, reader: ResponseReader, result: Answer | NoAnswer) -> None:
        """Hands the outcome over, and decides whether the connection lives on."""
        transport = self._transport
        if isinstance(result, Answer) and reader.reusable and transport is not None:
            self._usable = not transport.is_closing() and transport.get_write_buffer_size() == 0
            self.idle_since = self._now()
            self._idle_limit_s = reader.idle_limit_s
        if self._outcome is not None:
            self._outcome.set_result(result)

    def _lost(self, fault: Exception | None) -> Answer | NoAnswer:
        """The outcome of an exchange whose connection went away."""
        if fault is None and self._awaited:
            return self._reading().end(clean=False)
        has_read = self.idle_since is not None or (self._reader is not None and self._reader.received > 0)
        if is_refusal(fault) and not has_read:
            return _unsent(FailureReason.NETWORK_ERROR, "the server refused the client's certificate, or wants one")
        return NoAnswer(FailureReason.NETWORK_ERROR, maybe_sent=True, detail="the connection was reset")

    def time_is_over(self) -> None:
        """The deadline has passed: waits no longer, but reads on for as long as every look at the socket finds more."""
        self._look_again(0, 0, 0)

    def _look_again(self, seen: int, quiet: int, passes: int) -> None:
        if self._outcome is None or self._outcome.done():
            return
        received = 0 if self._reader is None else self._reader.received
        quiet = quiet + 1 if received == seen else 0
        if quiet > _QUIET_PASSES or passes >= _MOST_PASSES:
            late = NoAnswer(FailureReason.TIMEOUT, maybe_sent=True, detail="no complete answer in time")
            self._outcome.set_result(late)
        else:
            self._loop.call_soon(self._look_again, received, quiet, passes + 1)

    async def _take_input(self) -> None:
        """Lets the loop deliver what has arrived, so that a closing shows before anything is written.

        A fresh TLS 1.3 connection has its session tickets to read, which are no fault.
        """
        for _ in range(_QUIET_PASSES):
            await asyncio.sleep(0)

    async def _written(self, transport: asyncio.Transport) -> None:
        """Waits until nothing of the request is left on our side. uvloop writes only when its pass is over."""
        await asyncio.sleep(0)
        while transport.get_write_buffer_size() > 0 and not transport.is_closing():  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0)

    def _closed_in_order(self) -> bool:
        """Whether the end of input is one that the peer vouches for: over TLS, that it sent close_notify."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return bool(tls.read(1) == b"")
        except ssl.SSLError:
            return False


def _unsent(reason: FailureReason, detail: str) -> NoAnswer:
    return NoAnswer(reason, maybe_sent=False, detail=detail)
