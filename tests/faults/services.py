"""Services as processes of their own, to be stopped, continued and killed."""

import asyncio
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


async def eventually(condition: Callable[[], bool], what: Callable[[], str], *, within_s: float) -> None:
    """Wait for what must happen."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - it asks other processes
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError(f"not within {within_s} s: {what()}") from None


class Nursery:
    """Forks services, of the code in this directory if one is given."""

    def __init__(self, code: Path | None = None) -> None:
        rooms = [] if code is None else [str(code / room) for room in ("shared", "services", "deploy")]
        path = {"PYTHONPATH": os.pathsep.join(rooms)} if rooms else {}
        self._codes = tempfile.TemporaryDirectory(prefix="tk-codes-")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py")), self._codes.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("TOKENKEEP_")} | path,
            text=True,
        )
        self._asking = threading.Lock()
        assert self._read() == "ready"

    async def start(self, service: str, *, environment: dict[str, str], log: Path) -> "Service":
        clock = WallClock(log.with_suffix(".clock"))
        request = {"service": service, "environment": environment, "log": str(log), "clock": str(clock.file)}
        since = log.stat().st_size if log.exists() else 0  # noqa: ASYNC240 - a moment
        process = psutil.Process(await asyncio.to_thread(self._ask, request))
        return Service(service, process, log, since, clock, Path(self._codes.name, str(process.pid)))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
        self._codes.cleanup()

    def _ask(self, request: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        with self._asking:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return int(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@dataclass
class Service:
    """One process. `since` is where its own part of the log begins; `code` tells how it ended."""

    name: str
    process: psutil.Process
    log: Path
    since: int
    clock: "WallClock"
    code: Path

    def said(self) -> str:
        return self.log.read_bytes()[self.since :].decode(errors="replace") if self.log.exists() else ""

    def exit_code(self) -> int | None:
        """Negative for a signal; None as long as it has not ended."""
        return int(self.code.read_text()) if self.code.exists() else None

    def is_ready(self) -> bool:
        assert self.is_alive(), self.said()[-2000:]
        return f"{self.name}_ready" in self.said()

    def is_alive(self) -> bool:
        return self._status() not in {None, psutil.STATUS_ZOMBIE}

    def is_stopped(self) -> bool:
        return self._status() == psutil.STATUS_STOPPED

    def has_struck(self) -> bool:
        return '"failpoint_struck"' in self.said()

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.is_alive():
            self.process.send_signal(signal.SIGKILL)

    def _status(self) -> str | None:
        try:
            return self.process.status()
        except psutil.NoSuchProcess:
            return None


class WallClock:
    """By how many seconds the wall clock of a service is wrong."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.step(0.0)

    def step(self, seconds: float) -> None:
        with self.file.open("r+b" if self.file.exists() else "wb") as opened:
            opened.write(struct.pack("d", seconds))
