"""Incoming events through real processes that are killed."""

import asyncio
import json
from collections import Counter

from incoming import a_report
from road import Road
from road_processes import process
from token_server import TokenServer
from tokenkeep.adapters.redis.inbox_stream import DEAD, STREAM
from tokenkeep.domain.ids import IdKind, format_id


async def until(road: Road, statement: str, count: int) -> None:
    """Wait until a count of the database has come so far."""
    async with asyncio.timeout(90):
        while (await road.sql(statement))[0]["n"] < count:  # noqa: ASYNC110 - rows tell nobody
            await asyncio.sleep(0.02)


async def test_processes_that_are_killed_in_a_burst_lose_nothing_and_have_no_effect_twice(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    accounts = [await road.account(source_id, f"g{n}", expires_in_s=3600) for n in range(10)]
    public = [format_id(IdKind.ACCOUNT, one) for one in accounts]
    async with road.foundation.redis.pipeline(transaction=False) as burst:
        for number in range(2_000):
            report = a_report(public[number % 10], f"access-g{number % 10}.1", id=str(number))
            burst.xadd(STREAM, {"event": json.dumps(report)})
        await burst.execute()
    accepted = "SELECT count(*) AS n FROM inbox_events"
    done = "SELECT count(*) AS n FROM inbox_events WHERE outcome IS NOT NULL"
    async with process(road, "scheduler") as scheduler, process(road, "worker") as worker:
        await until(road, accepted, 1)
        scheduler.kill()
        await until(road, done, 5)
        worker.kill()
    async with process(road, "scheduler"), process(road, "worker"):
        await until(road, accepted, 2_000)
        await until(road, done, 2_000)
        async with asyncio.timeout(30):
            while await road.foundation.redis.xlen(STREAM):  # noqa: ASYNC110 - the stream tells nobody
                await asyncio.sleep(0.02)
    [row] = await road.sql("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM inbox_events")
    assert (row["n"], row["ids"]) == (2_000, 2_000)
    for account_id in accounts:
        assert (await road.told(account_id)).count("token_rejected") == 1
    assert {token for token in server.presented if not token.endswith(".1")} == set()
    assert max(Counter(server.presented).values()) == 1
    assert await road.foundation.redis.xlen(DEAD) == 0
