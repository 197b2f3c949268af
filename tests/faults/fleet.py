"""Processes of an installation as an operator runs them, one after the other replaced under load, and what must hold meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson

from cancelled import cancelled
from faults.balancer import Balancer
from faults.services import Nursery, Service, eventually
from household import a_free_port
from road import Road
from token_server import Said, TokenServer
from tokenkeep.adapters.redis.event_stream import STREAM
from tokenkeep.domain.ids import IdKind, format_id

ADMIN_KEY = "tk_admin-key-of-the-rolling-restart"
DELAY_S = 5.0
"""The default. Longer than two looks of the balancer take, and than a caller keeps a connection that it does not use."""
_IDLE_S = 1.0
ENDS_WITHIN_S = {"api": DELAY_S + 40, "scheduler": 20, "worker": 2 * (8 / 3 + 2 + 5) + 30}
"""What docs/how-to/upgrade.md states, by these tests' settings."""

SETTINGS = {
    "provider_deadline_s": "5",
    "write_ahead_s": "2",
    "lease_s": "8",
    "quarantine_s": "30",
    "dispatch_timeout_s": "10",
    "tick_interval_s": "0.3",
    "sweep_interval_s": "0.5",
    "database_pool_size": "4",
    "worker_threads": "2",
    "message_batch": "10",
    "api_drain_delay_s": str(DELAY_S),
    "admin_key": ADMIN_KEY,
    "log_format": "json",
    "allow_private_hosts": "127.0.0.1/32",
}
LIFE_S = 40
_ANSWER_AFTER_S = 0.05
_READY_S = 90
_MIN_TTL_S = 1


@dataclass
class RememberingServer(TokenServer):
    """A rotating provider that knows until when each access token lives."""

    lives: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lifetime_s = LIFE_S
        self.on_request = lambda: asyncio.sleep(_ANSWER_AFTER_S)

    def issue(self, name: str) -> dict[str, Any]:
        """A grant as its user brings it."""
        self.lives[f"access-{name}.1"] = time.time() + LIFE_S
        return {"access_token": f"access-{name}.1", "refresh_token": f"{name}.1", "expires_in": LIFE_S}

    def _rotated(self, token: str) -> Said:
        name, _, number = token.rpartition(".")
        self.lives[f"access-{name}.{int(number) + 1}"] = time.time() + LIFE_S
        return super()._rotated(token)


@dataclass
class Member:
    """One process."""

    running: Service
    port: int

    @property
    def service(self) -> str:
        return self.running.name

    async def end(self) -> None:
        """SIGTERM: it must end by itself, well, and within its time."""
        self.running.process.terminate()
        within_s = ENDS_WITHIN_S[self.service]
        await eventually(lambda: self.running.exit_code() is not None, self.running.said, within_s=within_s)
        assert self.running.exit_code() == 0, self.running.said()[-3000:]


@dataclass
class Fleet:
    """The processes over one road's stores. `releases`: whose code a process runs, by a name; the empty one is ours."""

    road: Road
    directory: Path
    balancer: Balancer
    settings: Mapping[str, str]
    releases: Mapping[str, Nursery]
    members: list[Member] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)

    async def start(self, service: str, *, release: str = "") -> Member:
        """One more, ready."""
        port = a_free_port()
        own = {"api_port": str(port), "metrics_port": str(a_free_port()), "spool_dir": str(self.directory / "spool")}
        environment = {f"TOKENKEEP_{name.upper()}": value for name, value in {**self.settings, **own}.items()}
        log = self.directory / f"{service}-{next(self._numbers)}.log"
        running = await self.releases[release].start(service, environment=environment, log=log)
        self.members.append(Member(running, port))
        await eventually(running.is_ready, running.said, within_s=_READY_S)
        if service == "api":
            await self.balancer.until_ready(port)
        return self.members[-1]

    async def replace(self, member: Member) -> Member:
        """As a rolling restart does: the next one is ready before the former is told to go."""
        following = await self.start(member.service)
        await member.end()
        return following

    def close(self) -> None:
        for member in self.members:
            member.running.kill()


