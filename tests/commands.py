"""Commands over the HTTP API as a user runs them: processes of their own, over HTTP."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from api_service import ADMIN_KEY, Service
from tokenkeep_api.app import create_app
from tokenkeep_api.listening import Server, bind


@dataclass
class Run:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@asynccontextmanager
async def served(service: Service) -> AsyncIterator[str]:
    """The service's API at an address."""
    with bind("127.0.0.1", 0) as listener:
        server = Server(create_app(service.wired))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving


@dataclass(frozen=True)
class Commands:
    """One group of commands at one API; `named`: each names the environment of the service."""

    group: str
    service: Service
    url: str
    named: bool = True

    def words(self, *words: str) -> list[str]:
        flags = ["--environment", self.service.environment] if self.named else []
        return [sys.executable, "-m", "tokenkeep", self.group, *words, *flags]

    def environment(self, **given: str) -> dict[str, str]:
        own = {"TOKENKEEP_PUBLIC_URL": self.url, "TOKENKEEP_ADMIN_KEY": ADMIN_KEY, "COLUMNS": "200"}
        return {**os.environ, **own, **given}

    async def begin(self, *words: str, typed: bool = False, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self.words(*words),
            env=self.environment(**environment),
            stdin=asyncio.subprocess.PIPE if typed else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *words: str, given: str | None = None, **environment: str) -> Run:
        process = await self.begin(*words, typed=given is not None, **environment)
        out, err = await process.communicate(None if given is None else given.encode())
        assert process.returncode is not None
        return Run(process.returncode, out.decode(), err.decode())
