"""A real Prometheus and its promtool: the ones that are installed, or the Debian package, unpacked beside the tests' environment."""

import asyncio
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from household import a_free_port

UNPACKED = Path(sys.prefix) / "prometheus"
"""Goes when the environment goes."""
_APT_S = 240


@dataclass(frozen=True)
class Programs:
    """Where the two programs are."""

    prometheus: Path
    promtool: Path

    def check(self, *words: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """What promtool says, and how it ends."""
        return subprocess.run(
            [self.promtool, *words], input=text, capture_output=True, text=True, check=False, timeout=60
        )


@dataclass(frozen=True)
class Missing:
    """Why there are none. `a_fault`: a package source answered, so they should be here."""

    why: str
    a_fault: bool = False


def need_prometheus() -> Programs:
    """Without it a test is skipped where there is no apt or no mirror, and fails in CI where there are."""
    found = _found()
    if isinstance(found, Programs):
        return found
    reason = f"there is no Prometheus here (Debian: prometheus), and it can't be fetched: {found.why}"
    if found.a_fault and os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@cache
def _found() -> Programs | Missing:
    installed = _installed()
    if installed is not None:
        return installed
    # The suite runs in several processes; the first of them fetches, and the others wait for it.
    with UNPACKED.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _unpacked(UNPACKED) or fetch(UNPACKED)


def _installed() -> Programs | None:
    server, tool = shutil.which("prometheus"), shutil.which("promtool")
    return None if server is None or tool is None else Programs(Path(server), Path(tool))


def _unpacked(place: Path) -> Programs | None:
    programs = Programs(place / "usr/bin/prometheus", place / "usr/bin/promtool")
    return programs if programs.prometheus.exists() and programs.promtool.exists() else None


def fetch(place: Path) -> Programs | Missing:
    """The package from wherever this machine's apt has its packages from, with lists of its own, so that it takes no root. Or why not."""
    apt, unpack = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or unpack is None:
        return Missing("apt-get is not here")
    with tempfile.TemporaryDirectory(prefix="tk-apt-") as directory:
        path = Path(directory)
        try:
            package = _downloaded(apt, path)
            if isinstance(package, Missing):
                return package
            root = path / "root"
            subprocess.run([unpack, "-x", package, root], check=True, capture_output=True, timeout=60)
            shutil.rmtree(place, ignore_errors=True)
            shutil.move(root, place)
        except subprocess.TimeoutExpired:
            return Missing("the mirror does not answer in time")
        except (subprocess.SubprocessError, OSError) as error:
            return Missing(type(error).__name__, a_fault=True)
    return _unpacked(place) or Missing("the package holds something else", a_fault=True)


def _downloaded(apt_get: str, path: Path) -> Path | Missing:
    for name in ("lists/partial", "cache/archives/partial"):
        (path / name).mkdir(parents=True)
    (path / "status").touch()
    own = [
        f"Dir::State::Lists={path / 'lists'}",
        f"Dir::State::status={path / 'status'}",  # what is installed here already says nothing of what a mirror has
        f"Dir::Cache={path / 'cache'}",
        "Debug::NoLocking=1",
        "APT::Sandbox::User=root",  # nobody else may look into the directory
    ]
    apt = [apt_get, "-qq", *(word for option in own for word in ("-o", option))]

    def said(*words: str) -> str:
        done = subprocess.run([*apt, *words], cwd=path, capture_output=True, text=True, check=False, timeout=_APT_S)
        return done.stderr.strip() or f"exit {done.returncode}" * (done.returncode != 0)

    # A source that can't be reached is a warning to apt where it may hold nothing that is wanted.
    trouble = said("update")
    refused = said("download", "prometheus")
    packages = list(path.glob("prometheus_*.deb"))
    if packages:
        return packages[0]
    is_asked = any(one.is_file() for one in (path / "lists").iterdir())
    return Missing((trouble or refused).splitlines()[0], a_fault=is_asked and not trouble and "locate" in refused)


FETCHING_S = 2 * _APT_S + 120
"""How long a test may take that is the first one to ask for the programs."""


@dataclass(frozen=True)
class Prometheus:
    """A server that scrapes."""

    url: str

    async def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer that must be good."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=30) as client:
            answer = await client.get(f"/api/v1/{path}", params=parameters)
        body = answer.json()
        assert body["status"] == "success", f"{parameters}: {body.get('error')}"
        return body["data"]

    async def query(self, expression: str, *, at: float | None = None) -> list[tuple[Mapping[str, str], float]]:
        """What an instant query gives now, or gave at a moment of the Unix epoch."""
        when = {} if at is None else {"time": f"{at:.3f}"}
        data = await self.ask("query", query=expression, **when)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    async def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {name for name, state in await self._alerts() if state == "firing"}

    async def raised(self) -> set[str]:
        """The names of those that fire, or will if nothing changes."""
        return {name for name, _ in await self._alerts()}

    async def _alerts(self) -> list[tuple[str, str]]:
        return [(alert["labels"]["alertname"], alert["state"]) for alert in (await self.ask("alerts"))["alerts"]]


@asynccontextmanager
async def scraping(
    programs: Programs, directory: Path, targets: Sequence[str], *, rules: Sequence[Path] = ()
) -> AsyncIterator[Prometheus]:
    """A server that scrapes these targets each second."""
    config = directory / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
        f"rule_files: [{', '.join(str(path) for path in rules)}]\n"
        f"scrape_configs: [{{job_name: tokenkeep, static_configs: [{{targets: [{', '.join(repr(one) for one in targets)}]}}]}}]\n"
    )
    port = a_free_port()
    process = await asyncio.create_subprocess_exec(
        programs.prometheus,
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        server = Prometheus(f"http://127.0.0.1:{port}")
        await _until_ready(server, process)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _until_ready(server: Prometheus, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(40), httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        while True:
            if process.returncode is not None:
                said = b"" if process.stderr is None else await process.stderr.read()
                raise AssertionError(said.decode(errors="replace")[-2000:])
            try:
                if (await client.get("/-/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\[|\boffset |\bfor: )(\d+)([smhd])\b")
_SECONDS = re.compile(r"(_seconds(?::[a-z0-9_]+)?(?:\{[^}]*\})?\)? > |\btime\(\) - )(\d+)\b")
"""What a metric of seconds is compared with; counts and shares are not."""


def hastened(rules: Sequence[Path], factor: int, directory: Path) -> list[Path]:
    """Copies of rules for a world in which all takes `factor` times less: every range, `offset`, `for` and bound in seconds."""

    def span(found: re.Match[str]) -> str:
        seconds = int(found[2]) * _UNITS_S[found[3]]
        return f"{found[1]}{round(1000 * seconds / factor)}ms"

    def bound(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) / factor:g}"

    copies = []
    for path in rules:
        copy = directory / path.name
        copy.write_text(_SECONDS.sub(bound, _SPAN.sub(span, path.read_text(encoding="utf-8"))), encoding="utf-8")
        copies.append(copy)
    return copies


def metric_names(expression: str) -> set[str]:
    """The names of our metrics, and of our recording rules, in a query."""
    return set(re.findall(r"\b(?:[a-z]+:)?tokenkeep_[a-z_0-9]+(?::[a-z0-9_]+)?", expression))
