"""The processes that a measurement of refreshes needs besides our own: the token endpoint, and the reference's worker."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

_HOST: Final = "127.0.0.1"
_STARTING_S, _ENDING_S = 30.0, 20.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The token endpoint's process."""

    url: str

    async def control(self, **values: int) -> dict[str, Any]:
        """Set how it answers; returns what it has seen."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{self.url}/control", params=values)
            seen: dict[str, Any] = answer.json()
            return seen


@asynccontextmanager
async def open_endpoint() -> AsyncIterator[Endpoint]:
    """The token endpoint, ended with the block."""
    async with python_process("tokenkeep.cli.bench.refresh.endpoint") as port:
        yield Endpoint(f"http://{_HOST}:{port}")


@asynccontextmanager
async def python_process(module: str, said: str = "") -> AsyncIterator[str]:
    """A process of Python that prints a line when it is ready, and ends with its input. Yields that line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None  # noqa: S101 - they were asked for
    assert process.stdout is not None  # noqa: S101 - as above
    try:
        process.stdin.write(f"{said}\n".encode())
        async with asyncio.timeout(_STARTING_S):
            line = (await process.stdout.readline()).decode().strip()
        if not line:
            msg = f"{module} has not started"
            raise RuntimeError(msg)
        yield line
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _ENDING_S)
        except TimeoutError:
            process.kill()
            await process.wait()
