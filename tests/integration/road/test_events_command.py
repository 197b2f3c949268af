"""`tokenkeep events`: what is told, live, and what services sent that nobody could take."""

import asyncio
import json
import sys
from typing import Any
from uuid import uuid4

from incoming import an_incoming
from road import Road
from road_processes import environment_of
from token_server import TokenServer
from tokenkeep.adapters.redis.inbox_stream import DEAD, STREAM
from tokenkeep.domain.ids import IdKind, format_id


async def command(road: Road, *words: str) -> tuple[int, str, str]:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tokenkeep", "events", *words),
        env=environment_of(road),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await running.communicate()
    assert running.returncode is not None
    return running.returncode, out.decode(), err.decode()


async def test_what_is_dead_is_shown_and_put_back_by_the_command(road: Road, server: TokenServer) -> None:
    account_id = format_id(IdKind.ACCOUNT, await road.account(await road.source(server.url), expires_in_s=3600))
    misspelt = json.dumps(an_incoming("disable", account_id))
    await road.foundation.redis.xadd(DEAD, {"reason": "unknown_type: is none", "field": "type", "event": misspelt})
    await road.sql(
        "INSERT INTO inbox_events (environment, source, id, type, account_id, actor, correlation_id, outcome, settled_at,"
        " error) VALUES ('default', '/a', 'one', 'tokenkeep.account.revoked', :account, 'inbox', 'cor_1', 'failed', now(),"
        " 'VaultError')",
        account=uuid4(),
    )
    status, out, _ = await command(road, "dead", "list", "--json")
    entry, failed = json.loads(out)
    assert (status, entry["field"], entry["event"]) == (0, "type", misspelt)
    assert (failed["where"], failed["reason"], failed["event"]["id"]) == ("database", "VaultError", "one")
    status, out, _ = await command(road, "dead", "list")
    assert [line.split()[:2] for line in out.splitlines()] == [[entry["id"], "stream"], [failed["id"], "database"]]
    status, _, err = await command(road, "dead", "retry", entry["id"], "7-7", "canary")
    assert (status, err) == (1, "there is no such entry: 7-7, canary\n")
    status, out, _ = await command(road, "dead", "retry", "--all", "--json")
    assert (status, json.loads(out)) == (0, {"retried": [failed["id"]]})
    assert (await road.foundation.redis.xlen(DEAD), await road.foundation.redis.xlen(STREAM)) == (0, 1)
    assert (await road.sql("SELECT outcome FROM inbox_events"))[0]["outcome"] is None
    status, _, err = await command(road, "dead", "retry")
    assert status == 2
    assert "--all" in err


async def test_the_command_follows_what_is_told(road: Road, server: TokenServer) -> None:
    await road.jobs.relay.keep_shards()
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tokenkeep", "events", "tail", "--json"),
        env=environment_of(road),
        stdout=asyncio.subprocess.PIPE,
    )
    assert running.stdout is not None
    line = asyncio.create_task(running.stdout.readline())
    source_id = await road.source(server.url)
    async with asyncio.timeout(60):
        number = 0
        while not line.done():  # it may not listen yet
            await road.account(source_id, f"g{number}", expires_in_s=3600)
            await road.jobs.relay()
            number += 1
            await asyncio.wait({line}, timeout=0.2)
    event: dict[str, Any] = json.loads(await line)
    assert event["type"] in {"tokenkeep.account.created", "tokenkeep.account.activated"}
    running.kill()
    await running.wait()
