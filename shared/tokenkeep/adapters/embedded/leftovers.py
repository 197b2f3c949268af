"""Servers that an earlier `up` left behind when it was killed.

They are known by their working directory, which both servers set to their data directory, and not by a pid file: a
pid file outlives its process, and after a restart of the machine or container its number may be anybody's.
"""

import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

_GENTLE_S = 30.0
_FORCED_S = 10.0
_POLL_S = 0.05


def stop_leftovers(program: str, directory: Path) -> int:
    """End every process of this program that works in this directory, and wait until it is gone.

    The caller holds the claim on the directory, so whatever runs there belongs to nobody.

    Returns:
        How many there were.
    """
    found = _running(program, directory)
    _signal(found, signal.SIGINT)
    stubborn = _still_there(found, wait_s=_GENTLE_S)
    _signal(stubborn, signal.SIGKILL)
    _still_there(stubborn, wait_s=_FORCED_S)
    return len(found)


def _running(program: str, directory: Path) -> list[psutil.Process]:
    real = str(directory.resolve())
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.name() == program and process.cwd() == real:
                found.append(process)
        except (psutil.Error, OSError):
            # Gone meanwhile, or another user's: then it can't be one of ours.
            continue
    return found


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """SIGINT is PostgreSQL's fast shutdown (SIGTERM would wait for its clients); Valkey takes it as SIGTERM."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _still_there(processes: Iterable[psutil.Process], *, wait_s: float) -> list[psutil.Process]:
    """Those that run even after a while."""
    deadline = time.monotonic() + wait_s
    there = [process for process in processes if _lives(process)]
    while there and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        there = [process for process in there if _lives(process)]
    return there


def _lives(process: psutil.Process) -> bool:
    try:
        # An orphan may stay a zombie for long where a container's first process does not reap.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
