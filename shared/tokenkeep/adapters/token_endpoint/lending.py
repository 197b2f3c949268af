"""Connections lent for one exchange, the way the use-cases ask for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tokenkeep.adapters.token_endpoint.connection import Connection
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.providers.answer import TokenRequest


class LentConnections:
    """A pool whose connections always come back."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def lend(self, request: TokenRequest, *, reuse_window_s: float, deadline: float) -> AsyncIterator[Connection]:
        """A ready connection, given back at the end of the block. Raises `ConnectFailed`: nothing was sent."""
        connection = await self._pool.acquire(
            request.url, request.client_key, reuse_window_s=reuse_window_s, deadline=deadline
        )
        try:
            yield connection
        finally:
            self._pool.release(connection)
