"""Webhooks over the API: made, shown, changed, tried out, deleted."""

from typing import Any

import httpx
import pytest

from api_service import Service, data, problem
from token_server import Said
from tokenkeep.domain.ids import IdKind, parse_id
from walking import HOOK_URL
from webhook_receiver import Receiver

URL = "https://app.example.com/hook"


async def made(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = data(await client.post("/v1/webhooks", json={"url": URL, **changes}), 201)
    return document


async def test_a_secret_is_shown_once_and_stored_sealed(service: Service, admin: httpx.AsyncClient) -> None:
    webhook = await made(admin, types=["account.disabled", "tokenkeep.account.failing"], description="billing")
    secret = webhook.pop("secret")
    assert secret.startswith("whsec_")
    shown = data(await admin.get(f"/v1/webhooks/{webhook['id']}"))
    assert shown == webhook
    assert (shown["types"], shown["ordered"], shown["enabled"]) == (
        ["tokenkeep.account.disabled", "tokenkeep.account.failing"],
        False,
        True,
    )
    stored = await service.sql(
        "SELECT w.*, s.ciphertext FROM webhooks AS w JOIN webhook_secrets AS s ON s.webhook_id = w.id WHERE w.id = :id",
        id=parse_id(IdKind.WEBHOOK, webhook["id"]),
    )
    assert secret.removeprefix("whsec_") not in str(stored)
    listed = data(await admin.get("/v1/webhooks"))
    assert [one["id"] for one in listed] == [webhook["id"]]
    assert "whsec_" not in str(listed)


async def test_a_request_that_comes_again_makes_one_webhook_and_rotates_once(admin: httpx.AsyncClient) -> None:
    again = {"Idempotency-Key": "once"}
    first, second = [await admin.post("/v1/webhooks", json={"url": URL}, headers=again) for _ in range(2)]
    assert data(first, 201) == data(second, 201)
    assert len(data(await admin.get("/v1/webhooks"))) == 1
    path = f"/v1/webhooks/{first.json()['data']['id']}/rotate-secret"
    secrets = {data(await admin.post(path, headers={"Idempotency-Key": "new"}), 201)["secret"] for _ in range(2)}
    assert len(secrets) == 1
    other = data(await admin.post("/v1/webhooks", json={"url": URL}), 201)["id"]
    path = f"/v1/webhooks/{other}/rotate-secret"
    problem(await admin.post(path, headers={"Idempotency-Key": "new"}), 409, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "url", "invalid_input"),
        ({"url": "http://app.example.com/hook"}, "url", "invalid_input"),
        ({"url": "https://user:password@app.example.com/"}, "url", "invalid_input"),
        ({"url": "https://app.example.com/#x"}, "url", "invalid_input"),
        ({"url": "ftp://app.example.com/"}, "url", "invalid_input"),
        ({"url": "https://10.0.0.7/hook"}, "url", "forbidden_address"),
        ({"url": "https://169.254.169.254/latest"}, "url", "forbidden_address"),
        ({"url": "https://[::1]/hook"}, "url", "forbidden_address"),
        ({"url": "https://metadata.internal/"}, "url", "forbidden_address"),
        ({"url": URL, "types": []}, "types", "invalid_input"),
        ({"url": URL, "types": ["account.unheard"]}, "types", "invalid_input"),
        ({"url": URL, "types": ["webhook.test"]}, "types", "invalid_input"),
        ({"url": URL, "secret": "whsec_x"}, "secret", "invalid_input"),
        ({"url": URL, "ordered": "yes"}, "ordered", "invalid_input"),
    ],
)
async def test_a_webhook_that_cannot_be_is_refused_by_field(
    admin: httpx.AsyncClient, body: dict[str, Any], field: str, code: str
) -> None:
    problem(await admin.post("/v1/webhooks", json=body), 422, code, field)
    assert data(await admin.get("/v1/webhooks")) == []


async def test_what_is_given_is_changed_and_nothing_else(admin: httpx.AsyncClient) -> None:
    webhook = await made(admin, types=["account.disabled"], description="billing")
    path = f"/v1/webhooks/{webhook['id']}"
    changed = data(await admin.patch(path, json={"types": None, "ordered": True}))
    assert (changed["types"], changed["ordered"], changed["description"]) == (None, True, "billing")
    changed = data(await admin.patch(path, json={"description": None, "url": "https://b.example.com/"}))
    assert (changed["description"], changed["url"]) == (None, "https://b.example.com/")
    problem(await admin.patch(path, json={"url": "https://10.0.0.7/"}), 422, "forbidden_address", "url")
    problem(await admin.patch(path, json={"ordered": None}), 422, "invalid_input", "ordered")
    problem(await admin.patch(path, json={}), 422, "invalid_input", "body")
    problem(await admin.patch(path), 422, "invalid_input", "body")


