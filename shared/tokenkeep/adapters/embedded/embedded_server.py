"""What the embedded servers have in common: a URL, a process that can be replaced, a claim on its data."""

import threading
from collections.abc import Callable

from tokenkeep.adapters.embedded.claim import Claim
from tokenkeep.adapters.embedded.failure import EmbeddedFailure
from tokenkeep.adapters.embedded.server_process import ServerProcess


class EmbeddedServer:
    """A running server. Its methods block, and may be called from several threads.

    `launch` clears away what the last run left and starts the program; it returns once the server can be used.
    """

    def __init__(self, *, url: str, claim: Claim, stop_patience_s: float, launch: Callable[[], ServerProcess]) -> None:
        self.url = url
        self._claim = claim
        self._stop_patience_s = stop_patience_s
        self._launch = launch
        self._changing = threading.Lock()
        self._stopped = False
        self._process = launch()

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the server's process has not ended."""
        return self._process.is_running()

    def last_words(self) -> str:
        """One line on how it ended."""
        return self._process.last_words()

    def kill(self) -> None:
        """End it as a crash would. Its claim and its data stay, so that `restart` brings it back."""
        with self._changing:
            self._process.kill()

    def restart(self) -> None:
        """Start it anew under the same URL, be it running or not.

        Raises:
            EmbeddedFailure: It did not start, or has been stopped for good.
        """
        with self._changing:
            if self._stopped:
                msg = "the server has been stopped"
                raise EmbeddedFailure(msg)
            self._process.stop(patience_s=self._stop_patience_s)
            self._process = self._launch()

    def stop(self) -> None:
        """Shut it down for good, its data flushed, and let go of its data directory. Waits for a restart under way."""
        with self._changing:
            self._stopped = True
            self._process.stop(patience_s=self._stop_patience_s)
            self._claim.release()
