"""One of our own processes under `up`: its output passed on line by line, its end awaited."""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tokenkeep.adapters.embedded.failure import EmbeddedFailure
from tokenkeep.adapters.embedded.server_process import describe_exit

_KEPT_LINES = 15
_CHUNK = 65_536
_LONGEST_LINE = 1024 * 1024
_OUTPUT_GRACE_S = 1.0

Sink = Callable[[bytes], None]
"""Takes whole lines."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to start. `inherit` are descriptors that the child may keep, such as the parent's pipe."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    inherit: tuple[int, ...] = ()


def terminal(descriptor: int) -> Sink:
    """A sink that writes to a descriptor of ours, as long as anybody is at its other end.

    There is no buffer in between: one that can't be flushed at exit would spoil the exit code.
    """

    def write(lines: bytes) -> None:
        left = memoryview(lines)
        # A closed terminal or pipe must not keep `up` from ending its children.
        with contextlib.suppress(OSError):
            while left:
                left = left[os.write(descriptor, left) :]

    return write


STDOUT: Sink = terminal(1)
STDERR: Sink = terminal(2)


class Child:
    """A child process that can be started any number of times. It leads a process group, so Ctrl-C passes it by."""

    def __init__(self, spec: ChildSpec, *, out: Sink = STDOUT, err: Sink = STDERR) -> None:
        self.name = spec.name
        self._spec = spec
        self._out = out
        self._err = err
        self._last: deque[str] = deque(maxlen=_KEPT_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._relays: list[asyncio.Task[None]] = []

    @property
    def pid(self) -> int | None:
        """The process id of the present or last run."""
        return None if self._process is None else self._process.pid

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines that it wrote, over all its runs."""
        return tuple(self._last)

    async def start(self) -> None:
        """Start it.

        Raises:
            EmbeddedFailure: It can't be executed.
        """
        # Shielded: were it cancelled halfway, there would be a process that nobody knows of.
        self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        # Pipes of our own: with asyncio's, `wait()` waits for a grandchild too that has inherited one.
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._spec.command,
                env=dict(self._spec.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out_end,
                stderr=err_end,
                pass_fds=self._spec.inherit,
                start_new_session=True,
            )
        except OSError as error:
            os.close(out)
            os.close(err)
            msg = f"{self.name} can't be started: {error.strerror}"
            raise EmbeddedFailure(msg) from None
        finally:
            os.close(out_end)
            os.close(err_end)
        streams = ((out, self._out), (err, self._err))
        self._relays = [asyncio.create_task(self._relay(end, sink)) for end, sink in streams]

    async def wait(self) -> str:
        """Wait for its end and say in words how it ended."""
        return describe_exit(await self.wait_status())

    async def wait_status(self) -> int:
        """Wait for its end; its exit code, or less the number of the signal that ended it."""
        if self._process is None:
            return 0
        status = await self._process.wait()
        # What it left behind in its group goes too, and with it the last holders of its output.
        self._kill_group()
        await self._finish_relays()
        return status

    async def stop(self, *, patience_s: float, hurry: asyncio.Event | None = None) -> None:
        """SIGTERM, then up to `patience_s` seconds to drain, fewer once `hurry` is set, then SIGKILL to the group."""
        if self._starting is not None:
            await asyncio.wait({self._starting})
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            ending = {asyncio.create_task(process.wait())}
            if hurry is not None:
                ending.add(asyncio.create_task(hurry.wait()))
            _, pending = await asyncio.wait(ending, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        if process.returncode is None:
            self._kill_group()
        await self.wait_status()

    def _kill_group(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _finish_relays(self) -> None:
        if self._relays:
            _, late = await asyncio.wait(self._relays, timeout=_OUTPUT_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._relays, return_exceptions=True)
            self._relays = []

    async def _relay(self, end: int, sink: Sink) -> None:
        """Pass on what comes out of a pipe."""
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(end, "rb", buffering=0)
        )
        try:
            await self._relay_lines(stream, sink)
        finally:
            transport.close()

    async def _relay_lines(self, stream: asyncio.StreamReader, sink: Sink) -> None:
        """Pass whole lines on, so that the lines of several children do not mix."""
        unfinished = b""
        while chunk := await stream.read(_CHUNK):
            lines, newline, rest = (unfinished + chunk).rpartition(b"\n")
            unfinished = rest
            if newline:
                self._pass_on(lines + newline, sink)
            if len(unfinished) > _LONGEST_LINE:
                self._pass_on(unfinished, sink)
                unfinished = b""
        if unfinished:
            self._pass_on(unfinished + b"\n", sink)

    def _pass_on(self, lines: bytes, sink: Sink) -> None:
        self._last.extend(line for line in lines.decode(errors="replace").splitlines() if line.strip())
        sink(lines)
