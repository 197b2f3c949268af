"""Accounts over HTTP: created, shown, listed, toggled."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api_service import Service, data, problem
from raw_http import RawServer, answering, http
from token_server import TokenServer
from tokenkeep.domain.account import AuthType
from tokenkeep.providers.account_properties import required_properties
from tokenkeep.providers.entry import Holder

ORDER = [
    "id",
    "source_id",
    "provider",
    "environment",
    "external_id",
    "external_id_verified",
    "metadata",
    "properties",
    "auth_type",
    "state",
    "authenticated",
    "missing",
    "disabled",
    "health",
    "custody",
    "scopes",
    "expires_at",
    "refresh_token_expires_at",
    "last_refreshed_at",
    "next_refresh_at",
    "consecutive_failures",
    "in_doubt",
    "last_error",
    "verification",
    "created_at",
    "updated_at",
]
TOKEN_URL = "https://93.184.215.14/token"
LIVE = {"access_token": "canary-at", "refresh_token": "canary-rt", "expires_in": 3600}
CODE = {"authorization_code": "canary-code", "redirect_uri": "https://app.example/cb", "code_verifier": "v" * 43}


async def test_an_account_shows_all_of_the_contract_in_its_order(service: Service, admin: httpx.AsyncClient) -> None:
    body = {
        "source_id": await service.source(TOKEN_URL),
        "credentials": {**LIVE, "scopes": ["read", "write"], "refresh_token_expires_at": "2040-01-02T03:04:05+01:00"},
        "external_id": "9130",
        "metadata": {"team": "blue"},
    }
    account = data(await admin.post("/v1/accounts", json=body), 201)
    assert list(account) == ORDER
    assert account["state"] == "active"
    assert account["custody"] == "held"
    assert account["scopes"] == ["read", "write"]
    assert account["external_id_verified"] is False
    assert account["refresh_token_expires_at"] == "2040-01-02T02:04:05.000Z"
    assert account["expires_at"].endswith("Z")
    assert account["next_refresh_at"] < account["expires_at"]
    answer = await admin.get(f"/v1/accounts/{account['id']}")
    assert data(answer) == account
    assert "canary" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


async def test_an_account_without_credentials_is_pending(service: Service, admin: httpx.AsyncClient) -> None:
    account = data(await admin.post("/v1/accounts", json={"source_id": await service.source(TOKEN_URL)}), 201)
    assert (account["state"], account["custody"], account["expires_at"]) == ("pending", "none", None)
    for call in ("token", "refresh", "enable", "disable"):
        problem(await admin.post(f"/v1/accounts/{account['id']}/{call}"), 409, "account_pending")
    included = await admin.get(f"/v1/accounts/{account['id']}", params={"include_credentials": "1"})
    problem(included, 409, "account_pending")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"credentials": {}}, "credentials.access_token"),
        ({"credentials": "canary"}, "credentials"),
        ({"credentials": {**LIVE, "access_token": "line\r\nbreak"}}, "credentials.access_token"),
        ({"credentials": {**LIVE, "access_token": ""}}, "credentials.access_token"),
        ({"credentials": {**LIVE, "expires_in": "canary"}}, "credentials.expires_in"),
        ({"credentials": {**LIVE, "expires_in": 0}}, "credentials.expires_in"),
        ({"credentials": {**LIVE, "expires_in": 10**30}}, "credentials.expires_in"),
        ({"credentials": {**LIVE, "expires_at": "2030-01-01T00:00:00Z"}}, "credentials.expires_in"),
        ({"credentials": {"access_token": "a", "expires_at": "2030-01-01"}}, "credentials.expires_at"),
        ({"credentials": {"access_token": "a", "expires_at": "9999-12-31T23:59:59.999999Z"}}, "credentials.expires_at"),
        ({"credentials": {"access_token": "a", "expires_at": "0001-01-01T00:00:00Z"}}, "credentials.expires_at"),
        ({"credentials": {"access_token": "a", "expires_at": "2030-13-01T00:00:00Z"}}, "credentials.expires_at"),
        ({"credentials": {"access_token": "a", "expires_at": "0001-01-01T00:00:00+10:00"}}, "credentials.expires_at"),
        ({"credentials": {**LIVE, "token": "x"}}, "credentials.token"),
        ({"credentials": {**LIVE, "q7ZcanaryCANARY9xX-0123456789abcdef": "x"}}, "credentials"),
        ({"credentials": {**LIVE, "token_type": "Bearer x"}}, "credentials.token_type"),
        ({"credentials": {"authorization_code": "canary"}}, "credentials.redirect_uri"),
        ({"credentials": {**CODE, "access_token": "x"}}, "credentials.access_token"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"metadata": {"k": "x" * 1025}}, "metadata.k"),
        ({"metadata": {"k" * 65: "x"}}, "metadata"),
        ({"metadata": {f"k{n}": "x" for n in range(51)}}, "metadata"),
        ({"external_id": ""}, "external_id"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_is_wrong_with_an_account_is_named_and_not_quoted(
    service: Service, admin: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    body = {"source_id": await service.source(TOKEN_URL), **changes}
    answer = await admin.post("/v1/accounts", json=body)
    problem(answer, 422, "invalid_input", field)
    assert "canary" not in answer.text.lower()


async def test_a_source_that_is_none_is_refused(admin: httpx.AsyncClient) -> None:
    problem(await admin.post("/v1/accounts", json={"source_id": "canary"}), 422, "malformed_id", "source_id")
    problem(await admin.post("/v1/accounts", json={"source_id": "src_" + "0" * 32}), 404, "not_found")


async def test_an_account_that_lacks_a_property_is_pending_and_says_which(
    service: Service, admin: httpx.AsyncClient
) -> None:
    catalogue = service.foundation.catalogue
    looked_at = 0
    for entry in catalogue.all():
        needed = [f"properties.{name}" for name in required_properties(entry)]
        held = [it for it in entry.placeholders if it.holder is Holder.SOURCE]
        if not needed or held or entry.auth_type is not AuthType.OAUTH2 or entry.grant.is_machines:
            continue
        source = {"provider": entry.slug, "name": "n", "client_id": "c", "client_secret": "s"}
        source_id = data(await admin.post("/v1/sources", json=source), 201)["id"]
        account = data(await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": LIVE}), 201)
        assert (account["state"], account["missing"]) == ("pending", needed), entry.slug
        looked_at += 1
    assert looked_at > 10


async def test_what_the_source_holds_is_asked_of_the_source(admin: httpx.AsyncClient) -> None:
    source: dict[str, Any] = {"provider": "keycloak", "name": "n", "client_id": "c"}
    problem(await admin.post("/v1/sources", json=source), 422, "invalid_input", "options.host")
    source["options"] = {"host": "login.acme.test", "realm": "main"}
    source_id = data(await admin.post("/v1/sources", json=source), 201)["id"]
    data(await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": LIVE}), 201)


async def test_a_code_is_exchanged_at_the_sources_token_endpoint(service: Service, admin: httpx.AsyncClient) -> None:
    granted = http(b'{"access_token": "at.1", "refresh_token": "rt.1", "expires_in": 600}')
    async with RawServer(answering(granted)) as provider:
        body = {"source_id": await service.source(provider.url()), "credentials": CODE}
        account = data(await admin.post("/v1/accounts", json=body), 201)
    assert account["state"] == "active"
    assert account["scopes"] == ["read"]
    [request] = provider.requests
    assert b"grant_type=authorization_code" in request
    assert b"code_verifier=" + b"v" * 43 in request
    token = data(await admin.post(f"/v1/accounts/{account['id']}/token"))
    assert token["access_token"] == "at.1"


async def test_a_first_grants_refresh_token_ends_as_usual_unless_the_provider_says_otherwise(
    service: Service, admin: httpx.AsyncClient
) -> None:
    tokens = b'"access_token": "at.1", "expires_in": 600, "refresh_token": '
    for told, days in ((b'"rt.1"', 30), (b'"rt.2", "refresh_expires_in": 864000', 10)):
        async with RawServer(answering(http(b"{" + tokens + told + b"}"))) as provider:
            source_id = await service.source(provider.url(), refresh_token_ttl_s=30 * 86_400)
            body = {"source_id": source_id, "credentials": CODE}
            account = data(await admin.post("/v1/accounts", json=body), 201)
        left = datetime.fromisoformat(account["refresh_token_expires_at"]) - datetime.now(UTC)
        assert timedelta(days=days) - timedelta(minutes=5) < left < timedelta(days=days)


async def test_of_a_refresh_token_that_is_brought_along_only_what_is_told_is_believed(
    service: Service, admin: httpx.AsyncClient
) -> None:
    source_id = await service.source(TOKEN_URL, refresh_token_ttl_s=30 * 86_400)
    ends = "2030-01-02T03:04:05.000Z"
    # {"exp": 1893553445}, which is that moment
    own = "e30.eyJleHAiOjE4OTM1NTM0NDV9.c2ln"
    for changes, expected in (
        ({"refresh_token": "rt.1"}, None),
        ({"refresh_token": own}, ends),
        ({"refresh_token": f"{own}2", "refresh_token_expires_at": "2029-01-01T00:00:00Z"}, "2029-01-01T00:00:00.000Z"),
    ):
        body = {"source_id": source_id, "credentials": {**LIVE, **changes}}
        account = data(await admin.post("/v1/accounts", json=body), 201)
        assert account["refresh_token_expires_at"] == expected


@pytest.mark.parametrize(
    "refusal",
    [
        b'{"error": "invalid_grant", "error_description": "canary words"}',
        b'{"error": "invalid_client", "error_description": "canary words"}',
        b'{"error": "invalid_request", "error_description": "canary words"}',
        b'{"oops": "canary words"}',
    ],
)
async def test_a_refused_code_is_rejected_without_the_providers_words(
    service: Service, admin: httpx.AsyncClient, refusal: bytes
) -> None:
    async with RawServer(answering(http(refusal, status="400 Bad"))) as provider:
        body = {"source_id": await service.source(provider.url()), "credentials": CODE}
        answer = await admin.post("/v1/accounts", json=body, headers={"Idempotency-Key": "once"})
        problem(answer, 422, "credentials_rejected", "credentials.authorization_code")
        assert "canary" not in answer.text
        again = await admin.post("/v1/accounts", json=body, headers={"Idempotency-Key": "once"})
        problem(again, 422, "credentials_rejected", "credentials.authorization_code")
    assert data(await admin.get("/v1/accounts")) == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (http(b"oops", status="500 Oops"), "provider_5xx"),
        (http(b"{}", "retry-after: 30", status="429 Slow"), "rate_limited"),
        (b"", "network_error"),
    ],
)
async def test_a_provider_that_cannot_be_had_is_no_fault_of_the_caller(
    service: Service, admin: httpx.AsyncClient, said: bytes, reason: str
) -> None:
    async with RawServer(answering(said) if said else answering()) as provider:
        source_id = await service.source(provider.url())
        if not said:
            await provider.__aexit__(None, None, None)
        answer = await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": CODE})
    told = problem(answer, 503, "provider_unavailable")
    assert told["reason"] == reason
    assert int(answer.headers["retry-after"]) == told["retry_after"] >= 1


async def test_accounts_are_listed_by_every_filter(service: Service, admin: httpx.AsyncClient) -> None:
    first, second = await service.source(TOKEN_URL), await service.source(TOKEN_URL)

    async def create(source_id: str, **body: Any) -> str:
        return str(data(await admin.post("/v1/accounts", json={"source_id": source_id, **body}), 201)["id"])

    blue = await create(first, credentials=LIVE, metadata={"team": "blue", "a.b": "c"}, external_id="one")
    red = await create(first, metadata={"team": "red"})
    other = await create(second, credentials={"access_token": "x", "expires_at": "2040-01-01T00:00:00Z"})

    async def listed(**parameters: str) -> list[str]:
        return [account["id"] for account in data(await admin.get("/v1/accounts", params=parameters))]

    assert await listed() == [blue, red, other]
    assert await listed(source_id=first) == [blue, red]
    assert await listed(state="pending") == [red]
    assert await listed(health="failing") == []
    assert await listed(external_id="one") == [blue]
    assert await listed(provider="generic-oauth2", state="active") == [blue, other]
    assert await listed(expires_before="2039-01-01T00:00:00Z") == [blue]
    assert await listed(**{"metadata.team": "blue", "metadata.a.b": "c"}) == [blue]
    assert await listed(**{"metadata.team": "green"}) == []
    page = (await admin.get("/v1/accounts", params={"limit": "2"})).json()
    assert [account["id"] for account in page["data"]] == [blue, red]
    assert await listed(cursor=page["next_cursor"]) == [other]


@pytest.mark.parametrize(
    ("parameters", "code", "field"),
    [
        ({"sate": "active"}, "invalid_input", "sate"),
        ({"state": "canary"}, "invalid_input", "state"),
        ({"source_id": "canary"}, "malformed_id", "source_id"),
        ({"expires_before": "canary"}, "invalid_input", "expires_before"),
        ({"external_id": "\0"}, "invalid_input", "query"),
        ({"metadata.k": "\0"}, "invalid_input", "query"),
        ({"limit": "1000"}, "invalid_input", "limit"),
        ({"cursor": "canary"}, "invalid_input", "cursor"),
    ],
)
async def test_a_filter_that_does_not_exist_is_refused(
    admin: httpx.AsyncClient, parameters: dict[str, str], code: str, field: str
) -> None:
    answer = await admin.get("/v1/accounts", params=parameters)
    problem(answer, 422, code, field)
    assert "canary" not in answer.text


async def test_an_account_is_disabled_and_enabled_again(service: Service, admin: httpx.AsyncClient) -> None:
    account_id = await service.account(await service.source(TOKEN_URL))
    disabled = data(await admin.post(f"/v1/accounts/{account_id}/disable"))
    assert disabled["state"] == "disabled"
    assert disabled["disabled"]["reason"] == "by_operator"
    assert disabled["disabled"]["by"] == "admin-key"
    assert list(disabled["disabled"]) == ["reason", "detail", "at", "by"]
    problem(await admin.post(f"/v1/accounts/{account_id}/token"), 409, "account_disabled")
    problem(await admin.post(f"/v1/accounts/{account_id}/refresh"), 409, "account_disabled")
    enabled = data(await admin.post(f"/v1/accounts/{account_id}/enable"))
    assert (enabled["state"], enabled["disabled"]) == ("active", None)
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    assert [event["type"].rpartition(".")[2] for event in events] == ["enabled", "disabled", "activated", "created"]
    page = (await admin.get(f"/v1/accounts/{account_id}/events", params={"limit": "3"})).json()
    rest = (await admin.get(f"/v1/accounts/{account_id}/events", params={"cursor": page["next_cursor"]})).json()
    assert [event["sequence"] for event in page["data"] + rest["data"]] == ["4", "3", "2", "1"]


async def test_a_refresh_is_asked_for_and_journalled(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    answer = await admin.post(f"/v1/accounts/{account_id}/refresh", headers={"X-Request-Id": "req-1"})
    assert data(answer, 202) == {"account_id": account_id, "correlation_id": "req-1"}
    await service.queue.drain()
    assert server.presented == ["grant.1"]
    [attempt] = data(await admin.get(f"/v1/accounts/{account_id}/attempts"))
    assert (attempt["outcome"], attempt["trigger"], attempt["correlation_id"]) == ("ok", "demand", "req-1")


@pytest.mark.parametrize("lifetime_s", [3600, None])
async def test_an_account_without_a_refresh_token_cannot_be_refreshed(
    service: Service, admin: httpx.AsyncClient, lifetime_s: int | None
) -> None:
    account_id = await service.account(await service.source(TOKEN_URL), refresh_token=None, expires_in=lifetime_s)
    problem(await admin.post(f"/v1/accounts/{account_id}/refresh"), 409, "not_refreshable")
