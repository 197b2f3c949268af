"""Connections kept for reuse: a free list per origin and client certificate, the latest used first."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable

from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy, ResolvedAddress, checked_origin, resolve
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.connection import Connection
from tokenkeep.adapters.token_endpoint.deadlines import Deadlines
from tokenkeep.adapters.token_endpoint.look_ups import LookUp, look_up_by_the_loop
from tokenkeep.adapters.token_endpoint.origin import Origin
from tokenkeep.adapters.token_endpoint.response import MAX_BODY_BYTES
from tokenkeep.adapters.token_endpoint.tls_contexts import TlsContexts
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.errors import ConnectFailed, InvalidInput
from tokenkeep.providers.client_authentication import ClientKey

# How long an address may keep us while there is another one to try: one lost SYN is repeated after a second.
_PATIENCE_S = 2.0
_MOST_URLS = 4096

_End = tuple[Origin, ClientKey | None]
"""What connections are kept for: where they lead, and as whom the handshake was made."""


class ConnectionPool:
    """Gives out ready connections and takes them back.

    The latest used connection goes out first, so a burst's extra ones grow old and are closed. Both directions take
    constant time, however many are idle.

    Args:
        policy: The addresses that may be connected to.
        tls: What TLS connections are made with.
        max_idle: How many idle connections one origin may keep for one certificate, or for none; the oldest give way.
        idle_ttl_s: How long one stays idle before it is closed, in seconds.
        connect_timeout_s: The longest time for DNS, TCP and TLS together, in seconds.
        max_body_bytes: The largest answer that connections take.
        now: The clock of idleness, in seconds; counts suspend.
        look_up: Asks for the addresses of hosts.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        tls: TlsContexts | None = None,
        max_idle: int = 1024,
        idle_ttl_s: float = 60.0,
        connect_timeout_s: float = 10.0,
        max_body_bytes: int = MAX_BODY_BYTES,
        now: Callable[[], float] = boottime,
        look_up: LookUp = look_up_by_the_loop,
    ) -> None:
        self._policy = policy
        self._look_up = look_up
        self._tls = tls or TlsContexts()
        self._max_idle = max_idle
        self._idle_ttl_s = idle_ttl_s
        self._connect_timeout_s = connect_timeout_s
        self._max_body_bytes = max_body_bytes
        self._now = now
        self._deadlines = Deadlines()
        self._idle: dict[_End, deque[Connection]] = {}
        self._origins: dict[str, Origin] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def acquire(
        self, url: str, client_key: ClientKey | None = None, *, reuse_window_s: float, deadline: float
    ) -> Connection:
        """A connection to the URL's origin, ready to write to. Its taker gives it back with `release`.

        Args:
            url: Where the request will go.
            client_key: What the client proves itself with in the handshake. Such a connection is never anybody else's.
            reuse_window_s: How lately a kept connection must have completed an exchange, in seconds. 5 for strict
                kinds of providers, where a dead peer would cost a doubt (custody protocol, step S3); 0 for a fresh one.
            deadline: When the connection must be there, by `loop.time()`, in seconds.

        Raises:
            ConnectFailed: No connection could be had. Nothing was sent.
        """
        if self._closed:
            raise ConnectFailed(FailureReason.INTERNAL_ERROR, "the pool is closed")
        origin = self._origin_of(url)
        end = (origin, client_key)
        kept = self._idle.get(end)
        while kept:
            connection = kept.pop()
            if connection.is_reusable(within_s=min(reuse_window_s, self._idle_ttl_s)):
                return connection
            if connection.is_idle and not connection.has_input():
                kept.append(connection)  # sound, but too old for this caller, and so are those below it
                break
            connection.abort()
        return await self._connect(end, deadline)

    def release(self, connection: Connection) -> None:
        """Takes a connection back. One that can't be used again is closed."""
        if self._closed or not connection.is_idle:
            connection.abort()
            return
        kept = self._idle.setdefault((connection.origin, connection.client_key), deque())
        kept.append(connection)
        if len(kept) > self._max_idle:
            kept.popleft().abort()
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._idle_ttl_s, self._close_old_ones)

    async def close(self) -> None:
        """Closes the idle connections; those that are out are closed when they come back."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        idle = [connection for kept in self._idle.values() for connection in kept]
        self._idle.clear()
        for connection in idle:
            connection.abort()
        for connection in idle:
            await connection.wait_closed()

    def _origin_of(self, url: str) -> Origin:
        """The origin of a URL that the policy lets pass, remembered: sources are few and refreshes many."""
        origin = self._origins.get(url)
        if origin is None:
            try:
                origin = checked_origin(url, policy=self._policy, field="url")
            except InvalidInput as refusal:
                raise ConnectFailed(FailureReason.NETWORK_ERROR, refusal.detail) from None
            if len(self._origins) >= _MOST_URLS:
                self._origins.clear()
            self._origins[url] = origin
        return origin

    async def _connect(self, end: _End, deadline: float) -> Connection:
        """A fresh connection: the name is resolved, every address checked, and the checked ones are tried in turn."""
        loop = asyncio.get_running_loop()
        context = await self._context(end)
        origin, _ = end
        deadline = min(deadline, loop.time() + self._connect_timeout_s)
        try:
            timeout_s = deadline - loop.time()
            addresses = await resolve(
                origin.host, origin.port, policy=self._policy, timeout_s=timeout_s, look_up=self._look_up
            )
            last = len(addresses) - 1
            for turn, address in enumerate(addresses):
                until = deadline if turn == last else min(deadline, loop.time() + _PATIENCE_S)
                try:
                    return await self._connect_to(end, context, address, until)
                except OSError:  # TimeoutError and ssl.SSLError are OSErrors
                    if turn == last or loop.time() >= deadline:
                        raise
        except InvalidInput as refusal:
            raise ConnectFailed(FailureReason.NETWORK_ERROR, refusal.detail) from None
        except TimeoutError:
            raise ConnectFailed(FailureReason.TIMEOUT, f"no connection to {origin.host} in time") from None
        except OSError as fault:
            raise ConnectFailed(FailureReason.NETWORK_ERROR, f"{origin.host}: {_told(fault)}") from None
        raise ConnectFailed(FailureReason.NETWORK_ERROR, f"{origin.host}: no address")

    async def _context(self, end: _End) -> ssl.SSLContext | None:
        """What TLS is spoken with; None for plain HTTP."""
        origin, client_key = end
        if client_key is None:
            return self._tls.without_certificate if origin.scheme == "https" else None
        if origin.scheme != "https":
            raise ConnectFailed(FailureReason.INTERNAL_ERROR, "a client certificate needs https")
        try:
            # A thread, for a context that is not in the cache takes tens of milliseconds to make.
            return await asyncio.to_thread(self._tls.with_certificate, client_key)
        except (InvalidInput, OSError) as fault:
            raise ConnectFailed(FailureReason.INTERNAL_ERROR, f"the client's key: {type(fault).__name__}") from None

    async def _connect_to(
        self, end: _End, context: ssl.SSLContext | None, address: ResolvedAddress, until: float
    ) -> Connection:
        """TCP to the checked address; then TLS, verified against the name that the URL has."""
        loop = asyncio.get_running_loop()
        origin, client_key = end
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(0)
            async with asyncio.timeout_at(until):
                await loop.sock_connect(sock, address.sockaddr)
                _, connection = await loop.create_connection(
                    lambda: Connection(
                        origin,
                        client_key,
                        max_body_bytes=self._max_body_bytes,
                        now=self._now,
                        deadlines=self._deadlines,
                    ),
                    sock=sock,
                    ssl=context,
                    server_hostname=None if context is None else origin.host,
                )
        except BaseException:  # cancelled or failed: the socket has no other owner
            sock.close()
            raise
        return connection

    def _close_old_ones(self) -> None:
        """Closes what has been idle for too long. The oldest stand first."""
        now = self._now()
        self._sweep = None
        for end, kept in list(self._idle.items()):
            while kept and (not kept[0].is_idle or now - (kept[0].idle_since or 0.0) >= self._idle_ttl_s):
                kept.popleft().abort()
            if not kept:
                del self._idle[end]
        if self._idle:
            self._sweep = asyncio.get_running_loop().call_later(self._idle_ttl_s, self._close_old_ones)


def _told(fault: OSError) -> str:
    """What went wrong, in the library's words: about addresses and certificates, never about a request."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {fault.verify_message}"
    if isinstance(fault, ssl.SSLError):
        return f"TLS failed: {fault.reason}"
    return fault.strerror or type(fault).__name__
