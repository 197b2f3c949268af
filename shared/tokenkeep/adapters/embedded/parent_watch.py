"""How a child process notices that `up` is gone, even if it was killed outright.

`up` holds the writing end of a pipe and never writes. Its children hold the reading end: it comes to its end exactly
when `up` does. This works alike on Linux and macOS, and against any kind of death.
"""

import contextlib
import os
import signal
import threading
import time

GRACE_S = 5.0
"""How long a child may drain once its parent is gone. Short: the next `up` needs the ports."""


def watch_parent(descriptor: int, *, grace_s: float = GRACE_S) -> None:
    """From now on, end this process when the pipe comes to its end: SIGTERM first, `grace_s` seconds later at once.

    Args:
        descriptor: The reading end, inherited from `up` (`--parent-pipe`).
        grace_s: Seconds to drain.
    """
    os.set_inheritable(descriptor, False)  # noqa: FBT003  # positional only
    threading.Thread(target=_end_with_parent, args=(descriptor, grace_s), name="parent-watch", daemon=True).start()


def _end_with_parent(descriptor: int, grace_s: float) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os._exit(1)
