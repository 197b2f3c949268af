"""The API as a process of its own, beside a service whose stores and keys it shares."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_service import Service
from tokenkeep.settings import child_environment

PROGRAM = "from tokenkeep.cli.processes import api; api()"


@dataclass
class ApiProcess:
    """A process that is ready to answer."""

    process: asyncio.subprocess.Process
    port: int
    reading: asyncio.Task[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def kill(self) -> None:
        """End it without a word to anybody."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def api_process(
    service: Service, data_dir: Path, *, port: int = 0, drain_delay_s: float = 0.0
) -> AsyncIterator[ApiProcess]:
    """A process of its own over the service's stores."""
    settings = service.foundation.settings.model_copy(
        update={
            "api_port": port,
            "api_drain_delay_s": drain_delay_s,
            "log_level": "info",
            "log_format": "json",
            "data_dir": data_dir,
        }
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        env={**child_environment(settings), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    ready: dict[str, Any] = {}
    async for line in process.stdout:
        ready = json.loads(line)
        if ready["event"] == "api_ready":
            break
    assert ready, "the API did not start"
    reading = asyncio.create_task(process.stdout.read())
    try:
        yield ApiProcess(process, ready["port"], reading)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await reading
