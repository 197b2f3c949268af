"""POSTs that create, asked more than once."""

import asyncio
import json
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api_service import Service, data, open_service, problem
from raw_http import Peer, RawServer, http
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer

SOURCE: dict[str, Any] = {
    "provider": "generic-oauth2",
    "name": "n",
    "client_id": "c",
    "options": {"token_url": "https://93.184.215.14/token"},
}
CODE = {"authorization_code": "code-1", "redirect_uri": "https://app.example/cb"}
GRANTED = http(b'{"access_token": "at.1", "refresh_token": "rt.1", "expires_in": 600}')


def once(key: str = "k-1") -> dict[str, str]:
    return {"Idempotency-Key": key}


async def test_equal_requests_create_once_and_get_the_same_answer(admin: httpx.AsyncClient) -> None:
    calls = [admin.post("/v1/sources", json=SOURCE, headers=once()) for _ in range(8)]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed") for answer in answers].count("true") == 7
    assert len(data(await admin.get("/v1/sources"))) == 1


async def test_a_new_key_is_shown_again_to_whoever_repeats_the_request(
    service: Service, admin: httpx.AsyncClient
) -> None:
    body = {"name": "k", "environment": service.environment, "scopes": ["sources:read"]}
    first, second = [await admin.post("/v1/api-keys", json=body, headers=once()) for _ in range(2)]
    assert data(first, 201)["key"] == data(second, 201)["key"]
    rows = await service.sql("SELECT ciphertext FROM idempotency_keys WHERE environment = :e", e=service.environment)
    assert all(data(first, 201)["key"].encode() not in row["ciphertext"] for row in rows)


async def test_the_same_key_with_another_request_is_a_conflict(service: Service, admin: httpx.AsyncClient) -> None:
    data(await admin.post("/v1/sources", json=SOURCE, headers=once()), 201)
    other = await admin.post("/v1/sources", json={**SOURCE, "name": "other"}, headers=once())
    problem(other, 409, "idempotency_key_reused")
    key = {"name": "k", "environment": service.environment, "scopes": ["sources:read"]}
    problem(await admin.post("/v1/api-keys", json=key, headers=once()), 409, "idempotency_key_reused")


async def test_what_the_query_asks_for_belongs_to_the_request(service: Service, admin: httpx.AsyncClient) -> None:
    body = {"source_id": await service.source("https://93.184.215.14/token"), "credentials": {"access_token": "at.1"}}
    data(await admin.post("/v1/accounts?verify=false", json=body, headers=once()), 201)
    problem(await admin.post("/v1/accounts", json=body, headers=once()), 409, "idempotency_key_reused")


async def test_nothing_that_is_stored_tells_what_was_in_a_request(service: Service, admin: httpx.AsyncClient) -> None:
    content = json.dumps(SOURCE).encode()
    headers = {**once(), "Content-Type": "application/json"}
    data(await admin.post("/v1/sources", content=content, headers=headers), 201)
    [row] = await service.sql("SELECT * FROM idempotency_keys WHERE environment = :e", e=service.environment)
    stored = [bytes(value) for value in row.values() if isinstance(value, bytes | memoryview)]
    assert stored
    for digest in (sha256(content).digest(), sha256(b"\0" + content).digest()):
        assert not any(digest in value for value in stored)


async def test_a_refused_request_may_be_tried_again_with_its_key(admin: httpx.AsyncClient) -> None:
    wrong = {**SOURCE, "options": {}}
    problem(await admin.post("/v1/sources", json=wrong, headers=once()), 422, "invalid_input", "options.token_url")
    data(await admin.post("/v1/sources", json=SOURCE, headers=once()), 201)


