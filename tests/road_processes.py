"""Processes of an installation whose stores and keys a test's road shares."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from household import a_free_port
from tokenkeep.bootstrap import Foundation
from tokenkeep.settings import child_environment

PROGRAM = "from tokenkeep.cli.processes import {name}; {name}()"


class Installed(Protocol):
    """A road, or whatever else knows an installation."""

    @property
    def foundation(self) -> Foundation: ...


def environment_of(road: Installed, **changes: object) -> dict[str, str]:
    settings = road.foundation.settings.model_copy(update=changes)
    return {**child_environment(settings), "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"}


@asynccontextmanager
async def process(
    road: Installed, name: str, *, stdout: int = asyncio.subprocess.DEVNULL, **changes: object
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of the installation, with settings changed; killed at the end, if it was not before."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM.format(name=name),
        env=environment_of(road, metrics_port=a_free_port(), api_host="127.0.0.1", **changes),
        stdout=stdout,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
