"""What the log says of refreshes: how much, and under which id."""

import asyncio
import json
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any

import pytest

from road import Road, open_road
from road_processes import process
from token_server import TokenServer, says
from tokenkeep.adapters.failpoints.striking import FailedOnPurpose
from tokenkeep.adapters.redis.connection import connect_blocking
from tokenkeep.adapters.redis.queue import DramatiqRefreshQueue, create_broker
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, IdKind, format_id, new_id
from tokenkeep.settings import require_redis


def said(road: Road, event: str) -> list[MutableMapping[str, Any]]:
    return [line for line in road.log if line["event"] == event]


def told_of(road: Road, account_id: AccountId) -> list[MutableMapping[str, Any]]:
    name = format_id(IdKind.ACCOUNT, account_id)
    return [line for line in road.log if line.get("account_id") == name]


async def test_each_settled_account_has_one_line(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(20)]
    server.script.extend([says(400, {"error": "invalid_grant"}), says(500, {})])
    await road.refresh(*ids)
    assert [len(told_of(road, one)) for one in ids] == [1] * 20
    assert sorted(line["log_level"] for line in said(road, "refresh_settled")) == ["info"] * 18 + ["warning"] * 2
    assert said(road, "refreshes_settled") == []


@pytest.mark.parametrize(("lines_per_s", "own"), [(2, 8), (0, 0)])
async def test_above_the_rate_a_batch_has_one_line_and_whatever_is_not_well_its_own(
    database_url: str, redis_url: str, server: TokenServer, lines_per_s: int, own: int
) -> None:
    async with open_road(database_url, redis_url, log_refreshes_per_s=lines_per_s) as road:
        await road.foundation.redis.flushall()
        source_id = await road.source(server.url)
        ids = [await road.account(source_id, f"g{n}") for n in range(60)]
        server.script.extend([says(400, {"error": "invalid_grant"}), says(400, {"error": "invalid_request"})])
        await road.refresh(*ids)
        lines = said(road, "refresh_settled")
        [summary] = said(road, "refreshes_settled")
        # The bucket fills while the batch is under way, however slow the machine is.
        assert own <= sum(line["log_level"] == "info" for line in lines) <= 58
        assert sorted(line["outcome"] for line in lines if line["log_level"] == "warning") == ["failed", "refused"]
        assert [line["state"] for line in lines if line["outcome"] == "refused"] == ["disabled"]
        assert summary["outcomes"] == {"ok": 58, "refused": 1, "failed": 1}
        assert (summary["accounts"], summary["provider"], summary["correlation_id"]) == (
            60,
            "generic-oauth2",
            "cor_test",
        )
        assert summary["without_line"] + len(lines) == 60


async def test_what_was_settled_in_a_batch_that_ends_in_an_error_is_told_all_the_same(
    database_url: str, redis_url: str, server: TokenServer
) -> None:
    async with open_road(database_url, redis_url, log_refreshes_per_s=0, failpoints="release.before=raise@1") as road:
        await road.foundation.redis.flushall()
        account_id = await road.account(await road.source(server.url))
        with pytest.raises(FailedOnPurpose):
            await road.refresh(account_id)
        [summary] = said(road, "refreshes_settled")
        assert (summary["outcomes"], summary["without_line"]) == ({"ok": 1}, 1)


async def test_an_account_that_recovers_has_its_line_however_much_there_is(
    database_url: str, redis_url: str, server: TokenServer
) -> None:
    async with open_road(database_url, redis_url, log_refreshes_per_s=0) as road:
        await road.foundation.redis.flushall()
        account_id = await road.account(await road.source(server.url))
        server.script.extend([says(400, {"error": "invalid_request"})] * 3)
        for _ in range(5):
            await road.refresh(account_id)
            await road.make_due(account_id)
        assert (await road.told(account_id))[2:] == ["failing", "refreshed", "recovered", "refreshed"]
        assert [line["outcome"] for line in told_of(road, account_id)] == ["failed"] * 3 + ["ok"]
        assert len(said(road, "refreshes_settled")) == 1


async def test_every_line_of_a_worker_about_an_account_bears_the_id_of_what_caused_it(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(4)]
    queue = DramatiqRefreshQueue(create_broker(connect_blocking(require_redis(road.foundation.settings))))
    server.script.extend(
        [says(400, {"error": "invalid_grant"}), says(503, {}), says(400, {"error": "invalid_request"})]
    )
    changes = {"log_level": "debug", "log_format": "json"}
    async with process(road, "worker", stdout=asyncio.subprocess.PIPE, **changes) as worker:
        for one in ids:
            await queue.enqueue([one], trigger=Trigger.SCHEDULE, correlation_id=f"cor_of_{one.hex}")
        settled = "SELECT count(*) AS n FROM refresh_attempts WHERE outcome IS NOT NULL"
        async with asyncio.timeout(60):
            while (await road.sql(settled))[0]["n"] < len(ids):  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(0.02)
        worker.terminate()
        out, _ = await worker.communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    about = [line for line in lines if "account_id" in line]
    assert sorted(line["outcome"] for line in about if line["event"] == "refresh_settled") == [
        "failed",
        "in_doubt",
        "ok",
        "refused",
    ]
    assert [
        line for line in about if line["correlation_id"] != f"cor_of_{line['account_id'].removeprefix('acc_')}"
    ] == []
    assert {line["process"] for line in lines} == {"worker"}


async def test_what_is_taken_over_goes_on_under_the_id_that_began_it(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url, refresh_rotates="no"))
    attempt_id = new_id()
    await road.sql(
        """UPDATE leases SET phase = 'sent', attempt_id = :attempt, lease_until = now() - interval '1 s', fence = 1,
                  due_at = now(), sent_at = now() - interval '1 h', presented_generation = 1 WHERE account_id = :id""",
        id=account_id,
        attempt=attempt_id,
    )
    await road.sql(
        """INSERT INTO refresh_attempts (account_id, id, epoch, fence, presented_generation, trigger, correlation_id, secret_version)
           VALUES (:id, :attempt, 1, 1, 1, 'schedule', 'cor_of_the_dead', 1)""",
        id=account_id,
        attempt=attempt_id,
    )
    assert await road.jobs.sweep() == 1
    [line] = said(road, "lease_taken_over")
    assert line["correlation_id"] == "cor_of_the_dead"
    events = [event for event in await road.events(account_id) if event.type.endswith("in_doubt")]
    assert [event.correlation_id for event in events] == ["cor_of_the_dead"] * len(events)


async def test_a_source_that_is_paused_by_a_refresh_tells_its_cause(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(8)]
    server.script.extend([says(401, {"error": "invalid_client"})] * 8)
    for one in ids:
        await road.refresh(one)
        await road.pass_time(one, timedelta(minutes=1))
    [event] = await road.sql("SELECT type, correlation_id FROM events WHERE subject_kind = 'src'")
    assert (event["type"], event["correlation_id"]) == ("tokenkeep.source.paused", "cor_test")