async def test_environments_do_not_share_keys(service: Service, admin: httpx.AsyncClient) -> None:
    first = data(await admin.post("/v1/sources", json=SOURCE, headers=once()), 201)
    async with service.client(**{"X-Tokenkeep-Environment": f"{service.environment}-b"}) as other:
        assert data(await other.post("/v1/sources", json=SOURCE, headers=once()), 201)["id"] != first["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_a_key_that_cannot_be_is_refused(admin: httpx.AsyncClient, key: str) -> None:
    problem(await admin.post("/v1/sources", json=SOURCE, headers=once(key)), 422, "invalid_input", "Idempotency-Key")


async def test_a_code_is_exchanged_once_however_many_ask_at_the_same_time(
    service: Service, admin: httpx.AsyncClient
) -> None:
    gate = asyncio.Event()

    async def slowly(peer: Peer) -> None:
        await peer.request()
        await gate.wait()
        await peer.say(GRANTED)

    async with RawServer(slowly) as provider:
        body = {"source_id": await service.source(provider.url()), "credentials": CODE}
        calls = [asyncio.create_task(admin.post("/v1/accounts", json=body, headers=once("k-2"))) for _ in range(5)]
        await provider.asked.wait()
        different = await admin.post("/v1/accounts", json={**body, "external_id": "x"}, headers=once("k-2"))
        problem(different, 409, "idempotency_key_reused")
        gate.set()
        answers = await asyncio.gather(*calls)
        assert len(provider.requests) == 1
    assert len({data(answer, 201)["id"] for answer in answers}) == 1
    assert len(data(await admin.get("/v1/accounts"))) == 1


async def test_a_key_whose_holder_died_is_taken_over_where_nothing_can_be_spent_twice(
    service: Service, admin: httpx.AsyncClient
) -> None:
    first = await admin.post("/v1/sources", json=SOURCE, headers=once("k-3"))
    await service.sql(
        "UPDATE idempotency_keys SET status = NULL, ciphertext = NULL, created_at = now() - interval '1 hour' "
        "WHERE environment = :e AND key = 'k-3'",
        e=service.environment,
    )
    second = await admin.post("/v1/sources", json=SOURCE, headers=once("k-3"))
    assert data(second, 201)["id"] != data(first, 201)["id"]
    assert "idempotency-replayed" not in second.headers


async def test_fifty_equal_requests_at_two_processes_make_one_thing(
    service: Service, admin: httpx.AsyncClient, api_database_url: str, redis_url: str
) -> None:
    # The second has the first one's keyring: they are two processes of one installation.
    keyring = service.foundation.settings.keyring
    async with open_service(api_database_url, redis_url, keyring=keyring) as second:
        second.environment = service.environment
        source_id = await service.source("https://93.184.215.14/token")
        account = {"source_id": source_id, "credentials": {"access_token": "a", "refresh_token": uuid4().hex}}
        key = {"name": "k", "environment": service.environment, "scopes": ["sources:read"]}
        async with second.client() as other:
            for path, body in (("/v1/sources", SOURCE), ("/v1/accounts", account), ("/v1/api-keys", key)):
                before = len(data(await admin.get(path)))
                calls = [one.post(path, json=body, headers=once(f"storm-{path}")) for one in [admin, other] * 25]
                answers = await asyncio.gather(*calls)
                assert {answer.status_code for answer in answers} == {201}
                assert len({answer.content for answer in answers}) == 1
                assert len(data(await other.get(path))) == before + 1


async def test_a_replay_asks_nobody_outside(admin: httpx.AsyncClient) -> None:
    async with ProviderServer(DemoProvider(ProviderOptions())) as provider:
        body = {**SOURCE, "options": {"discovery_url": provider.url}}
        first = await admin.post("/v1/sources", json=body, headers=once("k-4"))
        data(first, 201)
    # The provider is gone, so whatever is asked of it now fails.
    again = await admin.post("/v1/sources", json=body, headers=once("k-4"))
    assert (again.status_code, again.content) == (201, first.content)
    problem(await admin.post("/v1/sources", json=body), 503, "provider_unavailable")
