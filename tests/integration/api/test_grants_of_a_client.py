"""One refresh token at two sources of one client, as when a staging installation is filled from a dump: it is spent once."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from api_service import Service, data, problem
from imports import Import
from token_server import TokenServer

TOKENS = {"access_token": "at", "refresh_token": "dup.1", "expires_in": 3600}
LINE = b'{"external_id": "x", "credentials": {"access_token": "at", "refresh_token": "dup.1"}}\n'


@pytest.fixture
async def staging(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client(**{"X-Tokenkeep-Environment": f"{service.environment}-staging"}) as client:
        yield client


@pytest.fixture
async def source_id(service: Service, server: TokenServer) -> str:
    return await service.source(server.url)


@pytest.fixture
async def staging_id(staging: httpx.AsyncClient, server: TokenServer) -> str:
    body = {
        "provider": "generic-oauth2",
        "name": "staging",
        "client_id": "client",
        "client_secret": "canary-client-secret",
        "options": {"token_url": server.url},
    }
    return str(data(await staging.post("/v1/sources", json=body), 201)["id"])


async def test_a_second_source_of_the_client_does_not_take_it_and_names_the_account(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, source_id: str
) -> None:
    first = await service.account(source_id, "dup")
    second = await service.source(server.url)
    answer = await admin.post("/v1/accounts", json={"source_id": second, "credentials": TOKENS})
    assert problem(answer, 409, "account_exists")["account_id"] == first
    await admin.post(f"/v1/accounts/{first}/refresh")
    await service.queue.drain()
    assert server.presented == ["dup.1"]


async def test_another_environment_learns_no_id(
    service: Service, staging: httpx.AsyncClient, source_id: str, staging_id: str
) -> None:
    first = await service.account(source_id, "dup")
    answer = await staging.post("/v1/accounts", json={"source_id": staging_id, "credentials": TOKENS})
    assert "account_id" not in problem(answer, 409, "account_exists")
    other = data(await staging.post("/v1/accounts", json={"source_id": staging_id}), 201)["id"]
    replaced = await staging.put(f"/v1/accounts/{other}/credentials", json=TOKENS)
    assert "account_id" not in problem(replaced, 409, "account_exists")
    assert data(await staging.get(f"/v1/accounts/{other}"))["state"] == "pending"
    assert first not in answer.text + replaced.text


async def test_credentials_are_not_replaced_by_another_accounts(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, source_id: str
) -> None:
    first = await service.account(source_id, "dup")
    other = await service.account(await service.source(server.url), "mine")
    answer = await admin.put(f"/v1/accounts/{other}/credentials", json=TOKENS)
    assert problem(answer, 409, "account_exists")["account_id"] == first
    again = await admin.put(f"/v1/accounts/{first}/credentials", json=TOKENS)
    assert data(again)["state"] == "active"


async def test_an_imported_line_that_another_environment_has_says_so_and_names_nobody(
    service: Service, source_id: str, staging_id: str
) -> None:
    first = await service.account(source_id, "dup")
    headers = {"x-tokenkeep-environment": f"{service.environment}-staging", "idempotency-key": "i"}
    for _ in range(2):  # as it is done, and as it is kept
        answer = await Import(service, [LINE], {"source_id": staging_id}, headers=headers)()
        [line] = answer.results
        assert (line["status"], line["code"]) == ("exists", "account_exists")
        assert "id" not in line
        assert first.encode() not in answer.body


async def test_of_two_that_bring_it_at_once_one_gets_it(
    admin: httpx.AsyncClient, staging: httpx.AsyncClient, source_id: str, staging_id: str
) -> None:
    answers = await asyncio.gather(
        admin.post("/v1/accounts", json={"source_id": source_id, "credentials": TOKENS}),
        staging.post("/v1/accounts", json={"source_id": staging_id, "credentials": TOKENS}),
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_once_the_account_is_deleted_another_source_may_have_it(
    service: Service, admin: httpx.AsyncClient, staging: httpx.AsyncClient, source_id: str, staging_id: str
) -> None:
    first = await service.account(source_id, "dup")
    assert (await admin.delete(f"/v1/accounts/{first}")).status_code == 204
    data(await staging.post("/v1/accounts", json={"source_id": staging_id, "credentials": TOKENS}), 201)
