"""`tokenkeep up` as a user starts it: real processes, real signals, one data directory."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import redis.asyncio

HURRIED = {
    "TOKENKEEP_PROVIDER_DEADLINE_S": "2",
    "TOKENKEEP_WRITE_AHEAD_S": "1",
    "TOKENKEEP_LEASE_S": "3",
    "TOKENKEEP_QUARANTINE_S": "4",
    "TOKENKEEP_DISPATCH_TIMEOUT_S": "3",
    "TOKENKEEP_TICK_INTERVAL_S": "0.25",
    "TOKENKEEP_SWEEP_INTERVAL_S": "0.5",
}
"""Settings under which what takes minutes takes seconds."""

CALM = {
    "TOKENKEEP_PROVIDER_DEADLINE_S": "10",
    "TOKENKEEP_LEASE_S": "15",
    "TOKENKEEP_QUARANTINE_S": "20",
}
"""Changes for tests that kill nobody: their provider runs in their own process, and answers late when that stands still."""


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass
class Household:
    """One run of `up` over a data directory."""

    data_dir: Path
    changes: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=a_free_port)
    metrics_port: int = field(default_factory=a_free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.data_dir / "up.log"

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def metrics_at(self) -> list[str]:
        """Where API, scheduler and worker serve their metrics, as they said: a port that somebody else has is passed over."""
        lines = [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]
        wanted = {"scheduler_ready", "worker_ready"}
        ports = {line["event"]: line["metrics_port"] for line in lines if line["event"] in wanted}
        assert ports.keys() == wanted
        return [f"127.0.0.1:{port}" for port in (self.port, *ports.values())]

    @property
    def admin_key(self) -> str:
        return (self.data_dir / "admin.key").read_text().strip()

    def api(self, **headers: str) -> httpx.AsyncClient:
        authorization = {"Authorization": f"Bearer {self.admin_key}", **headers}
        return httpx.AsyncClient(base_url=self.url, headers=authorization, timeout=40)

    def valkey(self) -> "redis.asyncio.Redis":
        return redis.asyncio.Redis(unix_socket_path=str(self.data_dir / "valkey" / "valkey.sock"))

    async def __aenter__(self) -> Self:
        environment = {
            **os.environ,
            **HURRIED,
            "TOKENKEEP_DATA_DIR": str(self.data_dir),
            "TOKENKEEP_API_PORT": str(self.port),
            "TOKENKEEP_METRICS_PORT": str(self.metrics_port),
            "TOKENKEEP_ALLOW_PRIVATE_HOSTS": "127.0.0.1/32",
            "TOKENKEEP_LOG_FORMAT": "json",
            "TOKENKEEP_LOG_LEVEL": "debug",
            **self.changes,
        }
        self.process = self._start(environment)
        await self.until(self._is_ready, within_s=90)
        return self

    def _start(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tokenkeep", "up"]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    async def __aexit__(self, *_: object) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        status = await asyncio.to_thread(self.process.wait, 60)
        assert status == 0, self.said()[-3000:]

    async def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()[-3000:]
        try:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{self.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def until(self, condition: Callable[[], Awaitable[bool]], *, within_s: float = 40) -> None:
        """Wait for something that has to happen; what was said so far is shown if it does not."""
        try:
            async with asyncio.timeout(within_s):
                while not await condition():  # noqa: ASYNC110 - it asks other processes
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"it did not happen within {within_s} s\n{self.said()[-6000:]}") from None

    def child(self, name: str) -> psutil.Process:
        """The process that runs this service now."""
        assert self.process is not None
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if name in process.cmdline()[1:4]:
                return process
        raise AssertionError(f"no process runs {name}")

    def everyone(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)


async def data(response: httpx.Response) -> Any:
    """The `data` of an answer that must be good."""
    assert response.is_success, f"{response.status_code} {response.text}"
    return response.json()["data"]
