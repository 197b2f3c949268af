"""One process at a time per data directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tokenkeep.adapters.embedded.failure import AlreadyRunning


class Claim:
    """An exclusive hold on something, by `flock` on a file of its own.

    The kernel lets go of it when the process ends, however it ends, so nothing is ever left to clean up. The file
    stays: were it removed, two processes could hold locks on two files of the same name.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, lock_file: Path, *, on: str) -> Self:
        """Claim what the lock file stands for; `on` names it to the user.

        Raises:
            AlreadyRunning: Another process holds the claim; the message gives its process id.
        """
        # Descriptors are not inherited by children (PEP 446); one that was would keep the lock alive after us.
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            msg = f"{on} is in use by another tokenkeep{f' (process {holder})' if holder else ''}"
            raise AlreadyRunning(msg) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let go. More than once does no harm."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def claimed(lock_file: Path, *, on: str) -> Iterator[None]:
    """Hold a claim for the length of a block."""
    claim = Claim.take(lock_file, on=on)
    try:
        yield
    finally:
        claim.release()
