"""Load that a compiled program makes (k9, an engine in Rust), so that Python serves only on the one side."""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from tokenkeep.domain.errors import SettingsError

_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it. Each request was answered with a 200, and with a token where tokens were expected."""

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Target:
    """Where tokens are read; `expected` is in each of the answers."""

    url: str
    key: str
    expected: str


def require_generator() -> None:
    """Raises `SettingsError` when the generator is not installed."""
    if find_spec("k9") is None:
        msg = "the load generator is missing: pip install 'tokenkeep[bench]'"
        raise SettingsError(msg)


async def drive(target: Target, accounts: Sequence[str], *, connections: int, seconds: float) -> Load:
    """Read the tokens of these accounts, chosen at random, over so many connections at once.

    Raises:
        RuntimeError: An answer was wrong, or the generator failed.
        TimeoutError: It did not end.
    """
    plan = _plan(target, accounts, connections, seconds)
    with tempfile.TemporaryDirectory(prefix="tk-load-") as directory:
        path, summary = Path(directory, "plan.json"), Path(directory, "summary.json")
        await asyncio.to_thread(path.write_bytes, orjson.dumps(plan))
        wanted = ("--summary-trend-stats", "med,p(99)", "--summary-export", str(summary))
        command = (sys.executable, "-m", "k9", "run", "--quiet", "--no-color", *wanted, str(path))
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(seconds + _GRACE_S):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise RuntimeError(f"the load generator failed: {output.decode(errors='replace')[-500:]}")
        return _read(orjson.loads(await asyncio.to_thread(summary.read_bytes)))


def _plan(target: Target, accounts: Sequence[str], connections: int, seconds: float) -> dict[str, Any]:
    request = {
        "method": "POST",
        "url": f"{target.url}/v1/accounts/{{{{ accounts.id }}}}/token",
        "headers": {"Authorization": f"Bearer {target.key}"},
        "checks": {"answered": {"status": 200}, "right": {"bodyContains": target.expected}},
    }
    rows = [{"id": name} for name in accounts]
    return {
        "options": {"vus": connections, "duration": f"{seconds:g}s"},
        "flows": {"default": [{"request": request}]},
        "feeders": {"accounts": {"rows": rows, "mode": "random"}},
    }


def _read(summary: dict[str, Any]) -> Load:
    metrics = summary["metrics"]
    wrong = {check["name"]: check["fails"] for check in summary["root_group"]["checks"] if check["fails"]}
    if wrong:
        raise RuntimeError(f"answers that were not: {wrong}")
    took = metrics["http_req_duration"]
    return Load(int(metrics["http_reqs"]["count"]), metrics["http_reqs"]["rate"], took["med"], took["p(99)"])
