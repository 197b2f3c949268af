"""Tokens handed out over HTTP, from store or by a refresh that is waited for."""

import asyncio
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from api_service import Service, data, open_service, problem
from token_server import TokenServer, says
from tokenkeep.domain.ids import IdKind, parse_id

PAST = "2020-01-01T00:00:00Z"
LATE = """
name: Late
auth_type: oauth2
authorization_url: https://late.test/authorize
token_url: https://late.test/token
access_token_ttl_s: 600
refresh_rotates: "yes"
refresh_not_before_expiry_s: 25
"""


async def pass_time(service: Service, account_id: str, seconds: float) -> None:
    """As if so much time had passed for this account: all that is stored of it moves into the past."""
    moved = {
        "leases": ("obtained_at", "next_refresh_at", "due_at", "not_before", "demanded_at"),
        "credentials": ("obtained_at", "expires_at"),
    }
    for table, columns in moved.items():
        sets = ", ".join(f"{name} = {name} - CAST(:span AS interval)" for name in columns)
        statement = f"UPDATE {table} SET {sets} WHERE account_id = :id"  # noqa: S608 - only our own names are put in
        await service.sql(statement, id=parse_id(IdKind.ACCOUNT, account_id), span=timedelta(seconds=seconds))


async def test_a_valid_token_comes_from_store_with_its_headers(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    token = data(await admin.post(f"/v1/accounts/{account_id}/token", json={}))
    assert list(token) == ["access_token", "token_type", "expires_at", "scopes", "headers", "refreshed"]
    assert token["access_token"] == "access-grant.1"
    assert token["headers"] == {"Authorization": "Bearer access-grant.1"}
    assert token["refreshed"] is False
    assert server.presented == []


async def test_a_token_that_is_too_short_is_refreshed_once_for_all_callers(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url), expires_in=None, expires_at=PAST)
    calls = [admin.post(f"/v1/accounts/{account_id}/token", json={"min_ttl": 60, "wait": 10}) for _ in range(20)]
    tokens = [data(answer) for answer in await asyncio.gather(*calls)]
    assert {token["access_token"] for token in tokens} == {"access-grant.2"}
    assert server.presented == ["grant.1"]
    assert any(token["refreshed"] for token in tokens)


async def test_force_gives_a_token_that_is_newer_than_the_call(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    token = data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
    assert (token["access_token"], token["refreshed"]) == ("access-grant.2", True)


async def test_credentials_are_included_on_demand_and_never_known_expired(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url), expires_in=None, expires_at=PAST)
    plain = data(await admin.get(f"/v1/accounts/{account_id}"))
    assert "credentials" not in plain
    shown = data(await admin.get(f"/v1/accounts/{account_id}", params={"include_credentials": "1"}))
    assert list(shown["credentials"]) == ["oauth_access_token", "token_type", "expires_at", "scopes"]
    assert shown["credentials"]["oauth_access_token"] == "access-grant.2"
    assert "grant.2" not in str({**shown, "credentials": None})


@pytest.mark.parametrize("parameters", [{"include_credentials": "yes"}, {"include_credential": "1"}])
async def test_a_misspelt_parameter_is_refused(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, parameters: dict[str, str]
) -> None:
    account_id = await service.account(await service.source(server.url))
    answer = await admin.get(f"/v1/accounts/{account_id}", params=parameters)
    problem(answer, 422, "invalid_input", "include_credentials")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"min_ttl": "canary"}, "min_ttl"),
        ({"min_ttl": -1}, "min_ttl"),
        ({"min_ttl": 10**20}, "min_ttl"),
        ({"wait": True}, "wait"),
        ({"force": "yes"}, "force"),
        ({"ttl": 1}, "ttl"),
        ([], "body"),
        ("canary", "body"),
    ],
)
async def test_a_wish_that_cannot_be_is_refused(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, body: object, field: str
) -> None:
    account_id = await service.account(await service.source(server.url))
    answer = await admin.post(f"/v1/accounts/{account_id}/token", json=body)
    problem(answer, 422, "invalid_input", field)
    assert "canary" not in answer.text


