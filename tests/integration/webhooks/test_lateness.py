"""A deliverer that was stopped for a while blames no endpoint for it."""

from api_service import Service
from tokenkeep_worker.webhooks import wire_webhooks
from webhook_house import Hooks, delivering
from webhook_receiver import Receiver


async def test_what_is_too_late_to_be_sent_counts_against_no_endpoint(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    late = wire_webhooks(service.foundation, service.sealer.vault)
    await hooks.happen(3)
    while await late.give():
        pass
    [(lane, _)] = await late._parts.deliver.claim(healthy=1, failing=1)
    assert await late._parts.deliver(lane, send_before=0.0) == 0
    [row] = await service.sql(
        "SELECT holder, failures, failing_since, rest_until, wake_at <= clock_timestamp() AS is_next FROM webhook_lanes"
    )
    assert tuple(row.values()) == (None, 0, None, None, True)
    await late.stop()
    assert {(one["state"], one["tries"]) for one in await hooks.deliveries(webhook_id)} == {("pending", 0)}
    assert receiver.ids == []
    async with delivering(service):
        await hooks.until(webhook_id, state="delivered", count=3)
    assert {one["tries"] for one in await hooks.deliveries(webhook_id)} == {1}
