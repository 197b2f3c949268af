"""Events delivered to a real endpoint that checks what it gets by the library of Standard Webhooks."""

import asyncio
from datetime import timedelta

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from api_service import Service
from token_server import Said
from tokenkeep.domain.events import cloudevent
from tokenkeep.domain.ids import IdKind, format_id, parse_id
from webhook_house import Hooks, delivering, public
from webhook_receiver import Received, Receiver


async def test_an_event_comes_signed_and_whole(hooks: Hooks, service: Service, receiver: Receiver) -> None:
    webhook_id, secret = await hooks.make(receiver.url)
    async with delivering(service):
        [event] = await hooks.happen()
        [message] = await receiver.come(1)
        await hooks.until(webhook_id, state="delivered")
    assert message.verify(secret) == cloudevent(event)
    assert message.id == public(event)
    assert message.headers["content-type"] == "application/json"
    assert message.headers["user-agent"].startswith("tokenkeep/")
    assert "authorization" not in message.headers
    [listed] = await hooks.deliveries(webhook_id)
    assert (listed["event_id"], listed["state"], listed["tries"]) == (public(event), "delivered", 1)
    assert (listed["http_status"], listed["error"], listed["response_excerpt"]) == (204, None, None)
    assert listed["subject"] == format_id(IdKind.ACCOUNT, event.subject)
    assert (await hooks.shown(webhook_id))["delivered_at"] is not None


