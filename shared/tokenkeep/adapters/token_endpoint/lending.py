"""Connections lent for one exchange, the way the use-cases ask for them."""

from types import TracebackType

from tokenkeep.adapters.token_endpoint.connection import Connection
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.providers.answer import TokenRequest


class LentConnections:
    """A pool whose connections always come back."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def lend(self, request: TokenRequest, *, reuse_window_s: float, deadline: float) -> "_Loan":
        """A ready connection, given back at the end of the block. Entering raises `ConnectFailed`: nothing was sent."""
        return _Loan(self._pool, request, reuse_window_s, deadline)


class _Loan:
    """One connection, while somebody has it. A class: a generator in its place costs half as much as an exchange."""

    __slots__ = ("_connection", "_deadline", "_pool", "_request", "_reuse_window_s")

    def __init__(self, pool: ConnectionPool, request: TokenRequest, reuse_window_s: float, deadline: float) -> None:
        self._pool = pool
        self._request = request
        self._reuse_window_s = reuse_window_s
        self._deadline = deadline

    async def __aenter__(self) -> Connection:
        request = self._request
        self._connection = await self._pool.acquire(
            request.url, request.client_key, reuse_window_s=self._reuse_window_s, deadline=self._deadline
        )
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.release(self._connection)