async def test_disabling_and_enabling_are_told_once_each_in_order(admin: httpx.AsyncClient) -> None:
    webhook_id = (await made(admin))["id"]
    for enabled in (False, False, True, True):
        shown = data(await admin.patch(f"/v1/webhooks/{webhook_id}", json={"enabled": enabled}))
        assert shown["enabled"] is enabled
        assert (shown["disabled"] is None) is enabled
    told = data(await admin.get("/v1/events", params={"subject": webhook_id}))
    assert [(one["type"], one["sequence"], one["data"].get("reason")) for one in told] == [
        ("tokenkeep.webhook.disabled", "1", "by_operator"),
        ("tokenkeep.webhook.enabled", "2", None),
    ]


async def test_a_deleted_webhook_is_gone(service: Service, admin: httpx.AsyncClient) -> None:
    webhook_id = (await made(admin))["id"]
    assert (await admin.delete(f"/v1/webhooks/{webhook_id}")).status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")):
        problem(await admin.request(method, f"/v1/webhooks/{webhook_id}{path}"), 404, "not_found")
    secrets = "SELECT * FROM webhook_secrets WHERE webhook_id = :id"
    assert await service.sql(secrets, id=parse_id(IdKind.WEBHOOK, webhook_id)) == []


async def test_the_test_event_is_sent_at_once_and_what_came_back_is_the_answer(admin: httpx.AsyncClient) -> None:
    async with Receiver() as receiver:
        webhook = await made(admin, url=receiver.url, types=["account.disabled"])
        path = f"/v1/webhooks/{webhook['id']}/test"
        sent = data(await admin.post(path))
        [message] = receiver.received
        event = message.verify(webhook["secret"])
        assert (event["type"], event["subject"], event["id"]) == (
            "tokenkeep.webhook.test",
            webhook["id"],
            sent["event_id"],
        )
        assert (sent["delivered"], sent["http_status"], sent["error"]) == (True, 204, None)
        receiver.script.append(Said(401, b"who are you?"))
        refused = data(await admin.post(path))
        assert (refused["delivered"], refused["http_status"], refused["response_excerpt"]) == (
            False,
            401,
            "who are you?",
        )
    shown = data(await admin.get(f"/v1/webhooks/{webhook['id']}"))
    assert (shown["failing_since"], shown["delivered_at"]) == (None, None)
    assert data(await admin.get(f"/v1/webhooks/{webhook['id']}/deliveries")) == []


async def test_a_test_that_reaches_nobody_says_why(admin: httpx.AsyncClient) -> None:
    webhook_id = (await made(admin, url=HOOK_URL))["id"]
    sent = data(await admin.post(f"/v1/webhooks/{webhook_id}/test"))
    assert (sent["delivered"], sent["http_status"]) == (False, None)
    assert sent["error"].startswith("network_error: 127.0.0.1")


async def test_nothing_is_redelivered_to_a_webhook_that_is_disabled(admin: httpx.AsyncClient) -> None:
    webhook_id = (await made(admin))["id"]
    path = f"/v1/webhooks/{webhook_id}/redeliver"
    unheard = f"evt_{'0' * 32}"
    problem(await admin.post(path, json={"event_id": unheard}), 404, "not_found")
    data(await admin.patch(f"/v1/webhooks/{webhook_id}", json={"enabled": False}))
    for body in ({"event_id": unheard}, {"since": "2026-01-01T00:00:00Z"}):
        problem(await admin.post(path, json=body), 409, "webhook_disabled")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"event_id": f"evt_{'0' * 32}", "since": "2026-01-01T00:00:00Z"}, "event_id"),
        ({"event_id": f"evt_{'0' * 32}", "types": ["account.disabled"]}, "types"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
        ({"since": "2026-01-01T00:00:00Z", "types": ["x"]}, "types"),
        ({"since": "2026-01-01T00:00:00Z", "cursor": "x"}, "cursor"),
    ],
)
async def test_a_redelivery_that_cannot_be_is_refused_by_field(
    admin: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    webhook_id = (await made(admin))["id"]
    problem(await admin.post(f"/v1/webhooks/{webhook_id}/redeliver", json=body), 422, "invalid_input", field)


async def test_an_environment_has_a_hundred_webhooks_at_most(service: Service, admin: httpx.AsyncClient) -> None:
    await made(admin)
    await service.sql(
        "INSERT INTO webhooks (id, environment, url, ordered, heard_from, key_id, wrapped_key, disabled_reason, disabled_at)"
        " SELECT gen_random_uuid(), :e, 'https://x.example/', false, 0, 'k', '', 'gone', now() FROM generate_series(1, 99)",
        e=service.environment,
    )
    problem(await admin.post("/v1/webhooks", json={"url": URL}), 409, "too_many_webhooks")


async def test_webhooks_are_listed_page_by_page(admin: httpx.AsyncClient) -> None:
    ids = [(await made(admin))["id"] for _ in range(3)]
    first = (await admin.get("/v1/webhooks", params={"limit": 2})).json()
    second = (await admin.get("/v1/webhooks", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["id"] for page in (first, second) for one in page["data"]] == ids
    assert second["next_cursor"] is None
