"""`tokenkeep demo --incident` as its users run it, watched line by line."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from household import HURRIED

_SHOWN_LINES = 120
_FORM_KEY = re.compile(r'name="form" value="([0-9a-f]{64})"')
_RUNBOOK = re.compile(r"docs/runbooks/(\w+)\.md")


@dataclass
class RunningRehearsal:
    """One run, and what it has said so far."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def until(self, pattern: str, *, within_s: float = 120) -> re.Match[str]:
        """Read on until a line matches; the match."""
        try:
            async with asyncio.timeout(within_s):
                while line := await self._next():
                    found = re.search(pattern, line)
                    if found is not None:
                        return found
        except TimeoutError:
            pass
        raise AssertionError(f"nothing matched {pattern!r}:\n{self.said()}")

    async def end(self, *, within_s: float = 60) -> int:
        """Its exit code, once it has ended by itself."""
        async with asyncio.timeout(within_s):
            while await self._next():
                continue
            return await self.process.wait()

    def said(self) -> str:
        return "\n".join(self.lines[-_SHOWN_LINES:])

    def admin_key(self) -> str:
        [file] = re.findall(r"admin key  (.+)", "\n".join(self.lines))
        return Path(file).read_text(encoding="utf-8").strip()

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    async def _next(self) -> str:
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode(errors="replace")
        if line:
            self.lines.append(line.rstrip("\n"))
        return line


@asynccontextmanager
async def rehearsing(data_dir: Path, *words: str) -> AsyncIterator[RunningRehearsal]:
    """A rehearsal under settings by which what takes minutes takes seconds. It is stopped if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tokenkeep",
        "demo",
        "--plain",
        "--token-lifetime",
        "10",
        *words,
        env={**os.environ, **HURRIED, "TOKENKEEP_DATA_DIR": str(data_dir)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    running = RunningRehearsal(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.communicate(), 60)
        except TimeoutError:
            # All else ends with it: it holds their pipe.
            process.kill()
            await process.wait()
            raise


@asynccontextmanager
async def at_the_console(rehearsal: RunningRehearsal) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in with the demo's admin key, as the rehearsal says where."""
    [url] = re.findall(r"tokenkeep is up: (\S+)", "\n".join(rehearsal.lines))
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30) as http:
        page = await http.get("/console/sign-in")
        [form_key] = _FORM_KEY.findall(page.text)
        form = {"form": form_key, "key": rehearsal.admin_key(), "environment": "demo"}
        entered = await http.post("/console/sign-in", data=form)
        assert entered.status_code == 303, entered.text
        yield http


async def runbooks_named(http: httpx.AsyncClient, path: str = "/console") -> set[str]:
    """The runbooks that a page of the console leads to."""
    page = await http.get(path)
    assert page.status_code == 200, page.text
    return set(_RUNBOOK.findall(page.text))
