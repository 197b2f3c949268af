"""A tokenkeep of many processes over stores of its own, as the storm finds it."""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from household import a_free_port
from storm.grants import OPTIONS, Grant, Kind, Memory
from storm.processes import Fleet
from tokenkeep.adapters.embedded.postgres import EmbeddedPostgres, start_postgres
from tokenkeep.adapters.embedded.valkey import EmbeddedValkey, start_valkey
from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.domain.secret import Secret

DEADLINE_S = 2.0
QUARANTINE_S = 6.0
LONGEST_PAUSE_S = 4.0
"""Longer than the lease and than the provider's deadline, shorter than the quarantine less the time to send: a worker that
sleeps through a quarantine between its last look at the clock and the write breaks what the protocol rests on."""

TIMES = {
    "TOKENKEEP_PROVIDER_DEADLINE_S": f"{DEADLINE_S:g}",
    "TOKENKEEP_WRITE_AHEAD_S": "1",
    "TOKENKEEP_LEASE_S": "3",
    "TOKENKEEP_QUARANTINE_S": f"{QUARANTINE_S:g}",
    "TOKENKEEP_DISPATCH_TIMEOUT_S": "3",
    "TOKENKEEP_TICK_INTERVAL_S": "0.25",
    "TOKENKEEP_SWEEP_INTERVAL_S": "0.5",
}
_READY_S = 60.0
_AT_ONCE = 20


class House:
    """The stores, the processes and the API's client. Blocking calls run in threads: the providers share our event loop."""

    def __init__(self, directory: Path, memory: Memory) -> None:
        self.directory = directory
        self.memory = memory
        self.fleet = Fleet(directory)
        self.sources: dict[Kind, str] = {}
        self.accounts: dict[str, Grant] = {}
        """Account ids as the API shows them, with the grants behind them."""
        self.outages: list[tuple[float, float]] = []
        self._admin_key = f"tk_{secrets.token_urlsafe(24)}"
        self._port = a_free_port()

    async def open(self, *, workers: int, schedulers: int) -> None:
        """Start everything, and return when the API is ready."""
        self.postgres: EmbeddedPostgres = await asyncio.to_thread(start_postgres, self.directory)
        self.valkey: EmbeddedValkey = await asyncio.to_thread(start_valkey, self.directory)
        await asyncio.to_thread(migrate, Secret(self.postgres.url))
        engine = create_engine(Secret(self.postgres.url), pool_size=4, process="storm", command_timeout_s=60)
        self.database = Database(engine)
        self.api = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._port}",
            headers={"Authorization": f"Bearer {self._admin_key}"},
            timeout=40,
        )
        environment = self._environment()
        for service, count in {"api": 1, "scheduler": schedulers, "worker": workers}.items():
            hidden = {"TOKENKEEP_KEYRING", "TOKENKEEP_ADMIN_KEY"} if service == "scheduler" else set()
            seen = {name: value for name, value in environment.items() if name not in hidden}
            for _ in range(count):
                self.fleet.add(service, seen)
        await self._until_ready()

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("TOKENKEEP_")}
        return ours | {
            **TIMES,
            "PYTHONUNBUFFERED": "1",
            "TOKENKEEP_DATA_DIR": str(self.directory),
            "TOKENKEEP_DATABASE_URL": self.postgres.url,
            "TOKENKEEP_REDIS_URL": self.valkey.url,
            "TOKENKEEP_KEYRING": Keyring.generate().to_text().reveal(),
            "TOKENKEEP_ADMIN_KEY": self._admin_key,
            "TOKENKEEP_API_PORT": str(self._port),
            "TOKENKEEP_METRICS_PORT": "0",
            "TOKENKEEP_ALLOW_PRIVATE_HOSTS": "127.0.0.1/32",
            "TOKENKEEP_LOG_FORMAT": "json",
        }

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if (await self.api.get("/readyz")).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.1)
        raise AssertionError(f"the API was not ready within {_READY_S:g} s; see {self.directory}")

    async def create_sources(self, token_urls: Mapping[Kind, str]) -> None:
        """A source for each kind of provider."""
        for kind, url in token_urls.items():
            body = {
                "provider": "generic-oauth2",
                "name": kind.value,
                "client_id": "storm",
                "client_secret": secrets.token_urlsafe(24),
                "options": {"token_url": url, **OPTIONS[kind]},
            }
            answer = await self.api.post("/v1/sources", json=body)
            assert answer.is_success, answer.text
            self.sources[kind] = answer.json()["data"]["id"]

    async def create_accounts(self, kinds: Sequence[Kind]) -> None:
        """One more account for each of these."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def create(kind: Kind) -> None:
            async with gate:
                await self.create_account(kind)

        await asyncio.gather(*(create(kind) for kind in kinds))

    async def create_account(self, kind: Kind) -> None:
        """An account with a grant of its own."""
        name = f"{kind.value}-{len(self.memory.grants) + 1:05}"
        body = {
            "source_id": self.sources[kind],
            "external_id": name,
            "credentials": self.memory.issue(name, kind),
        }
        # The answer may be lost with the database; the same key makes the second call find the first one's account.
        key = {"Idempotency-Key": name}
        deadline = time.monotonic() + _READY_S
        while True:
            answer = await self.api.post("/v1/accounts", json=body, headers=key)
            if answer.is_success:
                self.accounts[answer.json()["data"]["id"]] = self.memory.grants[name]
                return
            assert time.monotonic() < deadline, f"{answer.status_code} {answer.text}"
            await asyncio.sleep(0.3)

    async def read(self, statement: str, **parameters: Any) -> Sequence[Mapping[str, Any]]:
        """Rows of the database; waits while it is away."""
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                async with self.database.reading() as connection:
                    result = await connection.execute(text(statement), parameters)
                    return [dict(row) for row in result.mappings()]
            except Exception:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.2)

    async def crash_postgres(self) -> None:
        """Immediate shutdown, as if it had crashed, and a start with recovery."""
        began = time.monotonic()
        os.kill(self.postgres.pid, signal.SIGQUIT)
        await asyncio.to_thread(self.postgres.restart)
        self.outages.append((began, time.monotonic()))

    async def crash_valkey(self) -> None:
        """SIGKILL, and a start from its append-only file."""
        os.kill(self.valkey.pid, signal.SIGKILL)
        await asyncio.to_thread(self.valkey.restart)

    async def restart_valkey(self) -> None:
        """An orderly restart."""
        await asyncio.to_thread(self.valkey.restart)

    async def stop_processes(self, *services: str) -> list[str]:
        """End the processes of these services in order; returns those that did not end well."""
        runners = [runner for runner in self.fleet.runners if runner.service in services]
        statuses = await asyncio.gather(*(asyncio.to_thread(runner.stop) for runner in runners))
        pairs = zip(runners, statuses, strict=True)
        return [f"{runner.service} {runner.number}: exit status {status}" for runner, status in pairs if status]

    async def close(self) -> None:
        """Stop whatever runs."""
        self.fleet.close()
        for runner in self.fleet.runners:
            if runner.running:
                runner.resume(runner.life)
                await asyncio.to_thread(runner.stop)
        if hasattr(self, "api"):
            await self.api.aclose()
        if hasattr(self, "database"):
            await self.database.close()
        for server in (getattr(self, "valkey", None), getattr(self, "postgres", None)):
            if server is not None:
                await asyncio.to_thread(server.stop)
