"""Endpoints that want each subject's events in order, whatever fails and however many deliver."""

import asyncio
import random
from collections import defaultdict
from contextlib import AsyncExitStack
from uuid import uuid4

from api_service import Service
from token_server import Said
from tokenkeep.domain.ids import IdKind, parse_id
from tokenkeep_worker.webhooks import wire_webhooks
from webhook_house import Hooks, delivering, public
from webhook_receiver import Received, Receiver


async def test_the_next_event_of_a_subject_waits_until_the_last_one_is_delivered_and_other_subjects_go_on(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url, ordered=True)
    receiver.script.append(Said(500, b""))
    stuck = uuid4()
    async with delivering(service), delivering(service):
        events = await hooks.happen(3, subject=stuck)
        await hooks.tried(webhook_id, 1)
        await hooks.put_off(webhook_id)
        others = await hooks.happen(20)
        await hooks.until(webhook_id, state="delivered", count=20)
        assert set(receiver.ids) == {public(events[0]), *(public(one) for one in others)}
        waiting = [one["next_try_at"] for one in await hooks.deliveries(webhook_id, state="pending")]
        assert waiting[:2] == [None, None]
        assert waiting[2] is not None
        await hooks.make_due(webhook_id)
        await hooks.until(webhook_id, state="delivered", count=23)
    about_it = [one.id for one in receiver.received if one.id in {public(event) for event in events}]
    assert about_it == [public(events[0]), *(public(event) for event in events)]


async def test_an_event_that_is_given_up_lets_the_next_one_go(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url, ordered=True)
    receiver.script.append(Said(500, b""))
    async with delivering(service):
        first, second = await hooks.happen(2, subject=uuid4())
        await hooks.tried(webhook_id, 1)
        await hooks.put_off(webhook_id)
        await service.sql("UPDATE webhook_deliveries SET tries = 9 WHERE tries = 1")
        receiver.script.append(Said(500, b""))
        await hooks.make_due(webhook_id)
        await hooks.until(webhook_id, state="delivered")
    assert receiver.ids == [public(first), public(first), public(second)]
    [given_up] = await hooks.deliveries(webhook_id, state="failed")
    assert given_up["event_id"] == public(first)


async def test_an_event_that_is_no_longer_kept_lets_the_next_one_go_though_others_are_still_to_be_sent(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url, ordered=True)
    receiver.script.extend([Said(500, b""), Said(500, b"")])
    async with delivering(service):
        first, second = await hooks.happen(2, subject=uuid4())
        await hooks.tried(webhook_id, 1)
        await hooks.put_off(webhook_id)
        await hooks.happen(1)  # which stays on the list, too
        await hooks.tried(webhook_id, 2)
        await hooks.put_off(webhook_id)
        assert [one["next_try_at"] is None for one in await hooks.deliveries(webhook_id)] == [False, True, False]
        await service.sql("DELETE FROM events WHERE id = :id", id=first.id)
        await service.sql("UPDATE webhook_deliveries SET due_at = now() WHERE event_id = :id", id=first.id)
        await service.sql("UPDATE webhook_lanes SET wake_at = now(), rest_until = NULL")
        await hooks.until(webhook_id, state="delivered")
    assert receiver.ids[-1] == public(second)
    assert [one["state"] for one in await hooks.deliveries(webhook_id)] == ["pending", "delivered", "failed"]


async def test_what_waits_goes_at_once_when_order_is_not_wanted_any_more(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url, ordered=True)
    receiver.script.append(Said(500, b""))
    async with delivering(service):
        await hooks.happen(5, subject=uuid4())
        await hooks.tried(webhook_id, 1)
        await hooks.call("PATCH", webhook_id, json={"ordered": False})
        await hooks.until(webhook_id, state="delivered", count=4)


async def test_with_failures_at_random_and_three_deliverers_no_event_comes_before_its_forerunner_is_taken(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    chance = random.Random(4711)  # noqa: S311 - the same failures each time
    taken: dict[str, int] = defaultdict(int)
    early: list[str] = []

    async def answer(message: Received) -> Said:
        subject, sequence = message.event["subject"], int(message.event["sequence"])
        if sequence > taken[subject] + 1:
            early.append(message.id)
        if chance.random() < 0.3:
            return Said(500, b"")
        taken[subject] = max(taken[subject], sequence)
        return Said(200, b"")

    receiver.answer = answer
    webhook_id, _ = await hooks.make(receiver.url, ordered=True)
    subjects = [uuid4() for _ in range(10)]
    async with AsyncExitStack() as deliverers:
        for _ in range(3):
            await deliverers.enter_async_context(delivering(service))
        for _ in range(10):
            for subject in subjects:
                await hooks.happen(1, subject=subject)
        parsed = parse_id(IdKind.WEBHOOK, webhook_id)
        left = "SELECT count(*) AS n FROM webhook_deliveries WHERE webhook_id = :id AND state = 'delivered'"
        async with asyncio.timeout(60):
            while (await service.sql(left, id=parsed))[0]["n"] < 100:
                await hooks.make_due(webhook_id)
                await asyncio.sleep(0.02)
    assert early == []
    assert len(taken) == 10
    assert set(taken.values()) == {10}


async def test_order_that_is_switched_off_and_on_leaves_nothing_waiting_behind_what_was_delivered(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url, ordered=True)
    receiver.script.extend([Said(500, b""), Said(500, b"")])
    async with delivering(service):
        first, second = await hooks.happen(2, subject=uuid4())
        await hooks.tried(webhook_id, 1)
        await hooks.put_off(webhook_id)
        await hooks.happen(1)  # of another subject, which stays pending with a time of its own
        await hooks.tried(webhook_id, 2)
        await hooks.put_off(webhook_id)
    await hooks.call("PATCH", webhook_id, json={"ordered": False})
    await service.sql("UPDATE webhook_deliveries SET due_at = now() WHERE event_id = :id", id=first.id)
    delivery = wire_webhooks(service.foundation, service.sealer.vault)
    [(lane, send_before)] = await delivery._parts.deliver.claim(healthy=1, failing=1)
    await delivery._parts.deliver(lane, send_before=send_before)
    await delivery.stop()
    await hooks.call("PATCH", webhook_id, json={"ordered": True})
    async with delivering(service):
        await hooks.until(webhook_id, state="delivered", count=2)
    assert public(second) in receiver.ids


async def test_events_that_are_deleted_let_those_behind_them_go_however_many_subjects_they_are_of(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url, ordered=True)
    subjects = [uuid4() for _ in range(12)]
    first = [(await hooks.happen(subject=one))[0] for one in subjects]
    behind = [(await hooks.happen(subject=one))[0] for one in subjects]
    delivery = wire_webhooks(service.foundation, service.sealer.vault)
    while await delivery.give():
        pass
    await service.sql("DELETE FROM events WHERE id = ANY(:ids)", ids=[one.id for one in first])
    # All that is behind another is found to be so while its predecessor is still pending.
    await service.sql(
        "UPDATE webhook_deliveries SET due_at = NULL WHERE event_id = ANY(:ids)", ids=[one.id for one in behind]
    )
    # One more is pending with a time of its own, so that nothing goes by there being nothing else.
    [later] = await hooks.happen()
    while await delivery.give():
        pass
    await service.sql(
        "UPDATE webhook_deliveries SET due_at = now() + interval '10 hours' WHERE event_id = :id", id=later.id
    )
    await delivery.stop()
    async with delivering(service):
        await hooks.until(webhook_id, state="delivered", count=len(behind))
    assert {public(one) for one in behind} == set(receiver.ids)
