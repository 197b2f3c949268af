"""The commands of docs/tutorials/quickstart.md, one after another, as they stand there."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from connect_browser import ConnectBrowser, heading
from household import a_free_port
from markdown_pages import ROOT

PAGE = ROOT / "docs" / "tutorials" / "quickstart.md"
DONE = "the end of this command"
STEP = re.compile(
    r"(?:<!-- (?P<mark>[^>]*) -->\n)?(?:```(?P<language>sh|python|text)\n(?P<block>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Step:
    """A block of the page, or what its reader does by hand; `mark` is the comment before it."""

    mark: str
    language: str
    block: str


def steps(ports: dict[str, int]) -> Iterator[Step]:
    """What the page has its reader do, in order, with ports that are free here."""
    page = PAGE.read_text(encoding="utf-8")
    page = re.sub("|".join(ports), lambda found: str(ports[found[0]]), page)
    for found in STEP.finditer(page):
        if found["mark"] or found["block"]:
            yield Step(found["mark"] or "", found["language"] or "", found["block"] or "")


def shape(text: str) -> str:
    """An output without what differs from run to run."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "(a moment)", text).strip()


@dataclass
class Terminal:
    """A shell that is given one block after another. A command that fails ends it."""

    shell: asyncio.subprocess.Process

    async def run(self, block: str) -> str:
        """What a block prints."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f"{block}\necho; echo {DONE}\n".encode())
        lines: list[str] = []
        async with asyncio.timeout(90):
            async for line in self.shell.stdout:
                if line.decode().rstrip() == DONE:
                    return "".join(lines)
                lines.append(line.decode())
        raise AssertionError(f"it ended at\n{block}\n{''.join(lines)}")


@asynccontextmanager
async def terminal(directory: Path, **more: str) -> AsyncIterator[Terminal]:
    shell = await asyncio.create_subprocess_exec(
        "/bin/bash",
        "-eo",
        "pipefail",
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield Terminal(shell)
    finally:
        if shell.returncode is None:
            shell.kill()
        await shell.wait()


@pytest.fixture
def directory(short_dir: Path) -> Path:
    """What a reader has after `make setup`."""
    short_dir.chmod(0o711)
    (short_dir / ".venv").symlink_to(sys.prefix)
    return short_dir


@asynccontextmanager
async def first_terminal(directory: Path, block: str, **ports: str) -> AsyncIterator[list[str]]:
    """The block that stays in the foreground; what it says until it is up, and Ctrl-C in the end."""
    process = await asyncio.create_subprocess_exec(
        "/bin/bash",
        "-ec",
        block,
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **ports},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    said: list[str] = []
    reading: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(90):
            async for line in process.stdout:
                said.append(line.decode())
                if "  stop " in said[-1]:
                    break
        reading = asyncio.create_task(process.stdout.read())
        yield said
    finally:
        # The group, as a terminal does it: the provider is in it, and a job of a shell without job control does not hear of SIGINT.
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        if reading is not None:
            await reading


async def user_connects(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        # A link of an event leads to a session of its own first.
        opened = await http.get(url)
        session = urljoin(url, opened.headers.get("location", url))
        assert heading(await ConnectBrowser(http).connect(session)) == "You are connected"


async def test_the_quickstart_works_from_its_first_command_to_its_last(directory: Path) -> None:
    ports = {"8080": a_free_port(), "9000": a_free_port()}
    todo = list(steps(ports))
    [opening] = [step for step in todo if step.mark == "first terminal"]
    settings = {"TOKENKEEP_API_PORT": str(ports["8080"]), "TOKENKEEP_METRICS_PORT": str(a_free_port())}
    output, ran = "", 0
    async with first_terminal(directory, opening.block, **settings) as said, terminal(directory, **settings) as second:
        for step in todo:
            match step:
                case Step(mark="first terminal" | "not run: it made what runs the test"):
                    continue
                case Step(mark="said", block=block):
                    assert block in "".join(said)
                case Step(mark="the user: connect"):
                    await user_connects(output.strip().splitlines()[-1])
                case Step(mark="the user: wait for a refresh"):
                    await second.run(
                        'until curl -s $API/v1/accounts/$ACCOUNT/attempts -H "$AUTH" | grep -q \'"outcome":"ok"\'; do sleep 0.5; done'
                    )
                case Step(language="sh", block=block):
                    output = await second.run(block)
                    ran += 1
                case Step(language="python", block=block):
                    name = block.splitlines()[0].removeprefix("# ")
                    (directory / name).write_text(block)
                case Step(language="text", block=block):
                    assert shape(output) == shape(block)
                case _:
                    raise AssertionError(f"nobody knows what to do with {step}")
    assert ran > 10
