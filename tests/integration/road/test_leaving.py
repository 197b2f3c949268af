"""A worker that is told to end: what it has sent is settled, what it has not is anybody's again. A scheduler: what it has begun is done."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from road import Road
from token_server import TokenServer
from tokenkeep.application.relay_events import Outbox
from tokenkeep_scheduler.main import Scheduler


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


class HeldOutbox:
    """An outbox that does not forget what was told before it is let."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.arrived, self.gate = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outbox, name)

    async def delivered(self, positions: Sequence[int], marks: Mapping[int, int]) -> None:
        self.arrived.set()
        await self.gate.wait()
        await self._outbox.delivered(positions, marks)


async def test_a_scheduler_forgets_what_it_has_told_before_it_ends_and_hands_its_shards_on(
    road: Road, server: TokenServer
) -> None:
    await road.account(await road.source(server.url), "told")
    outbox = HeldOutbox(road.jobs.relay.outbox)
    jobs = replace(road.jobs, relay=replace(road.jobs.relay, outbox=outbox))
    settings = road.foundation.settings.model_copy(update={"metrics_port": 0})
    stopping = asyncio.Event()
    running = asyncio.create_task(Scheduler(replace(road.foundation, settings=settings), jobs).run(stopping))
    await outbox.arrived.wait()

    stopping.set()
    await asyncio.sleep(0.5)  # long enough to cut the relay off, if anybody did
    assert not running.done()
    outbox.gate.set()
    await running

    [row] = await road.sql("SELECT (SELECT count(*) FROM outbox) AS untold, count(holder) AS held FROM outbox_shards")
    assert (row["untold"], row["held"]) == (0, 0)
