"""What processes take that have nothing to do, however many accounts rest in the database."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from tokenkeep.cli.bench.installation import Installation

_SETTLE_S = 2.0
_WATCH_S = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Idle:
    """Resident memory in bytes, and the share of one core."""

    rss_bytes: int
    cpu_share: float


async def idle_processes(installation: Installation) -> dict[str, Idle]:
    """A scheduler and a worker, watched for ten seconds while nothing is due."""
    async with installation.process("scheduler") as scheduler, installation.process("worker") as worker:
        await asyncio.sleep(_SETTLE_S)
        before = {child.name: _cpu_s(child.pid or 0) for child in (scheduler, worker)}
        began = time.monotonic()
        await asyncio.sleep(_WATCH_S)
        watched = time.monotonic() - began
        return {
            child.name: Idle(_rss(child.pid or 0), (_cpu_s(child.pid or 0) - before[child.name]) / watched)
            for child in (scheduler, worker)
        }


def _cpu_s(pid: int) -> float:
    """User and system time (proc(5), stat: fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
