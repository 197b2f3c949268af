"""Connections kept for reuse: a free list per origin, the latest used first."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable

from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy, ResolvedAddress, checked_origin, resolve
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.connection import Connection
from tokenkeep.adapters.token_endpoint.origin import Origin
from tokenkeep.adapters.token_endpoint.response import MAX_BODY_BYTES
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.errors import ConnectFailed, InvalidInput

# How long an address may keep us while there is another one to try: one lost SYN is repeated after a second.
_PATIENCE_S = 2.0
_MOST_URLS = 4096


class ConnectionPool:
    """Gives out ready connections and takes them back.

    The latest used connection goes out first, so a burst's extra ones grow old and are closed. Both directions take
    constant time, however many are idle.

    Args:
        policy: The addresses that may be connected to.
        ssl_context: What TLS connections share; the system's trust store, with verification, if left out.
        max_idle_per_origin: How many idle connections one origin may keep; the oldest give way.
        idle_ttl_s: How long one stays idle before it is closed, in seconds.
        connect_timeout_s: The longest time for DNS, TCP and TLS together, in seconds.
        max_body_bytes: The largest answer that connections take.
        now: The clock of idleness, in seconds; counts suspend.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        ssl_context: ssl.SSLContext | None = None,
        max_idle_per_origin: int = 1024,
        idle_ttl_s: float = 60.0,
        connect_timeout_s: float = 10.0,
        max_body_bytes: int = MAX_BODY_BYTES,
        now: Callable[[], float] = boottime,
    ) -> None:
        self._policy = policy
        self._ssl_context = ssl_context or ssl.create_default_context()
        self._max_idle = max_idle_per_origin
        self._idle_ttl_s = idle_ttl_s
        self._connect_timeout_s = connect_timeout_s
        self._max_body_bytes = max_body_bytes
        self._now = now
        self._idle: dict[Origin, deque[Connection]] = {}
        self._origins: dict[str, Origin] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def acquire(self, url: str, *, reuse_window_s: float, deadline: float) -> Connection:
        """A connection to the URL's origin, ready to write to. Its taker gives it back with `release`.

        Args:
            url: Where the request will go.
            reuse_window_s: How lately a kept connection must have completed an exchange, in seconds. 5 for strict
                kinds of providers, where a dead peer would cost a doubt (custody protocol, step S3); 0 for a fresh one.
            deadline: When the connection must be there, by `loop.time()`, in seconds.

        Raises:
            ConnectFailed: No connection could be had. Nothing was sent.
        """
        if self._closed:
            raise ConnectFailed(FailureReason.INTERNAL_ERROR, "the pool is closed")
        origin = self._origin_of(url)
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if connection.is_reusable(within_s=min(reuse_window_s, self._idle_ttl_s)):
                return connection
            if connection.is_idle and not connection.has_input():
                kept.append(connection)  # sound, but too old for this caller, and so are those below it
                break
            connection.abort()
        return await self._connect(origin, deadline)

    def release(self, connection: Connection) -> None:
        """Takes a connection back. One that can't be used again is closed."""
        if self._closed or not connection.is_idle:
            connection.abort()
            return
        kept = self._idle.setdefault(connection.origin, deque())
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

    async def _connect(self, origin: Origin, deadline: float) -> Connection:
        """A fresh connection: the name is resolved, every address checked, and the checked ones are tried in turn."""
        loop = asyncio.get_running_loop()
        deadline = min(deadline, loop.time() + self._connect_timeout_s)
        try:
            addresses = await resolve(origin.host, origin.port, policy=self._policy, timeout_s=deadline - loop.time())
            last = len(addresses) - 1
            for turn, address in enumerate(addresses):
                until = deadline if turn == last else min(deadline, loop.time() + _PATIENCE_S)
                try:
                    return await self._connect_to(origin, address, until)
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

    async def _connect_to(self, origin: Origin, address: ResolvedAddress, until: float) -> Connection:
        """TCP to the checked address; then TLS, verified against the name that the URL has."""
        loop = asyncio.get_running_loop()
        tls = origin.scheme == "https"
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(0)
            async with asyncio.timeout_at(until):
                await loop.sock_connect(sock, address.sockaddr)
                _, connection = await loop.create_connection(
                    lambda: Connection(origin, max_body_bytes=self._max_body_bytes, now=self._now),
                    sock=sock,
                    ssl=self._ssl_context if tls else None,
                    server_hostname=origin.host if tls else None,
                )
        except BaseException:  # cancelled or failed: the socket has no other owner
            sock.close()
            raise
        return connection

    def _close_old_ones(self) -> None:
        """Closes what has been idle for too long. The oldest stand first."""
        now = self._now()
        self._sweep = None
        for origin, kept in list(self._idle.items()):
            while kept and (not kept[0].is_idle or now - (kept[0].idle_since or 0.0) >= self._idle_ttl_s):
                kept.popleft().abort()
            if not kept:
                del self._idle[origin]
        if self._idle:
            self._sweep = asyncio.get_running_loop().call_later(self._idle_ttl_s, self._close_old_ones)


def _told(fault: OSError) -> str:
    """What went wrong, in the library's words: about addresses and certificates, never about a request."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {fault.verify_message}"
    if isinstance(fault, ssl.SSLError):
        return f"TLS failed: {fault.reason}"
    return fault.strerror or type(fault).__name__
