"""Ticks, the queue of hints, and the relay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from road import Road
from token_server import TokenServer
from tokenkeep.adapters.postgres.claim_front import START, ClaimFront
from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.outbox import PostgresOutbox
from tokenkeep.adapters.postgres.schedule import PostgresSchedule
from tokenkeep.adapters.redis.event_stream import STREAM, RedisEventStream
from tokenkeep.adapters.redis.queue import RefreshHint
from tokenkeep.application.emit_due_refreshes import messages
from tokenkeep.application.refreshing import DueAccount
from tokenkeep.application.relay_events import RelayEvents
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.settings import require_database
from tokenkeep_worker.without_queue import DirectClaims

SPAN = timedelta(minutes=1)


async def test_a_tick_hints_at_what_is_due_and_trusts_the_hint_for_a_while(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    for n in range(7):
        await road.account(source_id, f"g{n}")
    await road.account(source_id, "later", expires_in_s=3600)
    assert await road.tick() == 7
    assert await road.tick() == 0
    assert await road.foundation.redis.llen("tokenkeep:queue:refresh") == 1


async def test_two_schedulers_share_what_is_due(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    for n in range(40):
        await road.account(source_id, f"g{n}")
    counts = await asyncio.gather(*(road.tick() for _ in range(4)))
    assert sum(counts) == 40


async def test_of_those_that_fell_due_together_nobody_is_passed_over_where_claims_go_on(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    ids = {await road.account(source_id, f"g{n}") for n in range(3)}
    [row] = await road.sql("SELECT now() AS now, now() - interval '10 minutes' AS due")
    await road.sql("UPDATE leases SET next_refresh_at = :due, due_at = :due", due=row["due"])
    front = ClaimFront()
    front.ended(START, row["due"] - timedelta(seconds=1), row["now"], took_s=60.0, now=monotonic())
    schedule = PostgresSchedule(road.foundation.database, front=front)
    span = timedelta(minutes=1)
    claims = [await schedule.claim_due(limit=1, trust=span, paused=span) for _ in range(3)]
    assert {one.account_id for claimed in claims for one in claimed.accounts} == ids


async def test_what_fell_due_while_a_long_look_found_nothing_is_found_by_the_next(
    road: Road, server: TokenServer, watched: "Watched"
) -> None:
    account_id = await road.account(await road.source(server.url))
    await road.sql("UPDATE leases SET due_at = now() + interval '1 hour'")
    watched.look_takes_s = 9.0
    schedule = PostgresSchedule(watched, clock=lambda: watched.now)
    assert (await schedule.claim_due(limit=5, trust=SPAN, paused=SPAN)).looked_at == 0
    await road.sql("UPDATE leases SET due_at = now() - interval '7 seconds'")
    claimed = await schedule.claim_due(limit=5, trust=SPAN, paused=SPAN)
    assert [one.account_id for one in claimed.accounts] == [account_id]


async def test_it_asks_whether_anybody_is_due_before_it_claims_unless_it_is_behind(
    road: Road, server: TokenServer, watched: "Watched"
) -> None:
    schedule = PostgresSchedule(watched)
    await schedule.claim_due(limit=2, trust=SPAN, paused=SPAN)
    assert (watched.questions, watched.transactions) == (1, 0)
    source_id = await road.source(server.url)
    for n in range(3):
        await road.account(source_id, f"g{n}")
    counts = [(await schedule.claim_due(limit=2, trust=SPAN, paused=SPAN)).looked_at for _ in range(3)]
    assert counts == [2, 1, 0]
    assert (watched.questions, watched.transactions) == (3, 2)


async def test_a_flushed_redis_costs_a_hint_and_nothing_more(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    await road.tick()
    await road.foundation.redis.flushall()
    await road.sql("UPDATE leases SET due_at = now()")  # the trust in the hint has run out
    assert await road.tick() == 1
    assert (await road.view(account_id)).next_refresh_at is not None


async def test_an_account_that_nobody_may_try_yet_comes_back_when_it_may(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    await road.sql("UPDATE leases SET not_before = now() + interval '7 seconds'")
    assert await road.tick() == 0
    [lease] = await road.sql("SELECT due_at = not_before AS same FROM leases WHERE account_id = :id", id=account_id)
    assert lease["same"]


async def test_a_worker_helps_itself_while_redis_is_away(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))

    async def refresh(hint: RefreshHint) -> None:
        await road.refreshing.refresh(hint.account_ids, trigger=hint.trigger, correlation_id=hint.correlation_id)

    nowhere = Redis(unix_socket_path="/nowhere.sock")
    schedule = PostgresSchedule(road.foundation.database)
    away = DirectClaims(nowhere, schedule, refresh, batch=10, trust=timedelta(seconds=60))
    assert [await away.look() for _ in range(3)] == [0, 1, 0]
    assert server.presented == ["grant.1"]
    await road.make_due(account_id)
    there = DirectClaims(road.foundation.redis, schedule, refresh, batch=10, trust=timedelta(seconds=60))
    assert [await there.look() for _ in range(3)] == [0, 0, 0]
    await nowhere.aclose()


async def test_nothing_is_hinted_at_while_its_source_is_paused(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    await road.account(source_id)
    await road.sql("UPDATE sources SET state = 'paused', paused_reason = 'by_operator'")
    assert await road.tick() == 0
    assert await road.tick() == 0


def test_a_message_holds_accounts_of_one_source_soonest_due_first() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    sources = [SourceId(uuid4()), SourceId(uuid4())]
    due = [
        DueAccount(AccountId(uuid4()), sources[n % 2], start + timedelta(seconds=-n if n % 3 else n)) for n in range(25)
    ]
    batches = [ids for _, _, ids in messages(due, size=5)]
    assert sum(len(ids) for ids in batches) == 25
    assert all(len(ids) <= 5 for ids in batches)
    by_id = {one.account_id: one for one in due}
    for ids in batches:
        assert len({by_id[one].source_id for one in ids}) == 1
    first = [by_id[one].next_refresh_at for ids in batches for one in ids if by_id[one].source_id == sources[0]]
    assert first == sorted(first)


class Watched(Database):
    """Counts what it is asked. Each answer to a question takes so long, by its own clock."""

    now = 0.0
    look_takes_s = 0.0
    questions = 0
    transactions = 0

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        answer = await super().fetch(statement, *arguments)
        self.now += self.look_takes_s
        self.questions += 1
        return answer

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        self.transactions += 1
        async with super().transaction() as connection:
            yield connection


@pytest.fixture
async def watched(road: Road) -> AsyncIterator[Watched]:
    database = Watched(create_engine(require_database(road.foundation.settings), pool_size=1))
    yield database
    await database.close()


async def published(road: Road) -> list[dict[str, object]]:
    entries: Any = await road.foundation.redis.xrange(STREAM)
    return [orjson.loads(fields[b"event"]) for _, fields in entries]


async def test_every_event_reaches_the_stream_in_order_and_once(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(20)]
    await road.refresh(*ids)
    await road.jobs.relay.keep_shards()
    assert await road.jobs.relay() == 60
    assert await road.jobs.relay() == 0
    events = await published(road)
    for subject in {event["subject"] for event in events}:
        sequences = [int(str(event["sequence"])) for event in events if event["subject"] == subject]
        assert sequences == [1, 2, 3]
    [row] = await road.sql("SELECT count(*) AS n FROM outbox")
    assert row["n"] == 0


async def test_a_relay_that_lost_its_shards_publishes_nothing_behind_its_successor(
    road: Road, server: TokenServer
) -> None:
    await road.account(await road.source(server.url))
    outbox, stream = PostgresOutbox(road.foundation.database), RedisEventStream(road.foundation.redis)
    old = RelayEvents(outbox, stream, holder=uuid4(), lease_s=0.0)
    young = RelayEvents(outbox, stream, holder=uuid4())
    await old.keep_shards()
    kept = dict(old.shards)
    await young.keep_shards()
    assert await young() == 2
    await road.account(await road.source(server.url), "another")
    old.shards = kept
    assert await old() == 0
    assert len(old.shards) < len(kept)
    assert await young() == 2
    assert len(await published(road)) == 4


async def test_events_that_redis_had_and_lost_are_told_again_in_order_with_the_same_ids(
    road: Road, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url))
    await road.jobs.relay.keep_shards()
    assert await road.jobs.relay() == 2
    before = [event["id"] for event in await published(road)]
    await road.foundation.redis.flushall()
    await road.refresh(account_id)
    assert await road.jobs.relay() == 0
    await road.jobs.relay.keep_shards()
    assert await road.jobs.relay() == 3
    after = await published(road)
    assert [event["id"] for event in after][:2] == before
    assert [event["sequence"] for event in after] == ["1", "2", "3"]


async def test_events_written_while_redis_was_away_arrive_afterwards(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    await road.refresh(account_id)
    await road.foundation.redis.flushall()
    await road.jobs.relay.keep_shards()
    assert await road.jobs.relay() == 3
    assert [event["type"] for event in await published(road)] == [
        "tokenkeep.account.created",
        "tokenkeep.account.activated",
        "tokenkeep.account.refreshed",
    ]
