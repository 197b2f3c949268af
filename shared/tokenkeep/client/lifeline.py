"""A connection on which a thread waits, in another thread's hand."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_OPENED = (".connect_tcp.complete", ".start_tls.complete")


class Lifeline:
    """Holds the latest connection that was opened, and can cut it: whoever reads from it sees its end at once.

    To close a client does not do that: a thread that waits for a socket goes on waiting when another one closes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cut = False

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """What httpx calls as its `trace`."""
        if not event.endswith(_OPENED):
            return
        opened = info["return_value"].get_extra_info("socket")
        with self._lock:
            self._socket = opened if isinstance(opened, socket.socket) else None
            if self._is_cut:
                self._end()

    def cut(self) -> None:
        """End the connection, and each that is opened after it."""
        with self._lock:
            self._is_cut = True
            self._end()

    def _end(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                # Not the TLS layer's own: it would pull that away from under the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
