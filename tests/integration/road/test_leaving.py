"""A worker that is told to end: what it has sent is settled, what it has not is anybody's again. A scheduler: what it has begun is done."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
import redis
from structlog.testing import capture_logs

from road import Road
from token_server import TokenServer
from tokenkeep.adapters.redis.queue import RefreshHint
from tokenkeep.application.relay_events import Outbox
from tokenkeep.domain.attempt import Trigger
from tokenkeep_scheduler.main import Scheduler
from tokenkeep_worker.main import Worker


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


@pytest.mark.parametrize("fault", [redis.ConnectionError("gone"), redis.ReadOnlyError("a replica")])
async def test_what_is_on_the_wire_is_settled_though_redis_takes_no_hint_back(
    road: Road, server: TokenServer, worker: Worker, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    account_id = await road.account(await road.source(server.url), "sent")
    left, stop = threading.Event(), dramatiq.Worker.stop

    def fail(consumer: dramatiq.Worker, timeout: int) -> None:
        stop(consumer, timeout)
        left.set()
        raise fault

    # What its end does with messages that were taken in advance, where Redis refuses (dramatiq 2.2: such errors come through).
    monkeypatch.setattr(dramatiq.Worker, "stop", fail)
    server.gate, stopping = asyncio.Event(), asyncio.Event()
    with capture_logs() as log:
        running = asyncio.create_task(worker.run(stopping))
        await worker.begin(RefreshHint((account_id,), Trigger.SCHEDULE, "cor_test"))
        await asyncio.wait_for(server.arrived.wait(), 20)
        while not any(line["event"] == "worker_ready" for line in log):
            assert not running.done()
            await asyncio.sleep(0.01)
        stopping.set()
        assert await asyncio.to_thread(left.wait, 20)
        server.gate.set()
        await asyncio.wait_for(running, 60)
    assert (await road.view(account_id)).generation == 2
    assert [line["error"] for line in log if line["event"] == "hints_not_given_back"] == [type(fault).__name__] * 2


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
