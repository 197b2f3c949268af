"""Accounts of every kind that is not a token of OAuth 2: made, used, replaced, and pending until they lack nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from authlib.oauth1.rfc5849.resource_protector import ResourceProtector
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api_service import Service, data, problem
from source_clients import pem, rsa_key

RSA = rsa_key()
SITE = {"subdomain": "acme"}
CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "generic-api-key",
        {},
        {"api_key": "canary-1", "account": "a"},
        {"headers": {"x-api-key": "canary-1"}},
        {"api_key": "canary-1", "account": "a"},
    ),
    (
        "generic-api-key",
        {"options": {"key_placement": "query key"}},
        {"api_key": "canary-1"},
        {"headers": {}, "query": {"key": "canary-1"}},
        {"api_key": "canary-1"},
    ),
    (
        "generic-api-key",
        {"options": {"key_placement": "path /bot{key}/"}},
        {"api_key": "canary-1"},
        {"headers": {}, "path": "/botcanary-1/"},
        {"api_key": "canary-1"},
    ),
    (
        "generic-basic",
        {},
        {"username": "Aladdin", "password": "open sesame"},
        {"headers": {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}},
        {"username": "Aladdin", "password": "open sesame"},
    ),
    (
        "generic-bearer",
        {},
        {"access_token": "canary-1"},
        {"access_token": "canary-1", "token_type": "Bearer", "headers": {"Authorization": "Bearer canary-1"}},
        {"access_token": "canary-1"},
    ),
    ("generic-custom", {}, {"a": "canary-1", "b": "2"}, {"headers": {}}, {"a": "canary-1", "b": "2"}),
    (
        "generic-custom",
        {"options": {"request_headers": {"x-a": "{a}"}, "request_query": {"b": "{b}"}}},
        {"a": "canary-1", "b": "2"},
        {"headers": {"x-a": "canary-1"}, "query": {"b": "2"}},
        {"a": "canary-1", "b": "2"},
    ),
    (
        "generic-oauth1",
        {"client_id": "consumer", "client_secret": "canary-consumer"},
        {"oauth_token": "canary-1", "oauth_token_secret": "canary-2"},
        {"headers": {}},
        {"oauth_token": "canary-1", "oauth_token_secret": "canary-2", "oauth_consumer_key": "consumer"},
    ),
]


async def source(admin: httpx.AsyncClient, provider: str, **changes: Any) -> dict[str, Any]:
    body = {"provider": provider, "name": "a source", **changes}
    made: dict[str, Any] = data(await admin.post("/v1/sources", json=body), 201)
    return made


async def told(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return [event["type"].removeprefix("tokenkeep.account.") for event in reversed(events)]


@pytest.mark.parametrize(("provider", "changes", "given", "wanted", "shown"), CASES)
async def test_credentials_of_each_kind_are_kept_sealed_and_given_ready_to_use(  # noqa: PLR0917 - a case, and two fixtures
    service: Service,
    admin: httpx.AsyncClient,
    provider: str,
    changes: dict[str, Any],
    given: dict[str, Any],
    wanted: dict[str, Any],
    shown: dict[str, Any],
) -> None:
    at = await source(admin, provider, **changes)
    answer = await admin.post("/v1/accounts", json={"source_id": at["id"], "credentials": given})
    account = data(answer, 201)
    assert "canary" not in answer.text
    assert (account["state"], account["authenticated"], account["missing"]) == ("active", True, [])
    assert (account["custody"], account["auth_type"], account["expires_at"]) == ("none", at["auth_type"], None)
    path = f"/v1/accounts/{account['id']}"
    token = data(await admin.post(f"{path}/token"))
    blank: dict[str, Any] = {
        "access_token": None,
        "token_type": None,
        "expires_at": None,
        "scopes": [],
        "refreshed": False,
    }
    if at["auth_type"] == "oauth1":
        wanted = {**wanted, "sign_url": f"{service.foundation.settings.external_url}{path}/sign"}
    assert token == {**blank, **wanted}
    included = data(await admin.get(path, params={"include_credentials": "1"}))
    assert included["credentials"] == shown
    problem(await admin.post(f"{path}/refresh"), 409, "not_refreshable")
    problem(await admin.post(f"{path}/release"), 409, "not_held")
    [row] = await service.sql(
        "SELECT count(*) AS n FROM credentials WHERE position('canary' in encode(access_ciphertext, 'escape')) > 0"
    )
    assert row["n"] == 0
    assert data(await admin.post(f"{path}/disable"))["state"] == "disabled"
    assert data(await admin.post(f"{path}/enable"))["state"] == "active"
    replaced = data(await admin.put(f"{path}/credentials", json=given))
    assert (replaced["id"], replaced["state"]) == (account["id"], "active")
    assert await told(admin, account["id"]) == ["created", "activated", "disabled", "enabled", "reauthorized"]
    reads = service.key("accounts:read")
    async with service.client(await reads) as reader:
        problem(await reader.get(path, params={"include_credentials": "1"}), 403, "missing_scope")
    await service.flush()
    audited = {(entry["action"], entry["target"]) for entry in data(await admin.get("/v1/audit"))}
    assert {("token.vend", account["id"]), ("credentials.read", account["id"])} <= audited


@pytest.mark.parametrize(
    ("provider", "changes", "field"),
    [
        ("generic-oauth1", {"client_secret": "s"}, "client_id"),
        ("generic-oauth1", {"client_id": "c"}, "client_secret"),
        (
            "generic-oauth1",
            {"client_id": "c", "client_secret": "canary", "options": {"signature_method": "RSA-SHA1"}},
            "client_secret",
        ),
        ("generic-oauth1", {"client_id": "c", "client_secret": "a\nb"}, "client_secret"),
        ("generic-api-key", {"client_id": "c"}, "client_id"),
        ("generic-basic", {"client_secret": "c"}, "client_secret"),
        ("generic-api-key", {"options": {"key_placement": "cookie x"}}, "options.key_placement"),
        ("nobody", {}, "provider"),
    ],
)
async def test_a_source_of_another_kind_is_checked_as_that_kind(
    admin: httpx.AsyncClient, provider: str, changes: dict[str, Any], field: str
) -> None:
    answer = await admin.post("/v1/sources", json={"provider": provider, "name": "n", **changes})
    problem(answer, 422, "invalid_input", field)
    assert "canary" not in answer.text


async def test_credentials_of_another_kind_are_refused_by_name(admin: httpx.AsyncClient) -> None:
    at = await source(admin, "generic-basic")
    for given, field in (
        ({"api_key": "canary"}, "credentials.api_key"),
        ({"username": "canary"}, "credentials.password"),
        ({"username": "u", "password": 7}, "credentials.password"),
        ("canary", "credentials"),
        ({"username": "a:b", "password": "canary"}, "credentials.username"),
    ):
        answer = await admin.post("/v1/accounts", json={"source_id": at["id"], "credentials": given})
        problem(answer, 422, "invalid_input", field)
        assert "canary" not in answer.text
    made = await admin.post(
        "/v1/accounts", json={"source_id": at["id"], "credentials": {"username": "u", "password": "p"}}
    )
    path = f"/v1/accounts/{data(made, 201)['id']}/credentials"
    problem(await admin.put(path, json={"username": "u"}), 422, "invalid_input", "password")
    problem(await admin.put(path, json={"username": "u", "password": "p", "x": "y"}), 422, "invalid_input", "x")


async def test_a_bearer_token_ends_when_it_is_said_to(service: Service, admin: httpx.AsyncClient) -> None:
    at = await source(admin, "generic-bearer")
    given = {"access_token": "t", "expires_at": "2199-01-01T00:00:00Z"}
    account = data(await admin.post("/v1/accounts", json={"source_id": at["id"], "credentials": given}), 201)
    assert account["expires_at"] == "2199-01-01T00:00:00.000Z"
    assert data(await admin.post(f"/v1/accounts/{account['id']}/token"))["expires_at"] == "2199-01-01T00:00:00.000Z"
    past = {"access_token": "t", "expires_at": "2020-01-01T00:00:00Z"}
    data(await admin.put(f"/v1/accounts/{account['id']}/credentials", json=past))
    problem(await admin.post(f"/v1/accounts/{account['id']}/token"), 409, "reauthorization_required")
    wrong = await admin.put(f"/v1/accounts/{account['id']}/credentials", json={**past, "expires_at": "soon"})
    problem(wrong, 422, "invalid_input", "expires_at")
    at = await source(admin, "generic-bearer", options={"access_token_ttl_s": 3600})
    account = data(
        await admin.post("/v1/accounts", json={"source_id": at["id"], "credentials": {"access_token": "t"}}), 201
    )
    assert account["expires_at"] is not None
    await service.queue.drain()


async def test_a_source_tells_what_its_accounts_need(admin: httpx.AsyncClient) -> None:
    at = await source(admin, "zendesk-token")
    needs = at["account_schema"]
    assert needs["required"] == ["credentials.username", "credentials.password", "properties.subdomain"]
    assert needs["properties"]["properties"]["subdomain"]["examples"] == ["acme"]
    assert data(await admin.get(f"/v1/sources/{at['id']}"))["account_schema"] == needs
    assert data(await admin.get("/v1/sources"))[-1]["account_schema"] == needs


async def test_an_account_is_pending_until_it_lacks_nothing_and_is_activated_once(admin: httpx.AsyncClient) -> None:
    at = await source(admin, "zendesk-token")
    account = data(await admin.post("/v1/accounts", json={"source_id": at["id"]}), 201)
    path = f"/v1/accounts/{account['id']}"
    assert (account["state"], account["authenticated"]) == ("pending", False)
    assert account["missing"] == ["credentials.username", "credentials.password", "properties.subdomain"]
    given = {"username": "a@acme.test", "password": "canary"}
    half = data(await admin.put(f"{path}/credentials", json=given))
    assert (half["state"], half["authenticated"], half["missing"]) == ("pending", False, ["properties.subdomain"])
    problem(await admin.post(f"{path}/token"), 409, "account_pending")
    problem(await admin.post(f"{path}/enable"), 409, "account_pending")
    problem(await admin.post(f"{path}/disable"), 409, "account_pending")
    assert await told(admin, account["id"]) == ["created"]
    whole = data(await admin.patch(path, json={"properties": SITE, "metadata": {"plan": "pro"}}))
    assert (whole["state"], whole["authenticated"], whole["missing"]) == ("active", True, [])
    assert (whole["properties"], whole["metadata"]) == (SITE, {"plan": "pro"})
    again = data(await admin.patch(path, json={"properties": {"subdomain": "other"}}))
    assert again["properties"] == {"subdomain": "other"}
    assert await told(admin, account["id"]) == ["created", "activated"]
    assert data(await admin.post(f"{path}/token"))["headers"]["Authorization"].startswith("Basic ")


async def test_credentials_may_come_before_the_property(admin: httpx.AsyncClient) -> None:
    at = await source(admin, "shopify", client_id="c", client_secret="s")
    live = {"access_token": "a", "refresh_token": "r", "expires_in": 3600}
    account = data(await admin.post("/v1/accounts", json={"source_id": at["id"], "credentials": live}), 201)
    assert (account["state"], account["missing"]) == ("pending", ["properties.subdomain"])
    assert (account["custody"], account["next_refresh_at"]) == ("held", None)
    path = f"/v1/accounts/{account['id']}"
    seen = data(await admin.patch(path, json={"properties": SITE}))
    assert (seen["state"], seen["custody"]) == ("active", "held")
    assert seen["next_refresh_at"] is not None
    assert data(await admin.post(f"{path}/token"))["access_token"] == "a"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "body"),
        ({}, "body"),
        ({"properties": None}, "properties"),
        ({"properties": {"subdomain": "no/slashes"}}, "properties.subdomain"),
        ({"properties": {"colour": "red"}}, "properties.colour"),
        ({"properties": {"subdomain": None}}, "properties.subdomain"),
        ({"metadata": {"a": 7}}, "metadata.a"),
        ({"state": "active"}, "state"),
    ],
)
async def test_a_wrong_change_of_an_account_is_named(admin: httpx.AsyncClient, body: Any, field: str) -> None:
    at = await source(admin, "zendesk-token")
    given = {"username": "a", "password": "p"}
    made = await admin.post("/v1/accounts", json={"source_id": at["id"], "credentials": given, "properties": SITE})
    path = f"/v1/accounts/{data(made, 201)['id']}"
    answer = await admin.patch(path) if body is None else await admin.patch(path, json=body)
    problem(answer, 422, "invalid_input", field)
    assert data(await admin.get(path))["properties"] == SITE


async def test_a_change_names_what_it_means_and_leaves_the_rest(admin: httpx.AsyncClient) -> None:
    at = await source(admin, "generic-api-key")
    made = await admin.post("/v1/accounts", json={"source_id": at["id"], "metadata": {"a": "1", "b": "2"}})
    path = f"/v1/accounts/{data(made, 201)['id']}"
    assert data(await admin.patch(path, json={"metadata": {"a": None, "c": "3"}}))["metadata"] == {"b": "2", "c": "3"}
    wrong = {"source_id": at["id"], "properties": {"subdomain": "x"}}
    problem(await admin.post("/v1/accounts", json=wrong), 422, "invalid_input", "properties.subdomain")


class _Consumer:
    def get_client_secret(self) -> str:
        return "consumer-secret"

    def get_rsa_public_key(self) -> bytes:
        return RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def get_oauth_token_secret(self) -> str:
        return "token-secret"


class _Api(ResourceProtector):  # type: ignore[misc]  # Authlib has no types
    """An API as Authlib protects it. It stands behind a proxy that ends TLS, so its own requests come without."""

    SUPPORTED_SIGNATURE_METHODS = ("HMAC-SHA1", "RSA-SHA1", "PLAINTEXT")

    def __init__(self) -> None:
        self.nonces: set[str] = set()

    def get_client_by_id(self, client_id: str) -> _Consumer | None:
        return _Consumer() if client_id == "consumer" else None

    def get_token_credential(self, request: Any) -> _Consumer | None:
        return _Consumer() if request.token == "user-token" else None

    def exists_nonce(self, nonce: str, _request: Any) -> bool:
        known = nonce in self.nonces
        self.nonces.add(nonce)
        return known


@asynccontextmanager
async def protected_api() -> AsyncIterator[str]:
    """An API's address, whose answers say whose request it was, or why that can't be told."""
    api = _Api()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {k.title(): v for k, _, v in (line.partition(": ") for line in lines if line)}
        body = (await reader.readexactly(int(headers.get("Content-Length", "0")))).decode()
        try:
            seen = api.validate_request(method, f"https://{headers['Host']}{target}", body, headers)
            status, said = 200, f"{seen.client_id} {seen.token}"
        except Exception as error:  # noqa: BLE001 - whatever it is, the test sees it
            status, said = 401, type(error).__name__
        writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: {len(said)}\r\n\r\n{said}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("method", ["HMAC-SHA1", "RSA-SHA1", "PLAINTEXT"])
async def test_a_signed_request_is_taken_by_the_providers_server(
    service: Service, admin: httpx.AsyncClient, method: str
) -> None:
    secret = pem(RSA) if method == "RSA-SHA1" else "consumer-secret"
    client = {"client_id": "consumer", "client_secret": secret, "options": {"signature_method": method}}
    at = await source(admin, "generic-oauth1", **client)
    given = {"oauth_token": "user-token", "oauth_token_secret": "token-secret"}
    account = data(await admin.post("/v1/accounts", json={"source_id": at["id"], "credentials": given}), 201)
    path = f"/v1/accounts/{account['id']}/sign"
    async with protected_api() as host, httpx.AsyncClient() as http:
        target = "/1.1/items.json?q=a%20b&page=2"
        signed = data(await admin.post(path, json={"method": "get", "url": f"https://{host}{target}"}))
        assert signed["headers"]["Authorization"].startswith("OAuth ")
        seen = await http.get(f"http://{host}{target}", headers=signed["headers"])
        assert (seen.status_code, seen.text) == (200, "consumer user-token")
        form = {"status": "Hello & goodbye", "tag": ["b", "a"]}
        wish = {"method": "POST", "url": f"https://{host}/1.1/update", "body": form, "realm": "acme"}
        signed = data(await admin.post(path, json=wish))
        assert 'realm="acme"' in signed["headers"]["Authorization"]
        seen = await http.post(f"http://{host}/1.1/update", data=form, headers=signed["headers"])
        assert (seen.status_code, seen.text) == (200, "consumer user-token")
        again = await http.post(f"http://{host}/1.1/update", data=form, headers=signed["headers"])
        assert again.status_code == 401
    await service.flush()
    entries = [one for one in data(await admin.get("/v1/audit")) if one["action"] == "request.sign"]
    assert sum(one["count"] for one in entries if one["target"] == account["id"]) == 2


async def test_only_what_can_be_signed_is_signed(service: Service, admin: httpx.AsyncClient) -> None:
    at = await source(admin, "generic-oauth1", client_id="consumer", client_secret="s")
    pending = data(await admin.post("/v1/accounts", json={"source_id": at["id"]}), 201)["id"]
    wish = {"method": "GET", "url": "https://api.test/"}
    problem(await admin.post(f"/v1/accounts/{pending}/sign", json=wish), 409, "account_pending")
    other = await source(admin, "generic-bearer")
    made = await admin.post("/v1/accounts", json={"source_id": other["id"], "credentials": {"access_token": "t"}})
    path = f"/v1/accounts/{data(made, 201)['id']}/sign"
    problem(await admin.post(path, json=wish), 409, "not_signed")
    for changes, field in (({"url": "canary"}, "url"), ({"method": "G T"}, "method"), ({"realm": 'a"b'}, "realm")):
        answer = await admin.post(path, json={**wish, **changes})
        problem(answer, 422, "invalid_input", field)
        assert "canary" not in answer.text
    await service.queue.drain()
