"""Credentials replaced under the same account."""

import asyncio
from uuid import UUID

import httpx
import pytest

from api_service import Service, data, problem
from raw_http import Peer, RawServer
from token_server import Said, TokenServer, says
from tokenkeep.domain.ids import IdKind, parse_id

PAST = "2020-01-01T00:00:00Z"
TOKEN_URL = "https://93.184.215.14/token"
NEW = {"access_token": "access-new.1", "refresh_token": "new.1", "expires_in": 3600}
CODE = {"authorization_code": "canary-code", "redirect_uri": "https://app.example/cb", "code_verifier": "v" * 43}


def uuid_of(account_id: str) -> UUID:
    return parse_id(IdKind.ACCOUNT, account_id)


async def told(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return [event["type"].removeprefix("tokenkeep.account.") for event in reversed(events)]


async def granting(peer: Peer) -> None:
    await peer.request()
    body = b'{"access_token": "at.1", "refresh_token": "rt.1", "expires_in": 600}'
    await peer.say(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )


async def refusing(peer: Peer) -> None:
    await peer.request()
    body = b'{"error": "invalid_grant"}'
    await peer.say(
        b"HTTP/1.1 400 No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )


async def test_new_tokens_take_the_place_of_the_old_under_the_same_id(
    service: Service, admin: httpx.AsyncClient
) -> None:
    account_id = await service.account(await service.source(TOKEN_URL))
    account = data(await admin.put(f"/v1/accounts/{account_id}/credentials", json={**NEW, "scopes": ["write"]}))
    assert (account["id"], account["state"], account["custody"]) == (account_id, "active", "held")
    assert account["scopes"] == ["write"]
    assert account["next_refresh_at"] is not None
    token = data(await admin.post(f"/v1/accounts/{account_id}/token"))
    assert token["access_token"] == "access-new.1"
    [row] = await service.sql(
        "SELECT c.epoch, c.generation, c.installed_fence = l.fence AS fenced, l.epoch AS of_the_lease"
        " FROM credentials c JOIN leases l USING (account_id) WHERE account_id = :id",
        id=uuid_of(account_id),
    )
    assert (row["epoch"], row["of_the_lease"], row["generation"], row["fenced"]) == (2, 2, 2, True)
    assert await told(admin, account_id) == ["created", "activated", "reauthorized"]
    [entry] = [one for one in data(await admin.get("/v1/audit")) if one["action"] == "account.reauthorize"]
    assert entry["target"] == account_id


async def test_a_pending_account_is_activated(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = await service.source(TOKEN_URL)
    account_id = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)["id"]
    assert data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=NEW))["state"] == "active"
    assert await told(admin, account_id) == ["created", "activated"]
    token = data(await admin.post(f"/v1/accounts/{account_id}/token"))
    assert token["access_token"] == "access-new.1"


async def test_a_revoked_account_comes_back_and_is_refreshed_with_the_new_grant(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    server.script.append(says(400, {"error": "invalid_grant"}))
    account_id = await service.account(await service.source(server.url), expires_in=None, expires_at=PAST)
    problem(await admin.post(f"/v1/accounts/{account_id}/token"), 409, "reauthorization_required")
    expired = {"access_token": "access-new.1", "refresh_token": "new.1", "expires_at": PAST}
    account = data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=expired))
    assert (account["disabled"], account["last_error"], account["consecutive_failures"]) == (None, None, 0)
    token = data(await admin.post(f"/v1/accounts/{account_id}/token"))
    assert token["access_token"] == "access-new.2"
    assert server.presented == ["grant.1", "new.1"]


async def test_a_doubt_about_the_former_grant_ends_with_it(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    server.script.append(Said(drop=True))
    account_id = await service.account(await service.source(server.url))
    data(await admin.post(f"/v1/accounts/{account_id}/refresh"), 202)
    await service.queue.drain()
    assert data(await admin.get(f"/v1/accounts/{account_id}"))["in_doubt"] is not None
    assert data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=NEW))["in_doubt"] is None
    forced = data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
    assert forced["access_token"] == "access-new.2"


