"""A server program as a child process: started, awaited, stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenkeep.adapters.embedded.failure import EmbeddedFailure

CLEAN_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""What embedded programs get to see: none of the PG* variables that would steer them elsewhere."""

_POLL_S = 0.05
_LOG_LIMIT = 10 * 1024 * 1024
_TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how. `stop_signal` asks it to end; `user_id` and `group_id` are None for our own."""

    name: str
    command: Sequence[str]
    directory: Path
    log: Path
    stop_signal: signal.Signals
    user_id: int | None = None
    group_id: int | None = None


class ServerProcess:
    """One run of a program. It has its own session, so that a terminal's Ctrl-C does not reach it."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes]) -> None:
        self._program = program
        self._process = process

    @classmethod
    def start(cls, program: Program) -> "ServerProcess":
        """Start it; its output is appended to its log file.

        Raises:
            EmbeddedFailure: It can't be executed.
        """
        _keep_short(program.log)
        program.log.touch(mode=0o600)
        with program.log.open("ab") as log:
            try:
                process = subprocess.Popen(  # noqa: S603  # the wheel's own program, by its full path
                    program.command,
                    cwd=program.directory,
                    env=dict(CLEAN_ENVIRONMENT),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    umask=0o077,
                    user=program.user_id,
                    group=program.group_id,
                    extra_groups=None if program.user_id is None else [],
                )
            except OSError as error:
                msg = f"{program.name} can't be started: {error}"
                raise EmbeddedFailure(msg) from None
        return cls(program, process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Return once `ready` says so.

        Raises:
            EmbeddedFailure: The program ended, or took longer than `timeout_s`; it is stopped then.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.is_running():
                raise EmbeddedFailure(self.last_words())
            if time.monotonic() > deadline:
                self.stop(patience_s=1)
                msg = f"{self._program.name} was not ready within {timeout_s:g} s; see {self._program.log}"
                raise EmbeddedFailure(msg)
            time.sleep(_POLL_S)

    def last_words(self) -> str:
        """One line on how it ended: its status and the last line of its log."""
        lines = _tail(self._program.log).splitlines()
        last = lines[-1].strip() if lines else "it logged nothing"
        return f"{self._program.name} {describe_exit(self._process.returncode)}: {last} (log: {self._program.log})"

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.is_running():
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self, *, patience_s: float) -> None:
        """Ask it to end; after `patience_s` seconds make it end. Does nothing to what has ended already."""
        if self.is_running():
            self._process.send_signal(self._program.stop_signal)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def describe_exit(status: int | None) -> str:
    """How a process ended, in words. A negative status is the number of the signal that ended it."""
    if status is None:
        return "is still running"
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _keep_short(log: Path) -> None:
    """Put a long log aside, so that the two files together stay bounded over many starts."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_name(f"{log.name}.1"))


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace")
