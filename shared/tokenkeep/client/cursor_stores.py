"""Where a reader of the feed keeps its place."""

import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import IO, Protocol
from uuid import uuid4

from tokenkeep.client.errors import CursorInUse

if sys.platform != "win32":
    import fcntl


class CursorStore(Protocol):
    """Keeps one text for each group. Where it is a table beside what the handler writes, the place is as durable as that is."""

    def load(self, group: str) -> str | None:
        """The text that was saved last; None: none ever was."""

    def save(self, group: str, position: str) -> None:
        """Keep the text. When this returns, `load` will give it, whatever happens."""

    def release(self, group: str) -> None:
        """The reader has ended. Nothing need be done."""


class AsyncCursorStore(Protocol):
    """As `CursorStore`, for an event loop. `AsyncTokenkeep` takes both kinds; the other one's methods run in a thread."""

    def load(self, group: str) -> Awaitable[str | None]:
        """The text that was saved last; None: none ever was."""

    def save(self, group: str, position: str) -> Awaitable[None]:
        """Keep the text. When this returns, `load` will give it, whatever happens."""

    def release(self, group: str) -> Awaitable[None]:
        """The reader has ended. Nothing need be done."""


class MemoryCursorStore:
    """Keeps places for as long as the process lives."""

    def __init__(self) -> None:
        self._positions: dict[str, str] = {}

    def load(self, group: str) -> str | None:
        """The text that was saved last."""
        return self._positions.get(group)

    def save(self, group: str, position: str) -> None:
        """Keep the text."""
        self._positions[group] = position

    def release(self, group: str) -> None:
        """Nothing need be done."""


class FileCursorStore:
    """Keeps each place in a file of a directory, and lets one process at a time have it (not on Windows)."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        self._locks: dict[str, IO[bytes]] = {}

    def load(self, group: str) -> str | None:
        """The text that was saved last.

        Raises:
            CursorInUse: Another process reads by it, or this one does already.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._lock(group)
        try:
            return (self._directory / f"{group}.cursor").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def save(self, group: str, position: str) -> None:
        """Keep the text: the file is replaced whole, and synced."""
        write_whole(self._directory / f"{group}.cursor", position)

    def release(self, group: str) -> None:
        """Let another process have it."""
        if lock := self._locks.pop(group, None):
            lock.close()

    def _lock(self, group: str) -> None:
        if sys.platform == "win32" or group in self._locks:
            if group in self._locks:
                raise CursorInUse(f"the cursor of {group} is read by already")
            return
        lock = (self._directory / f"{group}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise CursorInUse(f"another process reads by the cursor of {group}") from None
        self._locks[group] = lock


def write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever reads it finds the former text or this one, also after a loss of power."""
    beside = path.with_name(f"{path.name}.{uuid4().hex}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if sys.platform != "win32":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
