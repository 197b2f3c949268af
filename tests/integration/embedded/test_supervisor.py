"""The supervisor and its children, with small scripts in the services' place."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import psutil
import pytest

from tokenkeep.adapters.embedded.child import Child, ChildSpec
from tokenkeep.adapters.embedded.failure import EmbeddedFailure
from tokenkeep.adapters.embedded.restarts import RestartPolicy
from tokenkeep.adapters.embedded.supervisor import Supervisor

QUICK = RestartPolicy(first_delay_s=0.01)
STAYS = "import time; print('here', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"


@dataclass
class Output:
    """Collects what children write, and wakes whoever waits for it."""

    text: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, lines: bytes) -> None:
        self.text += lines.decode()
        self.news.set()

    def announce(self, line: str) -> None:
        self(f"{line}\n".encode())

    async def shows(self, wanted: str, *, times: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.text.count(wanted) < times:
                await self.news.wait()
                self.news.clear()


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
async def supervisor(output: Output) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(output.announce, policy=QUICK)
    yield supervisor
    await supervisor.stop(drain_s=0)


def toy(script: str, output: Output, *arguments: str) -> Child:
    return Child(ChildSpec("toy", [sys.executable, "-c", script, *arguments], os.environ), out=output, err=output)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_dead_child_is_started_again_with_a_visible_line(supervisor: Supervisor, output: Output) -> None:
    child = toy(STAYS, output)
    supervisor.keep_child(child)
    await output.shows("here")
    assert child.pid is not None

    os.kill(child.pid, signal.SIGKILL)

    await output.shows("toy was ended by SIGKILL; starting it again in 0.01 s")
    await output.shows("here", times=2)


async def test_a_child_that_keeps_dying_is_given_up_with_its_last_words(supervisor: Supervisor, output: Output) -> None:
    supervisor.keep_child(toy("import sys; sys.exit('no keyring')", output))

    async with asyncio.timeout(20):
        failure = await supervisor.failed()

    assert str(failure) == ("toy died 5 times within 60 s and is given up; it last ended with exit code 1: no keyring")
    assert output.text.count("starting it again") == 4


async def test_a_command_that_is_not_there_fails_at_once(supervisor: Supervisor, output: Output) -> None:
    supervisor.keep_child(Child(ChildSpec("toy", ["/nowhere/toy"], os.environ), out=output, err=output))

    async with asyncio.timeout(10):
        failure = await supervisor.failed()

    assert str(failure) == "toy can't be started: No such file or directory"


async def test_children_are_asked_to_end_and_may_finish(output: Output) -> None:
    script = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(print('drained')))\n" + STAYS
    child = toy(script, output)
    await child.start()
    await output.shows("here")

    await child.stop(patience_s=10)

    assert "drained" in output.text


@pytest.mark.parametrize("how", ["after its time", "at once in a hurry"])
async def test_a_child_that_does_not_listen_is_killed(output: Output, how: str) -> None:
    child = toy(DEAF, output)
    await child.start()
    await output.shows("here")
    hurry = asyncio.Event()
    if how == "at once in a hurry":
        hurry.set()

    async with asyncio.timeout(10):
        await child.stop(patience_s=0.1 if not hurry.is_set() else 60, hurry=hurry)

    assert await child.wait() == "was ended by SIGKILL"


async def test_what_a_child_leaves_behind_goes_with_it(output: Output) -> None:
    script = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid)"
    child = toy(script, output, STAYS.replace("print('here', flush=True); ", ""))
    await child.start()
    await child.wait()

    async with asyncio.timeout(10):
        while lives(int(output.text)):  # noqa: ASYNC110  # a stranger's end sets no event
            await asyncio.sleep(0.01)


async def test_lines_are_passed_on_whole(output: Output) -> None:
    script = "import sys, time; [(sys.stdout.write(c), sys.stdout.flush()) for c in 'one line\\nand an unfinished one']"
    seen: list[bytes] = []
    child = Child(ChildSpec("toy", [sys.executable, "-c", script], os.environ), out=seen.append, err=output)
    await child.start()
    await child.wait()

    assert b"".join(seen) == b"one line\nand an unfinished one\n"
    assert all(lines.endswith(b"\n") for lines in seen)
    assert child.last_lines == ("one line", "and an unfinished one")


@dataclass
class FakeServer:
    """A server that dies when it is told to, and starts again if it may."""

    running: bool = True
    may_start: bool = True
    started: threading.Event = field(default_factory=threading.Event)

    def is_running(self) -> bool:
        return self.running

    def last_words(self) -> str:
        return "Database ended with exit code 2: disk full"

    def restart(self) -> None:
        if not self.may_start:
            raise EmbeddedFailure(self.last_words())
        self.running = True
        self.started.set()

    def stop(self) -> None:
        self.running = False


async def test_a_dead_server_is_noticed_and_started_again(supervisor: Supervisor, output: Output) -> None:
    server = FakeServer()
    supervisor.keep_server("Database", server)

    server.running = False

    await output.shows("Database ended with exit code 2: disk full; starting it again in 0.01 s")
    async with asyncio.timeout(10):
        await asyncio.to_thread(server.started.wait)


async def test_a_server_that_is_left_alone_may_die_as_often_as_it_likes(supervisor: Supervisor) -> None:
    server = FakeServer()
    supervisor.keep_server("Database", server)
    other = FakeServer()
    supervisor.keep_server("Queue", other)

    await supervisor.leave_alone("Database")
    server.running = False
    other.running = False

    async with asyncio.timeout(10):
        await asyncio.to_thread(other.started.wait)
    assert not server.started.is_set()
    supervisor.keep_server("Database", server)
    async with asyncio.timeout(10):
        await asyncio.to_thread(server.started.wait)


async def test_a_server_that_does_not_start_any_more_is_given_up(supervisor: Supervisor, output: Output) -> None:
    server = FakeServer(may_start=False)
    supervisor.keep_server("Database", server)

    server.running = False
    async with asyncio.timeout(20):
        failure = await supervisor.failed()

    assert str(failure) == (
        "Database died 5 times within 60 s and is given up; it last ended with exit code 2: disk full"
    )
    assert output.text.count("starting it again") == 4
