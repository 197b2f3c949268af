"""What this host gives to a process: the spool's directory, open files."""

import asyncio
import os
import resource
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Final, TypeVar

from tokenkeep.application.checkup.machine import SpoolFacts

_MOUNTS: Final = Path("/proc/self/mountinfo")
_MOST_COUNTED: Final = 100_000
_ANSWER: Final = ".answer"

T = TypeVar("T")


async def aside(look: Callable[[], T]) -> T:
    """What this comes to, in a thread that nobody waits for at the end: a disk that hangs would keep the whole process."""
    found: Future[T] = Future()
    found.set_running_or_notify_cancel()  # from now on whoever gives up leaves it to the thread

    def run() -> None:
        try:
            found.set_result(look())
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            found.set_exception(error)

    Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(found)


def read_spool_facts(directory: Path) -> SpoolFacts:
    """The directory, or the nearest above it if it is not made yet: what holds there is what it will have."""
    path = directory.absolute()
    try:
        there = next(one for one in (path, *path.parents) if one.exists())
    except OSError as error:
        return SpoolFacts(path, None, None, 0, 0, 0, f"it can't be looked at: {error.strerror}")
    failure = _failure(there)
    try:
        found = os.statvfs(there)
        mode = stat.S_IMODE(path.stat().st_mode) if path.is_dir() else None
        with os.scandir(there) as entries:
            names = (entry.name for _, entry in zip(range(_MOST_COUNTED), entries, strict=False))
            waiting = sum(name.endswith(_ANSWER) for name in names) if there == path else 0
    except OSError as error:
        return SpoolFacts(path, None, None, 0, 0, 0, failure or error.strerror)
    # Some file systems count no files.
    files = found.f_favail if found.f_files else _MOST_COUNTED
    return SpoolFacts(path, mode, _kind(there), found.f_bavail * found.f_frsize, files, waiting, failure)


def read_open_files() -> int:
    """How many files a process may open, by the soft limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft


def _failure(directory: Path) -> str | None:
    """Why a file can't be written there and synced, if so."""
    if not directory.is_dir():
        return f"{directory} is not a directory"
    try:
        with tempfile.TemporaryFile(dir=directory, prefix="tokenkeep-doctor-") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"nothing can be written: {error.strerror}"
    return None


def _kind(directory: Path) -> str | None:
    """The kind of file system, where the host tells (proc(5), mountinfo)."""
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return None
    path, best, kind = str(directory.resolve()), "", None
    for line in lines:
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4].encode().decode("unicode_escape")
        within = path == point or path.startswith(point.rstrip("/") + "/")
        if within and len(point) >= len(best):
            best, kind = point, rest.split(" ")[0]
    return kind