async def test_a_webhook_is_told_what_happens_after_it_was_made_and_nothing_of_before(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    await hooks.happen(3)
    async with delivering(service):
        await hooks.make(receiver.url)
        after = await hooks.happen(3)
        await receiver.come(3)
        await hooks.given()
    assert sorted(receiver.ids) == sorted(public(one) for one in after)


async def test_only_the_types_that_it_wants_and_only_its_own_environment_are_told(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url, types=["account.disabled"])
    everything, _ = await hooks.make(receiver.url + "/all")
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    async with delivering(service), service.client() as admin:
        await hooks.happen(environment=f"{service.environment}-other")
        await admin.post(f"/v1/accounts/{account_id}/disable")
        await receiver.come(4)
        await hooks.given()
    told = [(one.path, one.event["type"].removeprefix("tokenkeep.account.")) for one in receiver.received]
    assert sorted(told) == [
        ("/hook", "disabled"),
        ("/hook/all", "activated"),
        ("/hook/all", "created"),
        ("/hook/all", "disabled"),
    ]
    assert {one.event["data"]["environment"] for one in receiver.received} == {service.environment}
    assert len(await hooks.deliveries(webhook_id)) == 1
    assert len(await hooks.deliveries(everything)) == 3


async def test_a_delivery_that_fails_comes_again_with_the_same_id_until_it_succeeds(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    receiver.script.extend([Said(500, b"no whsec_C2FVsBQIhrscChlQIMV\x00 here"), Said(302, b"", (("location", "/x"),))])
    webhook_id, secret = await hooks.make(receiver.url)
    async with delivering(service):
        [event] = await hooks.happen()
        await hooks.tried(webhook_id, 1)
        [failed] = await hooks.deliveries(webhook_id)
        await hooks.put_off(webhook_id)
        assert (failed["state"], failed["http_status"]) == ("pending", 500)
        assert failed["response_excerpt"] == "no whsec_*** here"
        assert failed["next_try_at"] > failed["tried_at"]
        assert (await hooks.shown(webhook_id))["failing_since"] is not None
        for tries in (2, 3):
            await hooks.make_due(webhook_id)
            await hooks.tried(webhook_id, tries)
    assert receiver.ids == [public(event)] * 3
    assert [one.path for one in receiver.received] == ["/hook"] * 3
    for one in receiver.received:
        one.verify(secret)
    [delivered] = await hooks.deliveries(webhook_id)
    assert (delivered["state"], delivered["tries"], delivered["http_status"]) == ("delivered", 3, 204)
    assert (await hooks.shown(webhook_id))["failing_since"] is None


async def test_after_the_tenth_try_a_delivery_is_given_up(hooks: Hooks, service: Service, receiver: Receiver) -> None:
    receiver.script.extend([Said(503, b"")] * 10)
    webhook_id, _ = await hooks.make(receiver.url)
    async with delivering(service):
        await hooks.happen()
        for tries in range(1, 11):
            await hooks.tried(webhook_id, tries)
            await hooks.make_due(webhook_id)
        await hooks.until(webhook_id, state="failed")
    [failed] = await hooks.deliveries(webhook_id, state="failed")
    assert (failed["tries"], failed["next_try_at"]) == (10, None)
    assert len(receiver.received) == 10
    rendered = service.foundation.metrics.render("")[0].decode()
    assert 'tokenkeep_webhook_deliveries_total{outcome="failed"} 9.0' in rendered
    assert 'tokenkeep_webhook_deliveries_total{outcome="given_up"} 1.0' in rendered


async def test_retry_after_puts_a_delivery_off_and_lets_the_endpoint_rest(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    receiver.script.append(Said(429, b"", (("retry-after", "1800"),)))
    webhook_id, _ = await hooks.make(receiver.url)
    async with delivering(service):
        await hooks.happen()
        await hooks.tried(webhook_id, 1)
    [row] = await service.sql(
        "SELECT due_at - tried_at AS wait, l.rest_until - tried_at AS rest FROM webhook_deliveries AS d"
        " JOIN webhook_lanes AS l USING (webhook_id) WHERE webhook_id = :id",
        id=parse_id(IdKind.WEBHOOK, webhook_id),
    )
    assert row["wait"] == row["rest"] == timedelta(minutes=30)


async def test_an_endpoint_that_is_gone_is_disabled_at_once_and_that_is_told(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    async with Receiver() as other:
        await hooks.make(other.url, types=["webhook.disabled"])
        receiver.script.append(Said(410, b"gone"))
        async with delivering(service):
            await hooks.happen()
            [message] = await other.come(1)
    assert message.event["type"] == "tokenkeep.webhook.disabled"
    assert message.event["subject"] == webhook_id
    assert message.event["data"] == {
        "webhook_id": webhook_id,
        "environment": service.environment,
        "state": "disabled",
        "reason": "gone",
    }
    shown = await hooks.shown(webhook_id)
    assert (shown["enabled"], shown["disabled"]["reason"]) == (False, "gone")
    [parked] = await hooks.deliveries(webhook_id)
    assert (parked["state"], parked["http_status"]) == ("parked", 410)
    assert 'tokenkeep_webhooks_disabled_total{reason="gone"} 1.0' in service.foundation.metrics.render("")[0].decode()


async def test_an_endpoint_that_fails_for_five_days_is_disabled_and_what_it_missed_is_redelivered_once_it_is_enabled(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    receiver.script.extend([Said(500, b"")] * 2)
    webhook_id, _ = await hooks.make(receiver.url, types=["account.refreshed"])
    async with delivering(service):
        [first] = await hooks.happen()
        await hooks.tried(webhook_id, 1)
        await hooks.put_off(webhook_id)
        await hooks.pass_time(webhook_id, timedelta(days=5))
        await hooks.tried(webhook_id, 2)
        await hooks.until(webhook_id, state="parked")
        assert (await hooks.shown(webhook_id))["disabled"]["reason"] == "failing"
        [meanwhile] = await hooks.happen()
        assert len(await hooks.deliveries(webhook_id)) == 1
        await hooks.call("PATCH", webhook_id, json={"enabled": True})
        again = await hooks.call(
            "POST",
            webhook_id,
            "/redeliver",
            202,
            json={"since": "2020-01-01T00:00:00Z", "types": ["account.refreshed"]},
        )
        assert again["next_cursor"] is None
        await hooks.until(webhook_id, state="delivered", count=2)
    assert sorted(set(receiver.ids)) == sorted([public(first), public(meanwhile)])


async def test_one_failing_event_in_five_days_disables_nobody(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    receiver.script.extend([Said(500, b"")] * 2)
    webhook_id, _ = await hooks.make(receiver.url)
    parsed = parse_id(IdKind.WEBHOOK, webhook_id)
    async with delivering(service):
        await hooks.happen()
        await hooks.tried(webhook_id, 1)
        await service.sql(
            "UPDATE webhook_lanes SET failed_at = failed_at - interval '5 days' WHERE webhook_id = :id", id=parsed
        )
        await hooks.pass_time(webhook_id, timedelta(days=6))
        await hooks.tried(webhook_id, 2)
        assert (await hooks.shown(webhook_id))["enabled"] is True


async def test_two_secrets_sign_while_the_former_one_is_valid(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, first = await hooks.make(receiver.url)
    async with delivering(service):
        rotated = await hooks.call("POST", webhook_id, "/rotate-secret", 201)
        second = rotated["secret"]
        assert rotated["former_secret_until"] is not None
        await hooks.happen()
        [message] = await receiver.come(1)
        assert len(message.headers["webhook-signature"].split(" ")) == 2
        assert message.verify(first) == message.verify(second)
        third = (await hooks.call("POST", webhook_id, "/rotate-secret", 201, json={"overlap_s": 0}))["secret"]
        await hooks.happen()
        message = (await receiver.come(2))[1]
    message.verify(third)
    for former in (first, second):
        with pytest.raises(WebhookVerificationError):
            message.verify(former)


async def test_a_dead_endpoint_slows_no_other(hooks: Hooks, service: Service, receiver: Receiver) -> None:
    async with Receiver(gate=asyncio.Event()) as dead:
        await hooks.make(dead.url)
        live, _ = await hooks.make(receiver.url)
        async with delivering(service):
            await hooks.happen(200)
            await hooks.until(live, state="delivered", count=200)
            assert dead.under_way <= 8
            assert dead.gate is not None
            dead.gate.set()


async def test_many_endpoints_that_keep_silent_at_the_same_time_hold_up_no_other(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    async with Receiver(gate=asyncio.Event()) as silent:
        dead = [(await hooks.make(f"{silent.url}/{number}"))[0] for number in range(24)]
        # None of them is given up within the test, however slow the machine is.
        async with delivering(service, webhook_deadline_s=60.0):
            await hooks.happen()
            await silent.come(16)
            live, _ = await hooks.make(receiver.url)
            await hooks.happen()
            await hooks.until(live, state="delivered")
            for webhook_id in dead:  # they are waited for all the while
                assert {one["tries"] for one in await hooks.deliveries(webhook_id)} == {0}
            assert silent.gate is not None
            silent.gate.set()


async def test_a_failing_endpoint_is_asked_by_one_delivery_at_a_time_and_given_everything_once_it_answers(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    down = True

    async def answer(_: Received) -> Said:
        return Said(500 if down else 200, b"")

    receiver.answer = answer
    webhook_id, _ = await hooks.make(receiver.url)
    async with delivering(service):
        await hooks.happen(100)
        await hooks.tried(webhook_id, 8)
        await hooks.given()
        assert len(receiver.received) == 8  # then it rests
        for tries in (9, 10):
            await hooks.make_due(webhook_id)
            await hooks.tried(webhook_id, tries)
        assert len(receiver.received) == 10
        down = False
        await hooks.make_due(webhook_id)
        await hooks.until(webhook_id, state="delivered", count=92)
        await hooks.make_due(webhook_id)
        await hooks.until(webhook_id, state="delivered", count=100)


async def test_an_answer_beyond_bounds_or_none_at_all_is_a_failure_that_says_so(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    receiver.script.extend([Said(200, b"x" * 300_000), Said(drop=True)])
    webhook_id, _ = await hooks.make(receiver.url)
    async with delivering(service):
        await hooks.happen()
        await hooks.tried(webhook_id, 1)
        await hooks.put_off(webhook_id)
        [failed] = await hooks.deliveries(webhook_id)
        assert failed["error"].startswith("malformed_response: a body over")
        await hooks.make_due(webhook_id)
        await hooks.tried(webhook_id, 2)
        [failed] = await hooks.deliveries(webhook_id)
        assert failed["error"] == "network_error: closed without an answer"


async def test_a_name_that_comes_to_lead_to_a_private_address_is_not_connected_to(
    hooks: Hooks, service: Service
) -> None:
    webhook_id, _ = await hooks.make("https://example.com/hook")
    # As if it had been made when the name was a public one.
    await service.sql("UPDATE webhooks SET url = 'https://localhost/hook'")
    async with delivering(service):
        await hooks.happen()
        await hooks.tried(webhook_id, 1)
    [failed] = await hooks.deliveries(webhook_id)
    assert failed["error"].startswith("network_error:")
    assert "not" in failed["error"]


async def test_a_secret_that_cannot_be_opened_is_not_held_against_the_endpoint(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    parsed = parse_id(IdKind.WEBHOOK, webhook_id)
    [kept] = await service.sql("SELECT ciphertext FROM webhook_secrets WHERE webhook_id = :id", id=parsed)
    await service.sql("UPDATE webhook_secrets SET ciphertext = '\\x00' WHERE webhook_id = :id", id=parsed)
    async with delivering(service):
        await hooks.happen()
        async with asyncio.timeout(30):
            while not await service.sql("SELECT 1 FROM webhook_lanes WHERE rest_until > now()"):  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(0.02)
        assert receiver.received == []
        assert (await hooks.shown(webhook_id))["failing_since"] is None
        await service.sql(
            "UPDATE webhook_secrets SET ciphertext = :c WHERE webhook_id = :id", id=parsed, c=kept["ciphertext"]
        )
        await hooks.make_due(webhook_id)
        await hooks.until(webhook_id, state="delivered")


async def test_the_former_address_being_gone_does_not_disable_the_new_one(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    receiver.gate = asyncio.Event()
    receiver.script.append(Said(410, b""))
    async with Receiver() as new:
        webhook_id, _ = await hooks.make(receiver.url)
        async with delivering(service):
            await hooks.happen()
            await receiver.come(1)
            await hooks.call("PATCH", webhook_id, json={"url": new.url})
            receiver.gate.set()
            await hooks.tried(webhook_id, 1)
            shown = await hooks.shown(webhook_id)
            assert (shown["disabled"], shown["failing_since"]) == (None, None)
            await hooks.make_due(webhook_id)
            await new.come(1)
