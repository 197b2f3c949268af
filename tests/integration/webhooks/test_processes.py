"""Worker processes that deliver, and are killed or stopped while they do."""

import asyncio
import signal

from api_service import Service
from databases import end_connections
from road_processes import process
from webhook_house import Hooks, delivering, public
from webhook_receiver import Receiver

OVERDUE = "UPDATE webhook_lanes SET lease_until = now() WHERE lease_until IS NOT NULL"


async def test_what_a_killed_worker_was_delivering_comes_again_with_the_same_id(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, secret = await hooks.make(receiver.url)
    receiver.gate = asyncio.Event()
    async with process(service, "worker") as worker:
        [event] = await hooks.happen()
        await receiver.come(1, 60)
        worker.kill()
        await worker.wait()
    receiver.gate.set()
    [waiting] = await hooks.deliveries(webhook_id)
    assert (waiting["state"], waiting["tries"]) == ("pending", 0)
    await service.sql(OVERDUE)  # as if its time were over
    async with process(service, "worker"):
        await hooks.until(webhook_id, state="delivered", timeout_s=60)
    assert receiver.ids == [public(event)] * 2
    for message in receiver.received:
        message.verify(secret)


async def test_a_deliverer_that_was_away_for_longer_than_its_lease_writes_nothing(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    receiver.gate = asyncio.Event()
    async with delivering(service):
        await hooks.happen()
        await receiver.come(1)
        # As another one would have it by now, and then be over as well.
        await service.sql(
            "UPDATE webhook_lanes SET holder = gen_random_uuid(), lease_until = now() + interval '1 second'"
        )
        receiver.gate.set()
        await receiver.come(2)
        await hooks.until(webhook_id, state="delivered")
    [delivered] = await hooks.deliveries(webhook_id)
    assert delivered["tries"] == 1
    assert len(set(receiver.ids)) == 1


async def test_workers_that_are_killed_in_a_burst_miss_no_event_for_any_endpoint(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    everything, _ = await hooks.make(receiver.url + "/1")
    ordered, _ = await hooks.make(receiver.url + "/2", ordered=True)
    told: set[str] = set()
    for _ in range(3):
        async with process(service, "worker") as first, process(service, "worker"):
            already = len(receiver.received)
            for _ in range(10):
                told |= {public(event) for event in await hooks.happen(20)}
            await receiver.come(already + 40, 60)
            first.kill()
        await service.sql(OVERDUE)
    async with process(service, "worker"):
        for webhook_id in (everything, ordered):
            await hooks.until(webhook_id, state="delivered", count=600, timeout_s=60)
    for path in ("/hook/1", "/hook/2"):
        assert {one.id for one in receiver.received if one.path == path} == told


async def test_connections_to_the_database_that_break_lose_nothing(
    hooks: Hooks, service: Service, receiver: Receiver, webhooks_url: str
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    async with delivering(service), delivering(service):
        told = set()
        for _ in range(5):
            told |= {public(event) for event in await hooks.happen(20)}
            await receiver.come(1)
            await end_connections(webhooks_url)
            await service.foundation.database.close()  # its own have ended, too
        await hooks.until(webhook_id, state="delivered", count=100, timeout_s=60)
    assert set(receiver.ids) == told


async def test_a_worker_that_is_stopped_ends_the_deliveries_that_are_under_way(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    receiver.gate = asyncio.Event()
    async with process(service, "worker") as worker:
        await hooks.happen()
        await receiver.come(1, 60)
        worker.send_signal(signal.SIGTERM)
        waiting = asyncio.create_task(worker.wait())
        [pending] = await hooks.deliveries(webhook_id)
        assert pending["state"] == "pending"
        receiver.gate.set()
        assert await waiting == 0
    [delivered] = await hooks.deliveries(webhook_id)
    assert (delivered["state"], delivered["tries"]) == ("delivered", 1)
