"""A provider that hangs, with a hundred thousand accounts that are due, beside others that are well: real processes, real servers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from loopback_server import LoopbackServer
from road import Road, open_road
from road_processes import process
from token_server import TokenServer
from tokenkeep.adapters.redis.connection import connect_blocking
from tokenkeep.adapters.redis.queue import DramatiqRefreshQueue, create_broker
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.ids import AccountId, SourceId, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.entry import Presented
from tokenkeep.settings import require_redis

CROWD = 100_000
OTHERS = 120
DEADLINE_S = 20.0
HURRIED = {
    "provider_deadline_s": str(DEADLINE_S),
    "write_ahead_s": "8",
    "lease_s": "24",
    "quarantine_s": "30",
    "actor_time_limit_s": "60",
}


@dataclass
class Silence(LoopbackServer):
    """Takes connections and requests, and never answers."""

    path = "/token"
    connections: int = 0
    most: int = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        del writer
        self.connections += 1
        self.most = max(self.most, self.connections)
        try:
            while await reader.read(4096):
                pass
        finally:
            self.connections -= 1
        return False


@pytest.fixture
async def silence() -> AsyncIterator[Silence]:
    async with Silence() as started:
        yield started


@pytest.fixture
async def hurried(database_url: str, redis_url: str) -> AsyncIterator[Road]:
    """A road on which what hangs is given up soon."""
    async with open_road(database_url, redis_url, **HURRIED) as opened:
        await opened.foundation.redis.flushall()
        yield opened


@pytest.fixture
async def running(hurried: Road) -> AsyncIterator[AsyncExitStack]:
    """The processes that a test starts; they end before the road does."""
    del hurried
    async with AsyncExitStack() as processes:
        yield processes


async def crowd(road: Road, source_id: SourceId, like: AccountId, count: int) -> None:
    """So many accounts as this one, each with a refresh token of its own, all of them due now."""
    for start in range(0, count, 5_000):
        rows = [_sealed(road, number) for number in range(start, min(start + 5_000, count))]
        parameters: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
        await road.sql(
            """INSERT INTO accounts (id, source_id, environment, provider, auth_type, state, custody, properties)
               SELECT n.id, a.source_id, a.environment, a.provider, a.auth_type, a.state, a.custody, a.properties
                 FROM unnest(CAST(:id AS uuid[])) AS n(id), accounts AS a WHERE a.id = :like""",
            id=parameters["id"],
            like=like,
        )
        # A foreign key is looked up by a plan of when the table was small until statistics are news: as long a scan, for each row.
        await road.sql("ANALYZE accounts")
        await road.sql(
            """INSERT INTO leases (account_id, source_id, obtained_at, next_refresh_at, due_at)
               SELECT n.id, :source_id, now() - interval '1 hour', clock_timestamp(), clock_timestamp()
                 FROM unnest(CAST(:id AS uuid[])) AS n(id)""",
            id=parameters["id"],
            source_id=source_id,
        )
        await road.sql(
            """INSERT INTO credentials (account_id, epoch, generation, key_id, wrapped_key, access_ciphertext,
                                        refresh_ciphertext, token_type, scopes, obtained_at, expires_at)
               SELECT n.id, 1, 1, n.key_id, n.wrapped_key, n.access, n.refresh, 'Bearer', '{}', l.obtained_at, now()
                 FROM unnest(CAST(:id AS uuid[]), CAST(:key_id AS text[]), CAST(:wrapped_key AS bytea[]),
                             CAST(:access AS bytea[]), CAST(:refresh AS bytea[])) AS n(id, key_id, wrapped_key, access, refresh)
                 JOIN leases AS l ON l.account_id = n.id""",
            **parameters,
        )


def _sealed(road: Road, number: int) -> dict[str, Any]:
    owner: UUID = new_id()
    key = road.sealer.vault.new_data_key(owner)
    tokens = TokenSet(Secret(f"access-c{number}.1"), refresh_token=Secret(f"c{number}.1"))
    sealed = road.sealer.seal_at(owner, key, tokens, (1, 1), kept=None, presented=Presented.REFRESH_TOKEN)
    return {
        "id": owner,
        "key_id": key.key_id,
        "wrapped_key": key.wrapped,
        "access": sealed.access_ciphertext,
        "refresh": sealed.refresh_ciphertext,
    }


async def lateness(road: Road, source_id: SourceId, names: str) -> list[float]:
    """How late each of so many others is refreshed that fall due one after the other, in seconds, in order."""
    ids = [await road.account(source_id, f"{names}{number}", expires_in_s=3_600) for number in range(OTHERS)]
    await road.sql(
        """UPDATE leases AS l SET next_refresh_at = d.at, due_at = d.at
             FROM (SELECT id, clock_timestamp() + n * interval '0.1 seconds' AS at
                     FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS t(id, n)) AS d WHERE l.account_id = d.id""",
        ids=ids,
    )
    planned = {
        row["account_id"]: row["at"]
        for row in await road.sql(
            "SELECT account_id, next_refresh_at AS at FROM leases WHERE account_id = ANY(CAST(:ids AS uuid[]))", ids=ids
        )
    }
    async with asyncio.timeout(60):
        while True:
            rows = await road.sql(
                "SELECT account_id, last_refreshed_at AS at FROM credentials"
                " WHERE account_id = ANY(CAST(:ids AS uuid[])) AND generation > 1",
                ids=ids,
            )
            if len(rows) == OTHERS:
                return sorted((row["at"] - planned[row["account_id"]]).total_seconds() for row in rows)
            await asyncio.sleep(0.2)


async def test_a_provider_that_hangs_with_a_hundred_thousand_accounts_makes_nobody_else_late(
    hurried: Road, running: AsyncExitStack, server: TokenServer, silence: Silence
) -> None:
    hanging, well = await hurried.source(silence.url, refresh_rotates="no"), await hurried.source(server.url)
    like = await hurried.account(hanging, "like", expires_in_s=3_600)
    for name in ("worker", "scheduler"):
        await running.enter_async_context(process(hurried, name))
    before = await lateness(hurried, well, "before")
    await crowd(hurried, hanging, like, CROWD)
    beside = await lateness(hurried, well, "beside")
    assert silence.most > 0
    # Behind what hangs they would have waited for its deadline at the least.
    assert beside[-1] < before[-1] + DEADLINE_S / 2
    assert beside[OTHERS // 2] < before[OTHERS // 2] + DEADLINE_S / 4
    assert silence.most <= 200
    [row] = await hurried.sql(
        "SELECT count(*) FILTER (WHERE a.state <> 'active') AS disabled, count(*) AS everybody FROM accounts AS a"
    )
    assert (row["disabled"], row["everybody"]) == (0, CROWD + 1 + 2 * OTHERS)
    # None is looked at again by each tick: they stand in line, no further than five minutes.
    [row] = await hurried.sql(
        "SELECT max(due_at) < clock_timestamp() + interval '6 minutes' AS near FROM leases WHERE source_id = :id"
        " AND account_id <> :like",
        id=hanging,
        like=like,
    )
    assert row["near"]


async def test_hundreds_of_small_sources_at_one_host_that_hangs_make_nobody_else_late(
    hurried: Road, running: AsyncExitStack, server: TokenServer, silence: Silence
) -> None:
    well = await hurried.source(server.url)
    for name in ("worker", "scheduler"):
        await running.enter_async_context(process(hurried, name))
    before = await lateness(hurried, well, "before")
    for number in range(400):
        await hurried.account(await hurried.source(silence.url, refresh_rotates="no"), f"small{number}")
    beside = await lateness(hurried, well, "beside")
    assert silence.most > 0
    assert beside[OTHERS // 2] < before[OTHERS // 2] + DEADLINE_S / 2


async def test_demands_at_what_hangs_keep_no_thread_from_another_ones(
    hurried: Road, running: AsyncExitStack, server: TokenServer, silence: Silence
) -> None:
    hanging, well = await hurried.source(silence.url, refresh_rotates="no"), await hurried.source(server.url)
    hung = [await hurried.account(hanging, f"hung{number}") for number in range(60)]
    first, second = [await hurried.account(well, name) for name in ("first", "second")]
    await running.enter_async_context(process(hurried, "worker"))
    queue = DramatiqRefreshQueue(create_broker(connect_blocking(require_redis(hurried.foundation.settings))))

    async def demand(one: AccountId) -> None:
        assert await queue.enqueue([one], trigger=Trigger.DEMAND, correlation_id="cor_test")

    await demand(first)
    async with asyncio.timeout(60):  # until the worker is there
        while "first.1" not in server.presented:  # noqa: ASYNC110 - the server tells of no more than the request
            await asyncio.sleep(0.05)
    for one in [*hung, second]:
        await demand(one)
    async with asyncio.timeout(DEADLINE_S):  # before what hangs is given up
        while "second.1" not in server.presented:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