async def test_at_a_source_that_was_told_to_wait_others_callers_are_told_so_too_and_at_once(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    first = await service.account(source_id, "first", expires_in=None, expires_at=PAST)
    second = await service.account(source_id, "second", expires_in=None, expires_at=PAST)
    server.script.append(says(429, {}, retry_after="90"))
    await admin.post(f"/v1/accounts/{first}/token", json={})
    answer = await admin.post(f"/v1/accounts/{second}/token", json={"wait": 30})
    told = problem(answer, 503, "token_unavailable")
    assert 80 < told["retry_after"] <= 92
    assert server.presented == ["first.1"]
    shown = data(await admin.get(f"/v1/accounts/{second}"))
    assert (shown["health"], shown["consecutive_failures"], shown["last_error"]) == ("healthy", 0, None)


async def test_a_token_that_cannot_be_had_in_time_is_a_503_with_retry_after(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    service.queue.refreshing = None
    account_id = await service.account(await service.source(server.url), expires_in=None, expires_at=PAST)
    answer = await admin.post(f"/v1/accounts/{account_id}/token", json={"wait": 0})
    told = problem(answer, 503, "token_unavailable")
    assert int(answer.headers["retry-after"]) == told["retry_after"] >= 1


async def test_a_revoked_grant_needs_the_end_user(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    server.script.append(says(400, {"error": "invalid_grant"}))
    account_id = await service.account(await service.source(server.url), expires_in=None, expires_at=PAST)
    for _ in range(2):
        told = problem(await admin.post(f"/v1/accounts/{account_id}/token"), 409, "reauthorization_required")
        assert told["reason"] == "revoked"
    problem(await admin.post(f"/v1/accounts/{account_id}/refresh"), 409, "reauthorization_required")


async def test_reads_of_credentials_are_audited_with_counts_and_measured(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    for _ in range(3):
        await admin.post(f"/v1/accounts/{account_id}/token")
    await admin.get(f"/v1/accounts/{account_id}", params={"include_credentials": "1"})
    await admin.post(f"/v1/accounts/{account_id}/disable")
    await admin.post(f"/v1/accounts/{account_id}/token")
    await service.flush()
    counts: dict[tuple[str, str], int] = {}
    for entry in data(await admin.get("/v1/audit")):
        if entry["target"] == account_id:
            counts[entry["action"], entry["result"]] = (
                counts.get((entry["action"], entry["result"]), 0) + entry["count"]
            )
            assert entry["actor"] == "admin-key"
            assert entry["address"] == "192.0.2.7"
    assert counts == {
        ("account.create", "ok"): 1,
        ("account.disable", "ok"): 1,
        ("token.vend", "ok"): 3,
        ("token.vend", "account_disabled"): 1,
        ("credentials.read", "ok"): 1,
    }
    metrics = (await admin.get("/metrics")).text
    assert 'tokenkeep_token_vends_total{provider="generic-oauth2",result="stored"} 4.0' in metrics
    assert 'tokenkeep_token_vends_total{provider="generic-oauth2",result="account_disabled"} 1.0' in metrics
    assert account_id not in metrics


async def test_a_token_that_ran_out_for_good_needs_the_end_user(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = await service.source("http://127.0.0.1:9/token")
    account_id = await service.account(
        source_id, refresh_token=None, expires_in=None, expires_at="2020-01-01T00:00:00Z"
    )
    answer = await admin.post(f"/v1/accounts/{account_id}/token")
    problem(answer, 409, "reauthorization_required")


async def test_a_paused_source_is_named_as_the_reason(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = await service.source("http://127.0.0.1:9/token")
    account_id = await service.account(source_id)
    data(await admin.post(f"/v1/sources/{source_id}/pause"))
    data(await admin.post(f"/v1/accounts/{account_id}/token"))
    answer = await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True})
    problem(answer, 503, "token_unavailable")
    assert "source_paused" in answer.json()["detail"]
    metrics = (await admin.get("/metrics")).text
    assert 'tokenkeep_token_vends_total{provider="generic-oauth2",result="source_paused"} 1.0' in metrics
    assert 'result="unavailable"' not in metrics


async def test_what_an_import_had_left_is_no_measure_of_what_a_caller_may_ask(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url), expires_in=600)
    path = f"/v1/accounts/{account_id}/token"
    await pass_time(service, account_id, 299)
    assert data(await admin.post(path, json={"min_ttl": 200}))["refreshed"] is False
    token = data(await admin.post(path, json={"min_ttl": 600}))
    assert (token["access_token"], token["refreshed"]) == ("access-grant.2", True)


async def test_a_provider_that_refreshes_late_is_not_asked_before_whoever_demands_it(
    api_database_url: str, redis_url: str, server: TokenServer, tmp_path: Path
) -> None:
    await asyncio.to_thread((tmp_path / "late.yaml").write_text, LATE)
    server.lifetime_s = 600
    async with open_service(api_database_url, redis_url, providers_dir=tmp_path) as service, service.client() as admin:
        source = {"provider": "late", "name": "a source", "client_id": "client", "client_secret": "shh"}
        options = {"token_url": server.url}
        source_id = data(await admin.post("/v1/sources", json={**source, "options": options}), 201)["id"]
        account_id = await service.account(source_id, expires_in=600)
        path = f"/v1/accounts/{account_id}/token"
        for generation in (1, 2):
            await pass_time(service, account_id, 300)
            told = problem(await admin.post(path, json={"force": True}), 503, "token_unavailable")
            assert 200 < told["retry_after"] <= 276
            await pass_time(service, account_id, 245)
            token = data(await admin.post(path, json={}))
            assert (token["access_token"], token["refreshed"]) == (f"access-grant.{generation}", False)
            assert len(server.presented) == generation - 1
            await pass_time(service, account_id, 35)
            token = data(await admin.post(path, json={}))
            assert (token["access_token"], token["refreshed"]) == (f"access-grant.{generation + 1}", True)
    assert server.presented == ["grant.1", "grant.2"]
