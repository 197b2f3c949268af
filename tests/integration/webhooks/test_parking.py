"""What a disabled webhook was not sent: put aside, kept for a while, deleted."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import text

from api_service import Service, problem
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep.adapters.postgres.webhook_lanes import PostgresLanes
from tokenkeep.adapters.postgres.webhook_turns import let_go_behind
from tokenkeep.adapters.postgres.webhooks import PARKED_AT_ONCE, PostgresWebhooks
from tokenkeep.domain.ids import IdKind, WebhookId, parse_id
from tokenkeep_worker.webhooks import wire_webhooks
from webhook_house import Hooks, delivering, public
from webhook_receiver import Receiver

MANY = """
INSERT INTO webhook_deliveries (webhook_id, position, event_id, subject, type, state, due_at)
SELECT :id, 1000000000 + n, gen_random_uuid(), gen_random_uuid(), 't', 'pending', now() FROM generate_series(1, 25000) AS n
"""


async def test_more_than_one_transaction_puts_aside_is_put_aside_by_the_worker_before_anything_is_sent(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    parsed = parse_id(IdKind.WEBHOOK, webhook_id)
    await service.sql(MANY, id=parsed)
    await hooks.call("PATCH", webhook_id, json={"enabled": False})
    async with service.client() as admin:
        refused = await admin.patch(f"/v1/webhooks/{webhook_id}", json={"enabled": True})
        problem(refused, 409, "webhook_parking")
        lanes = PostgresLanes(service.foundation.database)
        assert await lanes.claim(healthy=10, failing=10, lease=timedelta(seconds=1)) == []
        while await lanes.park_some():
            pass
        assert (await admin.patch(f"/v1/webhooks/{webhook_id}", json={"enabled": True})).status_code == 200
    [row] = await service.sql(
        "SELECT count(*) AS n FROM webhook_deliveries WHERE webhook_id = :id AND state = 'parked'", id=parsed
    )
    assert row["n"] == 25_000
    async with delivering(service):
        [event] = await hooks.happen()
        await hooks.until(webhook_id, state="delivered", count=2)  # that it was enabled is told, too
    assert public(event) in receiver.ids


async def test_what_one_transaction_puts_aside_keeps_no_webhook_from_being_enabled(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    """Events may be given out while it is disabled: then they are still pending."""
    webhook_id, _ = await hooks.make(receiver.url)
    parsed = parse_id(IdKind.WEBHOOK, webhook_id)
    await hooks.call("PATCH", webhook_id, json={"enabled": False})
    await service.sql(MANY.replace("25000", str(PARKED_AT_ONCE)), id=parsed)
    assert (await hooks.call("PATCH", webhook_id, json={"enabled": True}))["enabled"] is True
    assert await pending_of(service, parsed) == 0


async def test_what_is_too_much_for_one_transaction_is_put_aside_though_the_call_is_refused(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    parsed = parse_id(IdKind.WEBHOOK, webhook_id)
    await hooks.call("PATCH", webhook_id, json={"enabled": False})
    await service.sql(MANY.replace("25000", str(PARKED_AT_ONCE + 1)), id=parsed)
    async with service.client() as admin:
        refused = await admin.patch(f"/v1/webhooks/{webhook_id}", json={"enabled": True, "description": "d"})
        problem(refused, 409, "webhook_parking")
    shown = await hooks.shown(webhook_id)
    assert (shown["enabled"], shown["description"]) == (False, None)
    assert await pending_of(service, parsed) == 1
    lanes = PostgresLanes(service.foundation.database)
    while await lanes.park_some():
        pass
    assert await pending_of(service, parsed) == 0
    assert (await hooks.call("PATCH", webhook_id, json={"enabled": True}))["enabled"] is True


async def pending_of(service: Service, webhook_id: UUID) -> int:
    statement = "SELECT count(*) AS n FROM webhook_deliveries WHERE webhook_id = :id AND state = 'pending'"
    return int((await service.sql(statement, id=webhook_id))[0]["n"])


async def test_what_waits_is_looked_up_once_behind_a_backlog_that_statistics_do_not_know_yet(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    known, unknown = [(await hooks.make(receiver.url))[0] for _ in range(2)]
    await service.sql(MANY, id=parse_id(IdKind.WEBHOOK, known))
    await service.sql("ANALYZE webhook_deliveries")
    parsed = WebhookId(parse_id(IdKind.WEBHOOK, unknown))
    await service.sql(MANY.replace("1000000000", "2000000000"), id=parsed)
    await service.sql("UPDATE webhook_deliveries SET state = 'parked', due_at = NULL WHERE webhook_id = :id", id=parsed)
    async with service.foundation.database.transaction() as connection:
        await let_go_behind(connection, parsed, [uuid4(), uuid4()])
        looked_up = await connection.scalar(
            text("SELECT idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'webhook_deliveries'")
        )
    assert 1 <= looked_up <= 10


async def test_what_is_put_aside_is_looked_at_once_behind_a_backlog_that_statistics_take_for_nothing(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    parsed = WebhookId(parse_id(IdKind.WEBHOOK, webhook_id))
    await service.sql(MANY, id=parsed)
    await service.sql("DELETE FROM webhook_deliveries")
    await service.sql("ANALYZE webhook_deliveries")
    await service.sql(MANY.replace("1000000000", "2000000000"), id=parsed)
    async with service.foundation.database.transaction() as connection:
        await PostgresWebhooks(connection).park(parsed)
        read = await connection.scalar(
            text(
                "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
                " WHERE relname = 'webhook_deliveries'"
            )
        )
    assert PARKED_AT_ONCE <= read <= 10 * 25_000
    assert await pending_of(service, parsed) == 25_000 - PARKED_AT_ONCE


async def test_a_delivery_under_way_while_its_webhook_is_disabled_counts_if_it_succeeds(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    receiver.gate = asyncio.Event()
    webhook_id, _ = await hooks.make(receiver.url)
    async with delivering(service):
        await hooks.happen()
        await receiver.come(1)
        await hooks.call("PATCH", webhook_id, json={"enabled": False})
        assert [one["state"] for one in await hooks.deliveries(webhook_id)] == ["parked"]
        receiver.gate.set()
        await hooks.until(webhook_id, state="delivered")
        assert (await hooks.shown(webhook_id))["enabled"] is False


async def test_a_webhook_that_is_deleted_while_a_delivery_is_under_way_is_gone(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    receiver.gate = asyncio.Event()
    webhook_id, _ = await hooks.make(receiver.url)
    async with delivering(service):
        await hooks.happen(20)
        await receiver.come(1)
        await hooks.call("DELETE", webhook_id, status=204)
        receiver.gate.set()
        await hooks.happen(5)
    assert len(receiver.received) <= 8


async def test_housekeeping_deletes_old_deliveries_and_those_of_deleted_webhooks(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    kept, _ = await hooks.make(receiver.url)
    deleted, _ = await hooks.make(receiver.url)
    async with delivering(service):
        old, young = await hooks.happen(2)
        for webhook_id in (kept, deleted):
            await hooks.until(webhook_id, state="delivered", count=2)
    await service.sql(
        "UPDATE webhook_deliveries SET created_at = now() - interval '31 days' WHERE event_id = :id", id=old.id
    )
    await hooks.call("DELETE", deleted, status=204)
    await keep_house(service.foundation.database, audit_days=0)
    [left] = await service.sql("SELECT event_id, webhook_id FROM webhook_deliveries")
    assert (left["event_id"], left["webhook_id"]) == (young.id, parse_id(IdKind.WEBHOOK, kept))
    await service.sql("UPDATE webhook_lanes SET deleted_at = now() - interval '2 days' WHERE deleted_at IS NOT NULL")
    await keep_house(service.foundation.database, audit_days=0)
    assert [row["webhook_id"] for row in await service.sql("SELECT webhook_id FROM webhook_lanes")] == [
        parse_id(IdKind.WEBHOOK, kept)
    ]


async def test_one_sweep_puts_aside_one_batch_so_that_events_are_given_out_in_between(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    await service.sql(MANY, id=parse_id(IdKind.WEBHOOK, webhook_id))
    await hooks.call("PATCH", webhook_id, json={"enabled": False})
    delivery = wire_webhooks(service.foundation, service.sealer.vault)
    left = "SELECT count(*) AS n FROM webhook_deliveries WHERE state = 'pending'"
    before = (await service.sql(left))[0]["n"]
    assert await delivery._sweep()
    after = (await service.sql(left))[0]["n"]
    await delivery.stop()
    assert 0 < after < before
