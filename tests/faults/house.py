"""One small tokenkeep: a database, a Redis index, a scheduler and a worker of its own, and two accounts at one provider."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.exc import DBAPIError

from faults.lateness import Lateness
from faults.services import Nursery, Service, eventually
from faults.terms import (
    FIRST_LIFE_S,
    HURRIED,
    RECOVERY_S,
    RELAY_POINTS,
    RULES,
    SCHEDULER_POINTS,
    SWEEP_POINTS,
    TELLING_S,
)
from provider_client import BASIC, Client
from road import CALLER, Road, open_road
from source_clients import SIGNER, source_clients
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderServer
from tokenkeep.adapters.failpoints.spec import Point
from tokenkeep.application.create_account import CreateAccount, NewAccount
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.application.manage_sources import CreateSource, NewSource
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.secret import Secret

_USERS = ("ann", "bob")
_EMPTY = """
DO $$ BEGIN EXECUTE (
    SELECT 'TRUNCATE ' || string_agg(format('public.%I', tablename), ', ') || ' CASCADE' FROM pg_tables
     WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'outbox_shards')
); END $$
"""
"""Nothing is left of the fault before this one."""


@dataclass(frozen=True)
class Stand:
    """How an account stands."""

    state: str
    reason: str | None
    phase: str
    generation: int
    doubts: int


@dataclass
class House:
    """What one case needs. `point` is where a fault meets one of its processes."""

    kind: str
    point: Point
    road: Road
    server: ProviderServer
    http: httpx.AsyncClient
    lateness: Lateness
    directory: Path
    environment: dict[str, str]
    nursery: Nursery
    users: dict[AccountId, str] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lost: set[AccountId] = field(default_factory=set)
    """Accounts whose attempt was sent and not settled when its process, or the code that waited, came to its end."""
    unanswered: set[int] = field(default_factory=set)
    """Their presentations, by their order at the provider."""

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.point.value}"

    @property
    def provider(self) -> DemoProvider:
        return self.server.provider

    @property
    def worker(self) -> Service:
        return self.services["worker"]

    @property
    def armed(self) -> Service:
        """The process that has the failpoint."""
        return self.services["scheduler" if self.point in SCHEDULER_POINTS else "worker"]

    async def open(self, action: str, *, also: str | None = None) -> None:
        """Start the processes, one of them armed, with other failpoints `also`."""
        spec, worker_spec = f"{self.point.value}={action}", None
        if self.point in RELAY_POINTS:
            spec += "@2"  # the first time is what the accounts' creation told
        if self.point in SWEEP_POINTS:
            worker_spec = f"{Point.SENT.value}=kill"  # or there is nothing to sweep
        if also is not None:
            spec += f",{also}"
        in_scheduler = self.point in SCHEDULER_POINTS
        await self.start("scheduler", spec if in_scheduler else None)
        await self.start("worker", worker_spec if in_scheduler else spec)
        for service in self.services.values():
            await eventually(service.is_ready, service.said, within_s=40)

    async def start(self, service: str, failpoints: str | None = None, *, name: str | None = None) -> None:
        """Start a process; a second one of the same service needs a name of its own."""
        armed = {} if failpoints is None else {"TOKENKEEP_FAILPOINTS": failpoints}
        self.services[name or service] = await self.nursery.start(
            service,
            environment=self.environment | armed,
            log=self.directory / f"{name or service}.log",
        )

    async def connect(self, *, callout_secret: Secret | None = None, **more: Any) -> None:
        """Two users consent; their grants go into custody, at a source with these options besides."""
        foundation, sealer = self.road.foundation, self.road.sealer
        options = {
            "token_url": f"{self.server.url}/token",
            "refresh_rotates": "yes",
            "reuse_detection": "revokes",
            **RULES[self.kind],
            **more,
        }
        wanted_source = NewSource("generic-oauth2", self.kind, BASIC[0], Secret(BASIC[1]), (), options, callout_secret)
        async with self.road.works() as work:
            source = await CreateSource(foundation.catalogue, sealer.vault, source_clients(sealer.vault), SIGNER)(
                work, CALLER, wanted_source
            )
        create = CreateAccount(foundation.catalogue, sealer, foundation.policy)
        for name in _USERS:
            user = f"{self.kind}.{self.point.value}.{name}"
            token = await Client(self.http, self.provider).connect(user)
            tokens = LiveTokens(
                Secret(token["access_token"]), Secret(token["refresh_token"]), expires_in_s=FIRST_LIFE_S
            )
            wanted = NewAccount(source.id, tokens, external_id=None, metadata={}, properties={})
            async with self.road.works() as work:
                account_id = await create(work, CALLER, wanted, tokens=tokens, correlation_id="cor_test")
            self.users[account_id] = user

    async def make_due(self, *, most: int | None = None) -> None:
        """So many of the accounts that are active and idle are due now; all of them, if it is not said how many."""
        await self.sql(
            "UPDATE leases AS l SET next_refresh_at = now(), due_at = now(), not_before = NULL FROM ("
            " SELECT id FROM accounts WHERE state = 'active' ORDER BY id LIMIT :most) AS a"
            " WHERE a.id = l.account_id AND l.phase = 'idle'",
            most=len(self.users) if most is None else most,
        )

    async def hush(self) -> None:
        """No more refreshes; what happened until now is told to the end. Then nothing moves."""
        self.worker.kill()
        await self.until_told()
        self.services["scheduler"].kill()

    async def until_told(self) -> None:
        """Wait until the stream has everything that has happened."""
        try:
            async with asyncio.timeout(TELLING_S):
                while (await self.sql("SELECT count(*) AS n FROM outbox"))[0]["n"]:  # noqa: ASYNC110 - it asks the database
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"events were not told within {TELLING_S} s\n{self.said()}") from None

    async def stands(self) -> dict[AccountId, Stand]:
        rows = await self.sql(
            "SELECT a.id, a.state, a.disabled_reason, l.phase, c.generation, l.doubts FROM accounts AS a"
            " JOIN leases AS l ON l.account_id = a.id JOIN credentials AS c ON c.account_id = a.id"
        )
        return {
            AccountId(row["id"]): Stand(
                row["state"], row["disabled_reason"], row["phase"], row["generation"], row["doubts"]
            )
            for row in rows
        }

    async def sql(self, statement: str, **parameters: Any) -> Any:
        """Runs a statement, however often the database has to be asked."""
        async with asyncio.timeout(20):
            while True:
                try:
                    return await self.road.sql(statement, **parameters)
                except (DBAPIError, OSError):
                    await asyncio.sleep(0.2)

    async def until_refreshed(self, than: dict[AccountId, int], *, within_s: float) -> None:
        """Wait until every account has newer credentials than these generations, or is disabled, and nobody holds it."""
        stands: dict[AccountId, Stand] = {}
        try:
            async with asyncio.timeout(within_s):
                while True:
                    stands = await self.stands()
                    if all(
                        one.state != "active" or (one.phase == "idle" and one.generation > than.get(account_id, 1))
                        for account_id, one in stands.items()
                    ):
                        return
                    await asyncio.sleep(0.3)
        except TimeoutError:
            so_far = sorted(map(str, stands.values()))
            raise AssertionError(f"{within_s} s were not enough: {so_far}\n{self.said()}") from None

    async def note_the_lost(self) -> None:
        """The process that waited for answers is dead. Whatever was sent and is not settled has reached nobody."""
        self.lost = {account_id for account_id, one in (await self.stands()).items() if one.phase == "sent"}
        users = {self.users[account_id] for account_id in self.lost}
        self.unanswered = {one.order for one in self.provider.presentations() if one.user in users}

    async def recover(self) -> None:
        """Everybody comes through, and once more: what is stored now can be used."""
        await self.until_refreshed({}, within_s=RECOVERY_S)
        stands = await self.stands()
        await self.make_due()
        await self.until_refreshed({one: stand.generation for one, stand in stands.items()}, within_s=RECOVERY_S)

    def said(self) -> str:
        """The last lines of both logs."""
        return "\n".join(f"--- {one.name}\n{one.said()[-1500:]}" for one in self.services.values())


@asynccontextmanager
async def open_house(
    kind: str,
    point: Point,
    *,
    database_url: str,
    redis_url: str,
    directory: Path,
    nursery: Nursery,
    server: ProviderServer,
    http: httpx.AsyncClient,
    lateness: Lateness,
    **changes: str,
) -> AsyncIterator[House]:
    """A house without processes and accounts, with these settings besides. Its processes are killed at the end."""
    directory.mkdir()  # noqa: ASYNC240 - a moment
    async with open_road(database_url, redis_url, **HURRIED, data_dir=str(directory), **changes) as road:
        settings = {
            **HURRIED,
            "database_url": database_url,
            "redis_url": redis_url,
            "keyring": road.keyring.reveal(),
            "allow_private_hosts": "127.0.0.1/32",
            "data_dir": str(directory),
            **changes,
        }
        environment = {f"TOKENKEEP_{name.upper()}": value for name, value in settings.items()}
        await road.sql(_EMPTY)
        await road.sql("UPDATE outbox_shards SET holder = NULL, lease_until = NULL")
        await road.sql("UPDATE skewed.clock SET wrong_by = interval '0'")
        house = House(kind, point, road, server, http, lateness, directory, environment, nursery)
        try:
            yield house
        finally:
            for service in house.services.values():
                service.kill()
