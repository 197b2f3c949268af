"""Events given to the webhooks that want them: each once, none missed, whoever writes at the same time."""

import asyncio
import random
from uuid import uuid4

from api_service import Service, data
from feeding import happened
from tokenkeep.adapters.postgres.event_log import append_events
from webhook_house import Hooks, delivering, public
from webhook_receiver import Receiver

WRITERS = 8


async def test_events_of_transactions_that_commit_in_another_order_are_given_out_each_once(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    chance = random.Random(7)  # noqa: S311 - the same waits each time
    told: list[str] = []

    async def write() -> None:
        for _ in range(15):
            event = happened(service.environment)
            async with service.foundation.database.transaction() as connection:
                await append_events(connection, [event])
                await asyncio.sleep(chance.random() * 0.05)
                if chance.random() < 0.2:
                    await connection.rollback()
                    continue
            told.append(public(event))

    async with delivering(service), delivering(service):
        await asyncio.gather(*(write() for _ in range(WRITERS)))
        await hooks.until(webhook_id, state="delivered", count=len(told))
        await hooks.given()
    assert sorted(receiver.ids) == sorted(told)
    assert len(told) > WRITERS * 8


async def test_a_change_that_is_committed_while_a_webhook_is_being_made_is_told_to_it(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    late = happened(service.environment)
    written, go_on = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with service.foundation.database.transaction() as connection:
            await append_events(connection, [late])
            written.set()
            await go_on.wait()

    async with delivering(service):
        writing = asyncio.create_task(write())
        await written.wait()
        making = asyncio.create_task(hooks.make(receiver.url))
        [meanwhile] = await hooks.happen()
        go_on.set()
        await writing
        await making
        [after] = await hooks.happen()
        await receiver.come(1)
        await hooks.given()
    # What was committed before it was there it may have heard or not; what came after it must have.
    assert public(after) in receiver.ids
    assert set(receiver.ids) <= {public(late), public(meanwhile), public(after)}


async def test_a_change_that_was_begun_before_a_webhook_was_made_and_is_committed_after_it_is_told_to_it(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    slow = happened(service.environment)
    database = service.foundation.database
    async with delivering(service):
        async with database.transaction() as writing:
            async with database.transaction() as before:
                await append_events(before, [happened(service.environment)])
                making = asyncio.create_task(hooks.make(receiver.url))
                async with asyncio.timeout(4):
                    while not service.wired.event_tail.held_back:  # noqa: ASYNC110 - the look tells nobody
                        await asyncio.sleep(0.01)
                await append_events(writing, [slow])
            webhook_id, _ = await making
        await hooks.until(webhook_id, state="delivered")
    assert receiver.ids == [public(slow)]


async def test_a_span_is_delivered_again_page_by_page_and_what_was_delivered_only_if_that_is_wanted(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    before = await hooks.happen(3)
    webhook_id, _ = await hooks.make(receiver.url)
    span = {"since": "2025-12-31T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
    async with delivering(service):
        after = await hooks.happen(2)
        await hooks.until(webhook_id, state="delivered", count=2)
        missed = await hooks.call("POST", webhook_id, "/redeliver", 202, json=span)
        assert missed == {"count": 3, "next_cursor": None}
        await hooks.until(webhook_id, state="delivered", count=5)
        assert (await hooks.call("POST", webhook_id, "/redeliver", 202, json=span))["count"] == 0
        again = await hooks.call("POST", webhook_id, "/redeliver", 202, json={**span, "include_delivered": True})
        assert again["count"] == 5
        await receiver.come(10)
        nothing = await hooks.call(
            "POST", webhook_id, "/redeliver", 202, json={**span, "until": "2026-01-01T00:00:00Z"}
        )
        assert nothing["count"] == 0
    assert sorted(receiver.ids) == sorted([public(one) for one in (*before, *after)] * 2)


async def test_one_event_is_delivered_again_with_the_same_id(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, secret = await hooks.make(receiver.url)
    async with delivering(service):
        [event] = await hooks.happen()
        await hooks.until(webhook_id, state="delivered")
        again = await hooks.call("POST", webhook_id, "/redeliver", 202, json={"event_id": public(event)})
        assert again["count"] == 1
        await receiver.come(2)
        await hooks.until(webhook_id, state="delivered")
    assert receiver.ids == [public(event)] * 2
    assert receiver.received[1].verify(secret) == receiver.received[0].verify(secret)
    async with service.client() as admin:
        listed = data(await admin.get("/v1/audit", params={"target": webhook_id, "action": "webhook.redeliver"}))
    assert len(listed) == 1


async def test_a_delivery_whose_event_is_no_longer_kept_is_given_up(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url, ordered=True)
    about = uuid4()
    async with delivering(service):
        [event] = await hooks.happen(1, subject=about)
        await hooks.until(webhook_id, state="delivered")
        await service.sql("DELETE FROM events WHERE id = :id", id=event.id)
        await hooks.call("POST", webhook_id, "/redeliver", 202, json={"event_id": public(event)})
        await hooks.until(webhook_id, state="failed")
        [given_up] = await hooks.deliveries(webhook_id)
        assert (given_up["error"], given_up["subject"]) == ("the event is no longer kept", None)
        await hooks.happen(1, subject=about)
        await hooks.until(webhook_id, state="delivered")
