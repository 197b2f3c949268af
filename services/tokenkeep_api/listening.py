"""The API's socket and the server on it."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from tokenkeep.domain.errors import SettingsError
from tokenkeep_api.guarded_protocol import ConnectionLimits, Crowd, FastPath, GuardedProtocol, guarded

_BACKLOG = 2048
_KEEP_ALIVE_S = 75
_DRAIN_S = 35
"""How long requests under way may take at the end: the longest wait for a token, and a little."""

_LIMITS = ConnectionLimits()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Port 0 lets the system choose.

    Raises:
        SettingsError: The address can't be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        msg = f"TOKENKEEP_API_PORT: can't listen on {host}:{port}: {error.strerror}"
        raise SettingsError(msg) from None
    return listener


class Server(uvicorn.Server):
    """uvicorn inside a process that has its own signal handlers."""

    def __init__(self, app: ASGIApp, limits: ConnectionLimits = _LIMITS, *, fast_path: FastPath | None = None) -> None:
        self._crowd = Crowd(limits)
        super().__init__(
            uvicorn.Config(
                app,
                http=guarded(self._crowd, fast_path),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # An address that a header tells is not to be believed without a setting that says whose.
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_DRAIN_S,
            )
        )

    def announce_end(self) -> None:
        """Each answer from now on is its connection's last, and says so (RFC 9112, section 9.6)."""
        self._crowd.leaving = True
        for connection in self.server_state.connections:
            if isinstance(connection, GuardedProtocol):
                connection.announce_end()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield
