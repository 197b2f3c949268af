"""Many workers and schedulers over one database: nothing is done twice, and whoever comes and goes loses nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cancelled import cancelled
from databases import migrated_database
from faults.crew import Crew
from faults.services import Nursery, Service
from faults.terms import HURRIED
from road import Road, open_road
from token_server import TokenServer
from tokenkeep.domain.ids import AccountId

ACCOUNTS = 160
MESSAGE = 12
MOST_WAVES = 20
AT_ONCE = 40
_FAR_S = 3_600.0
_ENDPOINT_S = 0.1
_ALL_DONE_S = 60.0
_CALM = {
    "provider_deadline_s": "20",
    "write_ahead_s": "10",
    "lease_s": "30",
    "quarantine_s": "60",
    "dispatch_timeout_s": "60",
}
"""Where nobody is killed, nothing may be done again because its time was up, however slow the machine."""

_WATCH = (
    "CREATE TABLE looks (account_id uuid, fence bigint, who text)",
    """
CREATE FUNCTION note_look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO looks VALUES (NEW.account_id, NEW.fence, current_setting('application_name'));
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER note_look AFTER UPDATE ON leases FOR EACH ROW
  WHEN (OLD.phase = 'idle' AND NEW.phase = 'idle' AND OLD.fence = NEW.fence AND OLD.due_at IS DISTINCT FROM NEW.due_at)
  EXECUTE FUNCTION note_look()
""",
)
"""Takes note of each claim (a scheduler moves the due time of an idle account) and of whom a worker has put off again."""


_MAKE_DUE = """
UPDATE leases SET next_refresh_at = now(), due_at = now(), not_before = NULL WHERE account_id IN (
    SELECT account_id FROM leases WHERE phase = 'idle' AND next_refresh_at > now() AND doubts = 0
     ORDER BY next_refresh_at LIMIT :count FOR UPDATE SKIP LOCKED)
"""
_CLAIMS_THAT_WAIT = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%WITH due AS MATERIALIZED%'
"""


@dataclass
class Town:
    """An installation, its token endpoint, and whoever works for it."""

    road: Road
    endpoint: TokenServer
    crew: Crew
    accounts: dict[AccountId, str] = field(default_factory=dict)
    open: int = 0
    """Requests that the endpoint has not answered yet."""

    async def answer_late(self) -> None:
        """What the endpoint does with each request."""
        self.open += 1
        await asyncio.sleep(_ENDPOINT_S)
        self.open -= 1

    async def make_due(self, count: int) -> None:
        """Let so many of those fall due that owe nothing and are in nobody's hand."""
        await self.road.sql(_MAKE_DUE, count=count)

    async def make_due_before_all(self, schedulers: int) -> None:
        """Let everybody fall due while so many schedulers stand before a table: they begin their claims in one moment.

        The table is one that only a claim looks into, not the question that comes before it.
        """
        async with self.road.foundation.database.transaction() as connection:
            await connection.execute(text("LOCK TABLE sources IN ACCESS EXCLUSIVE MODE"))
            await self.make_due(ACCOUNTS)

            async def are_there() -> bool:
                await connection.execute(text("SELECT pg_stat_clear_snapshot()"))
                return bool((await connection.execute(text(_CLAIMS_THAT_WAIT))).scalar_one() == schedulers)

            await self.until(are_there, "the schedulers did not come")

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(_ALL_DONE_S):
                while not await condition():  # noqa: ASYNC110 - it asks other processes
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{what} not within {_ALL_DONE_S:g} s\n{self.crew.said()}") from None

    async def is_quiet(self) -> bool:
        """Whether nobody owes a refresh, and nobody holds an account."""
        [row] = await self.road.sql(
            "SELECT count(*) AS n FROM leases WHERE phase <> 'idle' OR next_refresh_at <= now() OR doubts > 0"
        )
        return bool(row["n"] == 0)

    async def is_busy(self) -> bool:
        """Whether tokens are on the wire and others wait for their turn."""
        [row] = await self.road.sql(
            "SELECT count(*) AS n FROM leases WHERE phase = 'idle' AND next_refresh_at <= now()"
        )
        return self.open > 0 and bool(row["n"] > 0)

    async def generations(self) -> dict[AccountId, int]:
        return {
            row["account_id"]: row["generation"]
            for row in await self.road.sql("SELECT account_id, generation FROM credentials")
        }

    async def wave(self) -> None:
        """Let everybody fall due, and wait until all of them are refreshed and whole."""
        former = await self.generations()
        await self.make_due_before_all(len(self.crew.living("scheduler")))

        async def is_over() -> bool:
            return await self.is_quiet() and all(now > former[one] for one, now in (await self.generations()).items())

        await self.until(is_over, "not all were refreshed")

    async def catch(self, worker: Service) -> None:
        """Stop the only worker while it waits for answers."""

        async def is_caught() -> bool:
            worker.process.suspend()
            [row] = await self.road.sql("SELECT count(*) AS n FROM leases WHERE phase = 'sent'")
            if not row["n"]:
                worker.go_on()
            return bool(row["n"] > 0)

        await self.until(is_caught, "nothing was on the wire")

    async def claims(self) -> Counter[tuple[AccountId, int]]:
        """How often each account was claimed at each fencing number, those times left out that a worker put it off."""
        counted: Counter[tuple[AccountId, int]] = Counter()
        for row in await self.road.sql("SELECT account_id, fence, who FROM looks WHERE who <> 'tokenkeep test'"):
            counted[row["account_id"], row["fence"]] += 1 if row["who"] == "tokenkeep scheduler" else -1
        return counted

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[None]:
        """Time and again some more accounts fall due."""

        async def press() -> None:
            while True:
                await self.make_due(AT_ONCE)
                await asyncio.sleep(0.1)

        pressing = asyncio.create_task(press())
        try:
            yield
            assert not pressing.done(), pressing.exception()
        finally:
            await cancelled(pressing)


@dataclass(frozen=True)
class Site:
    """Where each test makes a database of its own."""

    postgres_url: str
    redis_url: str
    nursery: Nursery
    directory: Path


@pytest.fixture
def site(postgres_url: str, redis_url: str, nursery: Nursery, short_dir: Path) -> Site:
    return Site(postgres_url, redis_url, nursery, short_dir)


@asynccontextmanager
async def open_town(site: Site, times: Mapping[str, str], **rules: object) -> AsyncIterator[Town]:
    """Accounts at a source of this kind, none of them due, and nobody at work."""
    database_url = await asyncio.to_thread(migrated_database, site.postgres_url, f"many_{uuid4().hex}")
    async with Redis.from_url(site.redis_url) as client:
        await client.flushall()
    given = {
        **HURRIED,
        **times,
        "message_batch": str(MESSAGE),
        "claim_batch": str(MESSAGE),
        "data_dir": str(site.directory),
        "allow_private_hosts": "127.0.0.1/32",
    }
    async with TokenServer() as endpoint, open_road(database_url, site.redis_url, **given) as road:
        for statement in _WATCH:
            await road.sql(statement)
        settings = {**given, "database_url": database_url, "redis_url": site.redis_url}
        settings["keyring"] = road.keyring.reveal()
        environment = {f"TOKENKEEP_{name.upper()}": value for name, value in settings.items()}
        town = Town(road, endpoint, Crew(site.nursery, site.directory, environment))
        endpoint.on_request = town.answer_late
        source_id = await road.source(endpoint.url, refresh_rotates="yes", **rules)
        for number in range(ACCOUNTS):
            name = f"grant{number}"
            town.accounts[await road.account(source_id, name, expires_in_s=_FAR_S)] = name
        try:
            yield town
        finally:
            town.crew.close()


async def journal(town: Town) -> dict[tuple[str, int], list[str]]:
    """How the attempts ended in which each account's refresh token of each generation left, in their order."""
    ended: dict[tuple[str, int], list[str]] = {}
    for row in await town.road.sql(
        "SELECT account_id, presented_generation, outcome, presentations FROM refresh_attempts"
        " WHERE sent_at IS NOT NULL AND outcome IS DISTINCT FROM 'not_sent' ORDER BY fence"
    ):
        assert row["presentations"] == 1
        ended.setdefault((town.accounts[row["account_id"]], row["presented_generation"]), []).append(row["outcome"])
    return ended


