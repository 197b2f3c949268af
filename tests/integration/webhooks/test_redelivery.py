"""Events delivered once more: one, or those of a time."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

from structlog.testing import capture_logs

from api_service import Service, data
from feeding import happened, tell
from token_server import Said
from tokenkeep.application.redeliver_events import RedeliverEvents
from tokenkeep.application.webhooks import Span
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.ids import IdKind, WebhookId, parse_id
from tokenkeep.domain.webhook_tries import MOST_TRIES
from webhook_house import Hooks, delivering, public
from webhook_receiver import Receiver

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


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


async def test_a_try_under_way_that_fails_undoes_no_redelivery(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    """It is the last one of the former schedule, after which a delivery is given up."""
    webhook_id, _ = await hooks.make(receiver.url)
    receiver.script.extend([Said(500), Said(500)])
    with capture_logs() as log:
        async with delivering(service):
            [event] = await hooks.happen()
            await hooks.tried(webhook_id, 1)
            await hooks.put_off(webhook_id)
            await service.sql(
                "UPDATE webhook_deliveries SET tries = :n WHERE event_id = :id", n=MOST_TRIES - 1, id=event.id
            )
            receiver.gate = asyncio.Event()
            await hooks.make_due(webhook_id)
            await receiver.come(2)
            await hooks.call("POST", webhook_id, "/redeliver", 202, json={"event_id": public(event)})
            receiver.gate.set()
            await receiver.come(3)
            await hooks.until(webhook_id, state="delivered")
            [delivered] = await hooks.deliveries(webhook_id)
    assert (delivered["tries"], delivered["http_status"]) == (1, 204)
    failed = [line for line in log if line["event"] == "webhook_delivery_failed"]
    assert [line["given_up"] for line in failed] == [False, False]


async def test_a_try_under_way_that_succeeds_is_what_a_redelivery_asked_for(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    receiver.script.append(Said(500))
    async with delivering(service):
        [event] = await hooks.happen()
        await hooks.tried(webhook_id, 1)
        receiver.gate = asyncio.Event()
        await hooks.make_due(webhook_id)
        await receiver.come(2)
        await hooks.call("POST", webhook_id, "/redeliver", 202, json={"event_id": public(event)})
        receiver.gate.set()
        await hooks.until(webhook_id, state="delivered")
    assert len(receiver.received) == 2


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


async def test_a_span_begins_with_its_first_moment_and_ends_before_its_last_one(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    """Events are told in an order that is not quite that of their times, and others lie days before and after."""
    hours = [-200, -100, -50, -49, -2, 0, -1, 1, 3, 2, 24, 48, 100]
    events = [replace(happened(service.environment), time=NOON + timedelta(hours=one)) for one in hours if abs(one) > 3]
    near = [replace(happened(service.environment), time=NOON + timedelta(minutes=one)) for one in (-2, 0, -1, 1, 3, 2)]
    await tell(service.foundation.database, *events[:4], *near, *events[4:])
    webhook_id, _ = await hooks.make(receiver.url)
    span = {
        "since": (NOON - timedelta(minutes=1)).isoformat(),
        "until": (NOON + timedelta(minutes=2)).isoformat(),
    }
    async with delivering(service):
        again = await hooks.call("POST", webhook_id, "/redeliver", 202, json=span)
        assert again == {"count": 3, "next_cursor": None}
        await hooks.until(webhook_id, state="delivered", count=3)
    wanted = {public(one) for one in near if NOON - timedelta(minutes=1) <= one.time < NOON + timedelta(minutes=2)}
    assert set(receiver.ids) == wanted


async def test_what_is_yet_to_be_given_out_is_not_given_out_by_a_redelivery_as_well(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    await hooks.happen(3)
    again = await hooks.call("POST", webhook_id, "/redeliver", 202, json={"since": "2020-01-01T00:00:00Z"})
    assert again["count"] == 0
    async with delivering(service):
        await hooks.until(webhook_id, state="delivered", count=3)
        await hooks.given()
    assert len(receiver.received) == 3


async def test_a_call_whose_time_is_over_says_where_to_go_on_and_nothing_is_left_out(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    await hooks.happen(4_500)
    webhook_id, _ = await hooks.make(receiver.url)
    parsed = WebhookId(parse_id(IdKind.WEBHOOK, webhook_id))
    hurrying: Iterator[int] = count(step=3)  # two pages, and five seconds are over
    redeliver = RedeliverEvents(service.wired.works, lambda: float(next(hurrying)))
    caller = Caller("admin-key", service.environment, frozenset())
    made, pages, after = 0, 0, None
    while pages == 0 or after is not None:
        span = Span(datetime(2025, 1, 1, tzinfo=UTC), None, None, delivered_too=False, after=after)
        more, after = await redeliver.of_span(caller, parsed, span)
        made, pages = made + more, pages + 1
    assert (made, pages) == (4_500, 3)
    cursored = await hooks.call(
        "POST", webhook_id, "/redeliver", 202, json={"since": "2025-01-01T00:00:00Z", "cursor": "AAAAAAAAAAA"}
    )
    assert cursored == {"count": 0, "next_cursor": None}
