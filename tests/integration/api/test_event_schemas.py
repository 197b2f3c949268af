"""Events as they are emitted, held to `deploy/asyncapi.yaml`. Every database of this suite is, when its tests are over."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest

from api_service import Service, data
from event_schemas import asyncapi, check_emitted, faults, schema_names
from fakes import an_event
from token_server import Said, TokenServer
from tokenkeep import __version__
from tokenkeep.domain.account import DisabledReason, FailureReason
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.events import EventType, cloudevent
from tokenkeep.domain.ids import AccountId, IdKind, parse_id
from tokenkeep.domain.webhook import WebhookDisabledReason
from tokenkeep_worker.inbox import wire_inbox


async def refresh(service: Service, account_id: str, *, times: int = 1) -> None:
    """As a worker that the account is due for."""
    assert service.queue.refreshing is not None
    parsed = AccountId(parse_id(IdKind.ACCOUNT, account_id))
    for _ in range(times):
        await service.sql(
            "UPDATE leases SET next_refresh_at = now(), due_at = now(), not_before = NULL WHERE account_id = :id",
            id=parsed,
        )
        await service.queue.refreshing.refresh([parsed], trigger=Trigger.SCHEDULE, correlation_id="cor_test")


async def a_whole_life(service: Service, admin: httpx.AsyncClient, server: TokenServer) -> None:
    source_id = await service.source(server.url, refresh_rotates="no")
    account = f"/v1/accounts/{(account_id := await service.account(source_id, 'life'))}"
    server.script.extend([Said(500, b"")] * 3)
    await refresh(service, account_id, times=4)
    for call in ("disable", "enable"):
        data(await admin.post(f"{account}/{call}"))
    data(await admin.put(f"{account}/credentials", json={"access_token": "x", "refresh_token": "again.1"}))
    data(await admin.post(f"{account}/release"))
    assert (await admin.delete(account)).is_success
    for call in ("pause", "resume"):
        data(await admin.post(f"/v1/sources/{source_id}/{call}"))
    hook = data(await admin.post("/v1/webhooks", json={"url": "https://app.example/hook"}), 201)
    for enabled in (False, True):
        data(await admin.patch(f"/v1/webhooks/{hook['id']}", json={"enabled": enabled}))


async def a_doubt(service: Service, server: TokenServer) -> None:
    account_id = await service.account(await service.source(server.url), "doubt")
    server.script.append(Said(drop=True))
    await refresh(service, account_id)


async def an_end_that_no_refresh_moves(service: Service, server: TokenServer) -> None:
    end = datetime.now(UTC) + timedelta(days=60)
    source_id = await service.source(server.url)
    account_id = await service.account(source_id, "end", refresh_token_expires_at=end.isoformat())
    parsed = parse_id(IdKind.ACCOUNT, account_id)
    await service.sql(
        "UPDATE credentials SET refresh_token_expires_at = refresh_token_expires_at - interval '54 days' WHERE account_id = :id",
        id=parsed,
    )
    await service.sql(
        "UPDATE leases SET watched_end = watched_end - interval '54 days', tell_at = tell_at - interval '54 days' WHERE account_id = :id",
        id=parsed,
    )
    server.rotates = False
    await refresh(service, account_id)


async def a_report(service: Service, admin: httpx.AsyncClient, server: TokenServer) -> None:
    account_id = await service.account(await service.source(server.url), "report")
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "a-service",
        "type": "tokenkeep.account.unauthorized",
        "subject": account_id,
        "data": {"token_fingerprint": sha256(b"access-report.1").hexdigest()[:16]},
    }
    assert [one["status"] for one in data(await admin.post("/v1/events", json=event), 202)] == ["accepted"]
    inbox = wire_inbox(service.foundation, service.queue, service.wired.stores, service.sealer)
    while await inbox.round():
        pass


async def test_every_type_that_is_emitted_fits_its_schema(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, api_database_url: str
) -> None:
    await a_whole_life(service, admin, server)
    await a_doubt(service, server)
    await a_report(service, admin, server)
    await an_end_that_no_refresh_moves(service, server)
    told: list[dict[str, Any]] = data(await admin.get("/v1/events", params={"limit": 500}))
    assert [fault for event in told for fault in faults(event)] == []
    assert {event["type"] for event in told} == {kind.value for kind in EventType}
    await check_emitted(api_database_url)


def test_every_type_and_every_reason_is_described() -> None:
    assert set(schema_names()) == {kind.value for kind in EventType}
    schemas = asyncapi()["components"]["schemas"]
    assert schemas["failureReason"]["enum"] == [reason.value for reason in FailureReason]
    assert schemas["webhookDisabledReason"]["enum"] == [reason.value for reason in WebhookDisabledReason]
    assert schemas["disabledReason"]["enum"] == [reason.value for reason in DisabledReason]
    assert asyncapi()["info"]["version"] == __version__


def test_channels_of_one_direction_carry_the_same_messages() -> None:
    channels = {name: list(channel["messages"]) for name, channel in asyncapi()["channels"].items()}
    assert channels["stream"] == channels["feed"] == channels["webhooks"]
    assert channels["inbox"] == channels["reports"]
    for channel in asyncapi()["channels"].values():
        for name, message in channel["messages"].items():
            assert message["$ref"] == f"#/components/messages/{name}"


@pytest.mark.parametrize(
    "change",
    [
        {"id": "evt_1"},
        {"sequence": "0"},
        {"sequence": 1},
        {"time": "2026-01-01T00:00:00+00:00"},
        {"unheard": "of"},
        {"subject": "src_00000000000000000000000000000001"},
        {"data": {}},
    ],
)
def test_a_document_that_is_no_event_of_ours_does_not_fit(change: dict[str, Any]) -> None:
    account_id = f"acc_{'0' * 31}1"
    about = {"account_id": account_id, "source_id": f"src_{'0' * 32}", "provider": "p", "environment": "e"}
    sound = cloudevent(an_event(parse_id(IdKind.ACCOUNT, account_id), 1))
    sound["data"] = {**about, "external_id": None, "state": "active"}
    assert faults(sound) == []
    assert faults({**sound, **change}) != []
