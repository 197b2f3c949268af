"""A worker that has all in hand that it can settle: scheduled hints wait, and nothing else does."""

import asyncio
from dataclasses import dataclass

from loopback_server import LoopbackServer
from road import Road
from token_server import TokenServer
from tokenkeep.adapters.redis.queue import RefreshHint
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId
from tokenkeep_worker.main import Worker


@dataclass
class Mute(LoopbackServer):
    """Takes connections, and never says a word of TLS."""

    path = "/token"
    connections: int = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        del writer
        self.connections += 1
        while await reader.read(4096):
            pass
        return False


async def settled(road: Road, account_id: AccountId) -> None:
    async with asyncio.timeout(20):
        while "refreshed" not in await road.told(account_id):  # noqa: ASYNC110 - rows tell nobody
            await asyncio.sleep(0.02)


def hint(account_id: AccountId, trigger: Trigger) -> RefreshHint:
    return RefreshHint((account_id,), trigger, "cor_test")


async def test_scheduled_hints_wait_and_demands_and_direct_claims_do_not(
    road: Road, server: TokenServer, worker: Worker
) -> None:
    source_id = await road.source(server.url)
    due, demanded, claimed = [await road.account(source_id, name) for name in ("due", "demanded", "claimed")]
    full = await road.refreshing.refresh.take(1_000_000, Trigger.SCHEDULE)

    waiting = asyncio.create_task(worker.refresh(hint(due, Trigger.SCHEDULE)))
    await worker.refresh(hint(demanded, Trigger.DEMAND))
    await worker.begin(hint(claimed, Trigger.SCHEDULE))
    await settled(road, demanded)
    await settled(road, claimed)
    assert not waiting.done()
    assert "refreshed" not in await road.told(due)

    full.close()
    await waiting
    await settled(road, due)


async def test_a_worker_that_is_to_end_gives_hints_back_that_wait(
    road: Road, server: TokenServer, worker: Worker
) -> None:
    due = await road.account(await road.source(server.url), "due")
    full = await road.refreshing.refresh.take(1_000_000, Trigger.SCHEDULE)
    waiting = asyncio.create_task(worker.refresh(hint(due, Trigger.SCHEDULE)))
    await asyncio.sleep(0)
    road.refreshing.refresh.hurry(road.foundation.times.lease)
    async with asyncio.timeout(5):
        await waiting
        await asyncio.wait(worker._batches)
    full.close()
    assert await road.sql("SELECT id FROM refresh_attempts") == []


async def test_who_waits_for_a_connection_is_not_in_hand(short_road: Road) -> None:
    async with Mute() as mute:
        source_id = await short_road.source(mute.url.replace("http:", "https:"))
        accounts = [await short_road.account(source_id, f"one{number}") for number in range(5)]
        refreshing = asyncio.create_task(short_road.refresh(*accounts))
        async with asyncio.timeout(10):
            while not mute.connections or short_road.refreshing.refresh.in_hand:
                assert not refreshing.done()
                await asyncio.sleep(0)
        await refreshing