@dataclass
class Load:
    """Callers who connect accounts, ask for tokens, and for fresh ones, all through the balancer."""

    url: str
    source_id: str
    server: RememberingServer
    keep_alive: bool = True
    """Whether connections serve more than one request: then nobody but an API that ends makes a caller go to another one."""
    accounts: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _names: "count[int]" = field(default_factory=count)
    _dice: Random = field(default_factory=lambda: Random(4711))  # noqa: S311 - no secret

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Load for as long as this lasts; what failed is in `failures`."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        limits = httpx.Limits(max_keepalive_connections=None if self.keep_alive else 0, keepalive_expiry=_IDLE_S)
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, limits=limits) as client:
            for _ in range(12):
                await self._connect(client)
            assert not self.failures
            ending = asyncio.Event()
            kinds = [(self._vend, 0.05), (self._vend, 0.05), (self._force, 0.4), (self._connect, 1.0)]
            calling = [asyncio.create_task(self._repeat(do, client, pause, ending)) for do, pause in kinds]
            try:
                yield
            finally:
                ending.set()
                await asyncio.gather(*calling)

    async def _repeat(self, do: Any, client: httpx.AsyncClient, pause_s: float, ending: asyncio.Event) -> None:
        while not ending.is_set():
            await do(client)
            await asyncio.sleep(pause_s)

    async def _connect(self, client: httpx.AsyncClient) -> None:
        name = f"grant{next(self._names)}"
        body = {"source_id": self.source_id, "external_id": name, "credentials": self.server.issue(name)}
        data = await self._call(client, "connect", "/v1/accounts", body)
        if data is not None:
            self.accounts.append(data["id"])

    async def _vend(self, client: httpx.AsyncClient) -> None:
        await self._ask(client, "vend", {"min_ttl": _MIN_TTL_S, "wait": 10})

    async def _force(self, client: httpx.AsyncClient) -> None:
        await self._ask(client, "force", {"force": True, "wait": 15})

    async def _ask(self, client: httpx.AsyncClient, kind: str, body: dict[str, Any]) -> None:
        account = self._dice.choice(self.accounts)
        data = await self._call(client, kind, f"/v1/accounts/{account}/token", body)
        if data is not None and self.server.lives[data["access_token"]] <= time.time():
            self.failures.append(f"{kind}: a token that has run out")

    async def _call(self, client: httpx.AsyncClient, kind: str, path: str, body: dict[str, Any]) -> Any:
        try:
            answer = await client.post(path, json=body)
        except httpx.TransportError as error:
            self.failures.append(f"{kind}: {type(error).__name__} {error}")
            return None
        if not answer.is_success:
            self.failures.append(f"{kind}: {answer.status_code} {answer.text}")
            return None
        self.answers[kind] += 1
        return answer.json()["data"]


@asynccontextmanager
async def nobody_runs_out(road: Road) -> AsyncIterator[None]:
    """Sees all the time that no active account's access token has run out."""
    worst: list[tuple[datetime, int]] = []

    async def watch() -> None:
        while True:
            [row] = await road.sql(
                "SELECT count(*) AS n FROM accounts AS a JOIN credentials AS c ON c.account_id = a.id"
                " WHERE a.state = 'active' AND c.expires_at < clock_timestamp()"
            )
            if row["n"]:
                worst.append((datetime.now(UTC), row["n"]))
            await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch())
    try:
        yield
        assert not watching.done(), watching.exception()
    finally:
        await cancelled(watching)
    assert not worst, f"tokens had run out while their accounts were active: {worst[:5]}"


async def until_quiet(road: Road) -> None:
    """Wait until nobody is in anybody's hand, and everything is told."""
    async with asyncio.timeout(60):
        while True:
            [row] = await road.sql(
                "SELECT (SELECT count(*) FROM leases WHERE phase <> 'idle') + (SELECT count(*) FROM outbox) AS n"
            )
            if not row["n"]:
                return
            await asyncio.sleep(0.1)


async def lost_nothing(road: Road, server: TokenServer) -> None:
    """No refresh token was presented twice, nobody was disabled, every change was told, in order and under one id.

    An event may be on the stream again, as it is when a relay is cut off, or gets no processor for as long as its lease.
    """
    assert server.most_presented() == 1
    rows = await road.sql("SELECT id, state, generation FROM accounts JOIN credentials ON account_id = id")
    assert {row["state"] for row in rows} == {"active"}
    generations = {format_id(IdKind.ACCOUNT, row["id"]): row["generation"] for row in rows}
    table: dict[str, list[tuple[str, int, str]]] = {}
    for row in await road.sql("SELECT id, subject, sequence, type FROM events ORDER BY subject, sequence"):
        entry = (format_id(IdKind.EVENT, row["id"]), row["sequence"], row["type"].rpartition(".")[2])
        table.setdefault(format_id(IdKind.ACCOUNT, row["subject"]), []).append(entry)
    stream: dict[str, list[str]] = {}
    entries: Any = await road.foundation.redis.xrange(STREAM)
    for _, fields in entries:
        event = orjson.loads(fields[b"event"])
        stream.setdefault(event["subject"], []).append(event["id"])
    wrong = []
    for account, generation in generations.items():
        told = table[account]
        assert [sequence for _, sequence, _ in told] == list(range(1, len(told) + 1))
        assert [kind for _, _, kind in told].count("refreshed") == generation - 1
        ids, heard = [one for one, _, _ in told], list(dict.fromkeys(stream.get(account, [])))
        if heard != ids:
            missed, strange = len(set(ids) - set(heard)), len(set(heard) - set(ids))
            wrong.append(f"{account}: of {len(ids)} {missed} missed, {strange} under another id")
    assert not wrong, wrong
