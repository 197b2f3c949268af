"""The transport to token endpoints: HTTP/1.1 that knows, after every exchange, whether the request may have left.

    connection = await pool.acquire(url, reuse_window_s=5.0, deadline=...)   # connected before the write-ahead mark
    try:
        outcome = await connection.exchange(request, deadline=..., send_before=...)   # sent once, or not at all
    finally:
        pool.release(connection)

`acquire` raises `ConnectFailed`, after which nothing was sent. `exchange` returns an `Answer` or a `NoAnswer`.
"""

from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy, check_url, resolve
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.connection import Connection
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.domain.errors import ConnectFailed

__all__ = ["AddressPolicy", "ConnectFailed", "Connection", "ConnectionPool", "boottime", "check_url", "resolve"]
