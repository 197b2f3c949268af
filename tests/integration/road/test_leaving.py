"""A worker that is told to end: what it has sent is settled, what it has not is anybody's again."""

import asyncio
from datetime import timedelta

from road import Road
from token_server import TokenServer


async def test_what_is_on_the_wire_is_settled_and_the_rest_is_given_back_at_once(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    sent, waiting = await road.account(source_id, "sent"), await road.account(source_id, "waiting")
    server.gate = asyncio.Event()
    refreshing = asyncio.create_task(road.refresh(sent))
    await server.arrived.wait()

    road.refreshing.refresh.hurry(timedelta(seconds=20))
    given_back = await road.refresh(waiting)
    server.gate.set()
    [settled] = await refreshing

    assert given_back == []
    assert server.presented == ["sent.1"]
    assert settled.settlement is not None
    assert (await road.view(sent)).generation == 2
    [row] = await road.sql("SELECT phase, due_at <= now() AS is_due FROM leases WHERE account_id = :id", id=waiting)
    assert (row["phase"], row["is_due"]) == ("idle", True)


async def test_who_waited_for_a_turn_meanwhile_is_given_back_unsent(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url, refresh_concurrency=1)
    account_id, other_id = await road.account(source_id, "first"), await road.account(source_id, "second")
    server.gate = asyncio.Event()
    refreshing = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    behind = asyncio.create_task(road.refresh(other_id))

    road.refreshing.refresh.hurry(timedelta(seconds=20))
    server.gate.set()
    await asyncio.gather(refreshing, behind)

    assert server.presented == ["first.1"]
    [row] = await road.sql("SELECT phase FROM leases WHERE account_id = :id", id=other_id)
    assert row["phase"] == "idle"