@pytest.mark.parametrize("said", [None, says(400, {"error": "invalid_grant"}), Said(500, b"oops"), Said(drop=True)])
async def test_what_a_refresh_in_flight_brings_is_no_business_of_the_new_grant(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, said: Said | None
) -> None:
    if said is not None:
        server.script.append(said)
    account_id = await service.account(await service.source(server.url))
    server.gate = asyncio.Event()
    data(await admin.post(f"/v1/accounts/{account_id}/refresh"), 202)
    await asyncio.wait_for(server.arrived.wait(), 10)
    before = data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=NEW))
    [attempt] = data(await admin.get(f"/v1/accounts/{account_id}/attempts"))
    assert attempt["outcome"] == "in_doubt", "nobody may live to settle what was in flight"
    server.gate.set()
    await service.queue.drain()
    after = data(await admin.get(f"/v1/accounts/{account_id}"))
    assert after == before
    assert (after["state"], after["last_error"], after["in_doubt"]) == ("active", None, None)
    token = data(await admin.post(f"/v1/accounts/{account_id}/token"))
    assert token["access_token"] == "access-new.1"
    receipts = await service.sql("SELECT epoch FROM receipts WHERE account_id = :id", id=uuid_of(account_id))
    assert [row["epoch"] for row in receipts] == ([1] if said is None else [])
    [attempt] = data(await admin.get(f"/v1/accounts/{account_id}/attempts"))
    assert attempt["outcome"] == "superseded"
    assert await told(admin, account_id) == ["created", "activated", "reauthorized"]


async def test_a_grant_that_another_account_holds_is_refused_and_nothing_changes(
    service: Service, admin: httpx.AsyncClient
) -> None:
    source_id = await service.source(TOKEN_URL)
    first, second = await service.account(source_id, "first"), await service.account(source_id, "second")
    taken = {"access_token": "x", "refresh_token": "first.1"}
    refused = problem(await admin.put(f"/v1/accounts/{second}/credentials", json=taken), 409, "account_exists")
    assert refused["account_id"] == first
    assert data(await admin.post(f"/v1/accounts/{second}/token"))["access_token"] == "access-second.1"
    assert await told(admin, second) == ["created", "activated"]


async def test_the_same_tokens_may_be_put_again_and_the_former_grant_is_free(
    service: Service, admin: httpx.AsyncClient
) -> None:
    source_id = await service.source(TOKEN_URL)
    account_id = await service.account(source_id)
    for _ in range(2):
        data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=NEW))
    assert await told(admin, account_id) == ["created", "activated", "reauthorized", "reauthorized"]
    assert await service.account(source_id) != account_id


async def test_without_a_refresh_token_nothing_is_held(service: Service, admin: httpx.AsyncClient) -> None:
    account_id = await service.account(await service.source(TOKEN_URL))
    account = data(
        await admin.put(f"/v1/accounts/{account_id}/credentials", json={"access_token": "only", "expires_in": 600})
    )
    assert (account["custody"], account["next_refresh_at"]) == ("none", None)
    problem(await admin.post(f"/v1/accounts/{account_id}/release"), 409, "not_held")


async def test_a_code_is_exchanged_first_and_a_refused_one_changes_nothing(
    service: Service, admin: httpx.AsyncClient
) -> None:
    async with RawServer(granting) as provider:
        account_id = await service.account(await service.source(provider.url()))
        account = data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=CODE))
        assert account["scopes"] == ["read"]
        assert b"code=canary-code" in provider.requests[0]
    assert data(await admin.post(f"/v1/accounts/{account_id}/token"))["access_token"] == "at.1"
    async with RawServer(refusing) as provider:
        other = await service.account(await service.source(provider.url()), "other")
        answer = await admin.put(f"/v1/accounts/{other}/credentials", json=CODE)
        problem(answer, 422, "credentials_rejected", "authorization_code")
        assert "canary" not in answer.text
    assert await told(admin, other) == ["created", "activated"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "access_token"),
        (None, "body"),
        ([], "body"),
        ({**NEW, "refresh": "canary"}, "refresh"),
        ({**NEW, "expires_at": PAST}, "expires_in"),
        ({"authorization_code": "canary"}, "redirect_uri"),
        ({"credentials": NEW}, "access_token"),
    ],
)
async def test_what_is_wrong_with_credentials_is_named_and_not_quoted(
    service: Service, admin: httpx.AsyncClient, body: object, field: str
) -> None:
    account_id = await service.account(await service.source(TOKEN_URL))
    answer = await admin.put(f"/v1/accounts/{account_id}/credentials", json=body)
    problem(answer, 422, "invalid_input", field)
    assert "canary" not in answer.text