def presented(town: Town) -> dict[tuple[str, int], int]:
    """How often the endpoint has seen each account's refresh token of each generation."""
    counted = Counter(town.endpoint.presented)
    return {(name.rpartition(".")[0], int(name.rpartition(".")[2])): times for name, times in counted.items()}


@pytest.mark.parametrize(("workers", "schedulers"), [(1, 1), (2, 2), (4, 4)])
async def test_however_many_there_are_everyone_is_claimed_once_and_refreshed_once(
    site: Site, workers: int, schedulers: int
) -> None:
    async with open_town(site, _CALM, reuse_detection="revokes") as town:
        await town.crew.hire("scheduler", schedulers)
        await town.crew.hire("worker", workers)
        waves = 0
        while waves < MOST_WAVES and not all([*town.crew.hints(), *await town.crew.refreshes()]):
            await town.wave()
            waves += 1
        assert all(town.crew.hints()), "a scheduler has claimed nobody"
        assert all(await town.crew.refreshes()), "a worker has refreshed nobody"

        expected = {(name, wave) for name in town.accounts.values() for wave in range(1, waves + 1)}
        assert presented(town) == dict.fromkeys(expected, 1)
        assert await journal(town) == {one: ["ok"] for one in expected}
        claims = await town.claims()
        assert len(claims) == len(expected)
        assert set(claims.values()) == {1}
        assert sum(await town.crew.refreshes()) == len(expected)


async def test_whoever_is_told_to_go_and_whoever_comes_costs_nobody_a_second_presentation(site: Site) -> None:
    async with open_town(site, _CALM, reuse_detection="revokes") as town:
        crew = town.crew
        await crew.hire("scheduler", 2)
        await crew.hire("worker", 2)
        async with town.under_load():
            for service in ("worker", "scheduler", "worker", "scheduler"):
                await town.until(town.is_busy, "nothing was under way")
                await crew.hire(service)
                await town.until(town.is_busy, "nothing was under way")
                await crew.dismiss(crew.living(service)[0])
        await town.until(town.is_quiet, "not everybody came out of it")
        await town.wave()

        seen = presented(town)
        assert set(seen.values()) == {1}
        assert await journal(town) == {one: ["ok"] for one in seen}
        assert {name for name, _ in seen} == set(town.accounts.values())


async def test_whoever_is_killed_loses_nothing_and_only_what_was_left_unanswered_is_presented_again(
    site: Site,
) -> None:
    # A provider at which a second presentation does no harm: what is lost with a strict one, the fault matrix shows.
    async with open_town(site, {"dispatch_timeout_s": "10"}, reuse_detection="none") as town:
        crew = town.crew
        await crew.hire("scheduler", 2)
        await crew.hire("worker")
        async with town.under_load():
            await town.catch(crew.living("worker")[0])
            await crew.lose(crew.living("worker")[0])
            await crew.hire("worker", 2)
            for service in ("scheduler", "worker", "scheduler"):
                await town.until(town.is_busy, "nothing was under way")
                await crew.lose(crew.living(service)[0])
                await crew.hire(service)
        await town.until(town.is_quiet, "not everybody came out of it")
        await town.wave()

        ended = await journal(town)
        seen = presented(town)
        in_doubt = {one for one, outcomes in ended.items() if "in_doubt" in outcomes}
        assert in_doubt
        assert {one for one, times in seen.items() if times > 1} <= in_doubt
        for one, outcomes in ended.items():
            *unanswered, last = outcomes
            assert last == "ok"
            assert set(unanswered) <= {"in_doubt"}
            assert seen[one] <= len(outcomes)
        assert {name for name, _ in seen} == set(town.accounts.values())
        stands = await town.road.sql("SELECT a.state, a.health, count(*) AS n FROM accounts AS a GROUP BY 1, 2")
        assert [(row["state"], row["health"], row["n"]) for row in stands] == [("active", "healthy", ACCOUNTS)]
