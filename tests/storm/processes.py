"""The processes of a storm: started, killed, stopped for a while, and remembered with every moment that they ran."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from storm.wire import Ends, Line

_LOOK_UP_EVERY_S = 0.2
_FIRST_WORDS = 65_536
_IN_THE_BACKLOG_S = 5.0
"""For how long a provider may leave a connection unaccepted."""


@dataclass(slots=True, eq=False)
class Life:
    """One process from its start to its end. Times are `time.monotonic()`."""

    service: str
    pid: int
    started: float
    ended: float | None = None
    killed: bool = False
    pauses: list[tuple[float, float | None]] = field(default_factory=list)

    @property
    def paused(self) -> bool:
        """Whether it is stopped now."""
        return bool(self.pauses) and self.pauses[-1][1] is None

    def ran_for(self, since: float, until: float) -> float:
        """For how many seconds it ran within a span, not counting those in which it was stopped."""
        total = until - since
        for began, over in self.pauses:
            total -= max(min(until, over or until) - max(since, began), 0.0)
        return total


class Runner:
    """One place for a process: when it was killed, the next one is started there."""

    def __init__(self, service: str, number: int, environment: Mapping[str, str], log: Path, pipe: int) -> None:
        self.service = service
        self.log = log
        self.number = number
        self.lives: list[Life] = []
        self._environment = environment
        self._pipe = pipe
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0

    @property
    def life(self) -> Life:
        """The present process."""
        return self.lives[-1]

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether the present process has said that it works."""
        with self.log.open("rb") as log:
            log.seek(self._said_before)
            return f"{self.service}_ready".encode() in log.read(_FIRST_WORDS)

    def start(self) -> None:
        """Start a process here."""
        self._said_before = self.log.stat().st_size if self.log.exists() else 0
        command = [sys.executable, "-m", "tokenkeep", self.service, "--parent-pipe", str(self._pipe)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=dict(self._environment), stdout=log, stderr=subprocess.STDOUT, pass_fds=(self._pipe,)
            )
        self.lives.append(Life(self.service, self._process.pid, time.monotonic()))

    def kill(self) -> None:
        """SIGKILL, and the next one at once."""
        assert self._process is not None
        life = self.life
        life.ended, life.killed = time.monotonic(), True
        self._process.kill()
        self._process.wait()
        self.start()

    def pause(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self.life.pauses.append((time.monotonic(), None))
        self._process.send_signal(signal.SIGSTOP)

    def resume(self, life: Life) -> None:
        """SIGCONT, if that process still lives."""
        assert self._process is not None
        if life is self.life and life.paused:
            life.pauses[-1] = (life.pauses[-1][0], time.monotonic())
            self._process.send_signal(signal.SIGCONT)

    def raise_the_dead(self) -> bool:
        """Start anew what ended by itself, which nothing should do."""
        if self.running:
            return False
        self.life.ended = time.monotonic()
        self.start()
        return True

    def stop(self) -> int:
        """SIGTERM; returns the exit status. What does not end within a minute is killed."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Fleet:
    """All runners. The pipe ends them all if the storm itself ends without a word."""

    def __init__(self, directory: Path) -> None:
        self.runners: list[Runner] = []
        self._nobodys: dict[Ends, Line] = {}
        self._left_behind: dict[Ends, tuple[float, Life]] = {}
        self._directory = directory
        self._pipe, self._held = os.pipe()

    def add(self, service: str, environment: Mapping[str, str]) -> Runner:
        """Make a place for one more process, and start it."""
        number = len(self.of(service))
        log = self._directory / f"{service}-{number}.log"
        runner = Runner(service, number, environment, log, self._pipe)
        runner.start()
        self.runners.append(runner)
        return runner

    def of(self, service: str) -> list[Runner]:
        """The runners of one service."""
        return [runner for runner in self.runners if runner.service == service]

    def opened(self, line: Line) -> None:
        """A connection was opened to a provider by one of the workers, or by one that has been killed since."""
        at, life = self._left_behind.pop(line.ends, (0.0, None))
        if life is not None and time.monotonic() - at < _IN_THE_BACKLOG_S:
            line.owner = life
        else:
            self._nobodys[line.ends] = line

    def look_up(self, runner: Runner) -> None:
        """Find out which of the new connections belong to this worker."""
        life = runner.life
        try:
            connections = psutil.Process(life.pid).net_connections("tcp4") if self._nobodys else []
        except psutil.Error:
            return
        for one in connections:
            self._own(_ends_of(one), life)

    def _own(self, ends: Ends, life: Life) -> None:
        line = self._nobodys.pop(ends, None)
        if line is not None:
            line.owner = life

    def kill(self, runner: Runner) -> None:
        """Kill a process and start the next one. Its connections are looked up first: later nobody could.

        It stands still meanwhile. A connection that the provider has not accepted yet carries its request all the same.
        """
        if runner.service == "worker" and runner.running:
            os.kill(runner.life.pid, signal.SIGSTOP)
            self._remember(runner.life)
        runner.kill()

    def _remember(self, life: Life) -> None:
        now = time.monotonic()
        for one in psutil.Process(life.pid).net_connections("tcp4"):
            self._own(_ends_of(one), life)
            self._left_behind[_ends_of(one)] = (now, life)

    async def keep_looking(self) -> None:
        """Look the connections up until cancelled."""
        while True:  # bounded by the storm, which cancels it
            await asyncio.sleep(_LOOK_UP_EVERY_S)
            for runner in self.of("worker"):
                await asyncio.to_thread(self.look_up, runner)

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._held)
        os.close(self._pipe)


def _ends_of(connection: Any) -> Ends:
    """A connection's own port and the one it leads to: two processes may have the same own port, to different places."""
    return getattr(connection.laddr, "port", 0), getattr(connection.raddr, "port", 0)
