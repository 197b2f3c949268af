"""Accounts authorised on pages of the caller's own, at real servers: the calls of `/oauth1/v1` and `/oauth2/v1`."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import TypeAdapter
from starlette.responses import Response

from api_service import Service, data, problem
from oauth1_server import CONSUMER, CONSUMER_SECRET, OAuth1Server, Store, open_oauth1_server
from source_clients import pem, rsa_key
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer
from tokenkeep.adapters.demo_provider.faults import Fault
from tokenkeep_api import authorization_answers

CALLBACK = "https://app.example/callback"
CALLBACK_1 = f"{CALLBACK}?state=xyz%2F1"
EXPIRES_ON = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
RSA = rsa_key()
RSA_PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    options = ProviderOptions(token_lifetime_s=600, requires_pkce=False, redirect_uris=(CALLBACK,))
    async with ProviderServer(DemoProvider(options)) as started:
        yield started


@pytest.fixture
async def strict_server() -> AsyncIterator[ProviderServer]:
    options = ProviderOptions(token_lifetime_s=600, requires_pkce=True, redirect_uris=(CALLBACK,))
    async with ProviderServer(DemoProvider(options)) as started:
        yield started


@pytest.fixture
async def provider() -> AsyncIterator[OAuth1Server]:
    async with open_oauth1_server(Store(rsa_public_key=RSA_PUBLIC)) as started:
        yield started


async def oauth2_source(admin: httpx.AsyncClient, server: ProviderServer, **options: Any) -> str:
    body = {
        "provider": "generic-oauth2",
        "name": "Acme",
        "client_id": "demo-client",
        "client_secret": "demo-secret",
        "scopes": ["profile", "email"],
        "options": {
            "authorization_url": f"{server.url}/authorize",
            "token_url": f"{server.url}/token",
            "userinfo_url": f"{server.url}/api/me",
            "external_id_path": "sub",
            "refresh_rotates": "yes",
            **options,
        },
    }
    return str(data(await admin.post("/v1/sources", json=body), 201)["id"])


async def oauth1_source(
    admin: httpx.AsyncClient, provider: OAuth1Server, secret: str = CONSUMER_SECRET, **options: str
) -> str:
    told = {"userinfo_url": f"{provider.url}/me", "external_id_path": "sub", **options}
    body = {
        "provider": "generic-oauth1",
        "name": "Acme",
        "client_id": CONSUMER,
        "client_secret": secret,
        "options": provider.options(**told),
    }
    return str(data(await admin.post("/v1/sources", json=body), 201)["id"])


async def call(client: httpx.AsyncClient, path: str, source_id: str, body: Any, **headers: str) -> httpx.Response:
    return await client.post(path, json=body, headers={"X-Tokenkeep-Source": source_id, **headers})


async def answered(client: httpx.AsyncClient, path: str, source_id: str, body: Any, **headers: str) -> dict[str, Any]:
    answer = await call(client, path, source_id, body, **headers)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def consent(address: str, user: str = "alice") -> dict[str, str]:
    """Allow access at the provider; what it sends the browser back with."""
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(address)).status_code == 200
        answer = await http.post(address, data={"user": user, "decision": "allow"})
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].startswith(CALLBACK)
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


async def authorized(admin: httpx.AsyncClient, source_id: str, user: str = "alice") -> dict[str, Any]:
    """The body of `/oauth2/v1/access_token`, once a user has consented."""
    started = await answered(admin, "/oauth2/v1/authorize", source_id, {"callback_uri": CALLBACK, "state": "s/1 &"})
    back = await consent(started["redirect_uri"], user)
    assert back["state"] == "s/1 &"
    return {"fields": {"callback_uri": CALLBACK}, "code": back["code"]}


async def authorized_1(admin: httpx.AsyncClient, source_id: str, user: str = "alice") -> dict[str, Any]:
    """The body of `/oauth1/v1/access_token`, once a user has consented."""
    started = await answered(admin, "/oauth1/v1/authorize", source_id, {"callback_uri": CALLBACK_1})
    assert sorted(started) == ["redirect_uri", "secret", "token"]
    back = await consent(started["redirect_uri"], user)
    assert (back["state"], back["oauth_token"]) == ("xyz/1", started["token"])
    fields = {"access_token": started["token"], "access_secret": started["secret"], "callback_uri": CALLBACK_1}
    return {"fields": fields, "oauth_verifier": back["oauth_verifier"]}


async def test_a_user_of_oauth2_is_authorised_on_the_callers_pages_and_kept_fresh(
    service: Service, admin: httpx.AsyncClient, server: ProviderServer
) -> None:
    source_id = await oauth2_source(admin, server)
    started = await answered(admin, "/oauth2/v1/authorize", source_id, {"callback_uri": CALLBACK, "state": "xxx"})
    assert sorted(started) == ["redirect_uri"]
    asked = dict(parse_qsl(urlsplit(started["redirect_uri"]).query))
    assert asked == {
        "response_type": "code",
        "client_id": "demo-client",
        "redirect_uri": CALLBACK,
        "state": "xxx",
        "scope": "profile email",
    }
    back = await consent(started["redirect_uri"])
    body = {"fields": {"callback_uri": CALLBACK}, "code": back["code"]}
    answer = await call(admin, "/oauth2/v1/access_token", source_id, body)
    told = TypeAdapter(authorization_answers.OAuth2TokenAnswer).validate_json(answer.content)
    assert sorted(answer.json()) == ["access_token", "account_id", "expires_on"]
    assert EXPIRES_ON.fullmatch(answer.json()["expires_on"])
    async with httpx.AsyncClient() as http:
        me = await http.get(f"{server.url}/api/me", headers={"Authorization": f"Bearer {told.access_token}"})
    assert me.json()["sub"] == "alice"
    account = data(await admin.get(f"/v1/accounts/{told.account_id}"))
    assert (account["state"], account["custody"], account["source_id"]) == ("active", "held", source_id)
    assert (account["external_id"], account["external_id_verified"]) == ("alice", True)
    fresh = data(await admin.post(f"/v1/accounts/{told.account_id}/token", json={"force": True}))
    assert fresh["access_token"] != told.access_token
    await service.flush()
    seen = {(one["action"], one["target"]) for one in data(await admin.get("/v1/audit"))}
    assert {
        ("oauth2.authorize", source_id),
        ("oauth2.access_token", told.account_id),
        ("account.create", told.account_id),
    } <= seen


@pytest.mark.parametrize("method", ["HMAC-SHA1", "RSA-SHA1"])
async def test_a_user_of_oauth1_is_authorised_on_the_callers_pages(
    service: Service, admin: httpx.AsyncClient, provider: OAuth1Server, method: str
) -> None:
    secret = pem(RSA) if method == "RSA-SHA1" else CONSUMER_SECRET
    source_id = await oauth1_source(admin, provider, secret, signature_method=method)
    body = await authorized_1(admin, source_id)
    answer = await call(admin, "/oauth1/v1/access_token", source_id, body)
    told = TypeAdapter(authorization_answers.OAuth1TokenAnswer).validate_json(answer.content)
    assert sorted(answer.json()) == ["access_secret", "access_token", "account_id", "expires_on"]
    assert told.expires_on is None
    assert provider.store.tokens[told.access_token].get_oauth_token_secret() == told.access_secret
    account = data(await admin.get(f"/v1/accounts/{told.account_id}"))
    assert (account["state"], account["external_id"], account["external_id_verified"]) == ("active", "alice", True)
    signed = await admin.post(
        f"/v1/accounts/{told.account_id}/sign", json={"method": "GET", "url": f"{provider.url}/me"}
    )
    async with httpx.AsyncClient() as http:
        me = await http.get(f"{provider.url}/me", headers=data(signed)["headers"])
    assert me.json() == {"sub": "alice"}
    await service.flush()
    seen = {(one["action"], one["target"]) for one in data(await admin.get("/v1/audit"))}
    assert {("oauth1.authorize", source_id), ("oauth1.access_token", told.account_id)} <= seen


async def test_a_token_of_oauth1_that_ends_says_when(admin: httpx.AsyncClient, provider: OAuth1Server) -> None:
    source_id = await oauth1_source(admin, provider, access_token_ttl_s=31_536_000)  # type: ignore[arg-type]  # a number
    told = await answered(admin, "/oauth1/v1/access_token", source_id, await authorized_1(admin, source_id))
    assert EXPIRES_ON.fullmatch(told["expires_on"])


async def test_pkce_takes_part_where_it_must_and_needs_no_memory(
    admin: httpx.AsyncClient, strict_server: ProviderServer, service: Service
) -> None:
    source_id = await oauth2_source(admin, strict_server, pkce="required")
    started = [
        await answered(admin, "/oauth2/v1/authorize", source_id, {"callback_uri": CALLBACK, "state": state})
        for state in ("one", "two")
    ]
    challenges = [dict(parse_qsl(urlsplit(one["redirect_uri"]).query))["code_challenge"] for one in started]
    assert len(challenges[0]) == 43
    other = await oauth2_source(admin, strict_server, pkce="required")
    elsewhere = await answered(admin, "/oauth2/v1/authorize", other, {"callback_uri": CALLBACK, "state": "one"})
    assert challenges[0] not in elsewhere["redirect_uri"], "every source has its own"
    for address, fields, more in (
        (started[0], {}, {}),
        (started[1], {"state": "two"}, {"state": "two"}),
    ):
        user = "bob" if fields else "alice"
        back = await consent(address["redirect_uri"], user)
        body = {"fields": {"callback_uri": CALLBACK, **fields}, "code": back["code"], **more}
        assert (await answered(admin, "/oauth2/v1/access_token", source_id, body))["account_id"]
    tables = await service.sql(
        "SELECT count(*) AS n FROM connect_sessions WHERE environment = :e", e=service.environment
    )
    assert tables[0]["n"] == 0


async def test_a_code_that_comes_again_gives_the_same_answer_and_is_not_sent_again(
    service: Service, admin: httpx.AsyncClient, server: ProviderServer
) -> None:
    """To present a code twice could end the grant (RFC 6749, section 4.1.2)."""
    source_id = await oauth2_source(admin, server)
    body = await authorized(admin, source_id)
    calls = [call(admin, "/oauth2/v1/access_token", source_id, body) for _ in range(4)]
    answers_ = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers_} == {200}
    assert len({answer.content for answer in answers_}) == 1
    again = await call(admin, "/oauth2/v1/access_token", source_id, {**body, "state": "x"})
    assert (again.content, again.headers["idempotency-replayed"]) == (answers_[0].content, "true")
    assert server.provider.counters().token_requests == 1
    assert len(data(await admin.get("/v1/accounts"))) == 1
    rows = await service.sql("SELECT * FROM idempotency_keys WHERE environment = :e", e=service.environment)
    assert body["code"] not in str(rows)
    assert again.json()["access_token"].encode() not in rows[0]["ciphertext"]


async def test_an_idempotency_key_does_what_it_does_elsewhere(
    admin: httpx.AsyncClient, server: ProviderServer, provider: OAuth1Server
) -> None:
    source_id = await oauth2_source(admin, server)
    body = await authorized(admin, source_id)
    first = await call(admin, "/oauth2/v1/access_token", source_id, body, **{"Idempotency-Key": "k"})
    again = await call(admin, "/oauth2/v1/access_token", source_id, body, **{"Idempotency-Key": "k"})
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    other = await oauth2_source(admin, server)
    refused = await call(admin, "/oauth2/v1/access_token", other, body, **{"Idempotency-Key": "k"})
    problem(refused, 409, "idempotency_key_reused")
    third = await oauth1_source(admin, provider)
    verified = await authorized_1(admin, third)
    told = [await answered(admin, "/oauth1/v1/access_token", third, verified) for _ in range(2)]
    assert told[0] == told[1]
    assert provider.asked.count("token") == 1


async def test_a_second_account_of_the_same_user_is_a_conflict(
    admin: httpx.AsyncClient, server: ProviderServer, provider: OAuth1Server
) -> None:
    for source_id, path, begin in (
        (await oauth2_source(admin, server), "/oauth2/v1/access_token", authorized),
        (await oauth1_source(admin, provider), "/oauth1/v1/access_token", authorized_1),
    ):
        first = await answered(admin, path, source_id, await begin(admin, source_id))
        refused = await call(admin, path, source_id, await begin(admin, source_id))
        assert problem(refused, 409, "account_exists")["account_id"] == first["account_id"]


async def test_what_the_provider_refuses_is_told_by_the_field_that_brought_it(
    admin: httpx.AsyncClient, server: ProviderServer, provider: OAuth1Server
) -> None:
    two, one = await oauth2_source(admin, server), await oauth1_source(admin, provider)
    body = {"fields": {"callback_uri": CALLBACK}, "code": "canary-code"}
    refused = await call(admin, "/oauth2/v1/access_token", two, body)
    assert "canary" not in json.dumps(problem(refused, 422, "credentials_rejected", "code"))
    verified = await authorized_1(admin, one)
    wrong = await call(admin, "/oauth1/v1/access_token", one, {**verified, "oauth_verifier": "canary-wrong"})
    assert "canary" not in json.dumps(problem(wrong, 422, "credentials_rejected", "oauth_verifier"))
    provider.store.withdrawn = True
    refused = await call(admin, "/oauth1/v1/authorize", one, {"callback_uri": CALLBACK_1})
    told = problem(refused, 422, "credentials_rejected", "X-Tokenkeep-Source")
    assert "invalid_client" in told["detail"]
    assert data(await admin.get("/v1/accounts")) == []


async def test_a_provider_in_trouble_is_a_503_and_the_request_can_be_made_again(
    admin: httpx.AsyncClient, server: ProviderServer, provider: OAuth1Server
) -> None:
    two, one = await oauth2_source(admin, server), await oauth1_source(admin, provider)
    body = await authorized(admin, two)
    server.provider.inject(Fault(status=503, body="canary"))
    problem(await call(admin, "/oauth2/v1/access_token", two, body), 503, "provider_unavailable")
    assert (await answered(admin, "/oauth2/v1/access_token", two, body))["account_id"]
    for answer in (Response("canary", 503), Response("canary"), Response("", 302, {"location": CALLBACK})):
        provider.script.append(answer)
        refused = await call(admin, "/oauth1/v1/authorize", one, {"callback_uri": CALLBACK_1})
        problem(refused, 503, "provider_unavailable")
        assert "canary" not in refused.text
    verified = await authorized_1(admin, one)
    provider.script.append(Response("canary", 503))
    problem(await call(admin, "/oauth1/v1/access_token", one, verified), 503, "provider_unavailable")
    assert (await answered(admin, "/oauth1/v1/access_token", one, verified))["account_id"]


async def test_a_provider_that_does_not_confirm_the_callback_is_not_trusted(
    admin: httpx.AsyncClient, provider: OAuth1Server
) -> None:
    source_id = await oauth1_source(admin, provider)
    provider.script.append(Response("oauth_token=t&oauth_token_secret=canary"))
    refused = await call(admin, "/oauth1/v1/authorize", source_id, {"callback_uri": CALLBACK_1})
    assert "does not confirm the callback" in problem(refused, 422, "invalid_input", "X-Tokenkeep-Source")["detail"]
    assert "canary" not in refused.text


ASK_2 = {"callback_uri": CALLBACK, "state": "s"}
TAKE_2 = {"fields": {"callback_uri": CALLBACK}, "code": "canary"}
FIELDS_1 = {"access_token": "canary", "access_secret": "canary", "callback_uri": CALLBACK}
TAKE_1 = {"fields": FIELDS_1, "oauth_verifier": "canary"}


@pytest.mark.parametrize(
    "wrong",
    [
        ("/oauth2/v1/authorize", {"callback_uri": CALLBACK}, "state"),
        ("/oauth2/v1/authorize", {"state": "s"}, "callback_uri"),
        ("/oauth2/v1/authorize", {**ASK_2, "scope": "canary"}, "scope"),
        ("/oauth2/v1/authorize", {**ASK_2, "callback_uri": "/canary"}, "callback_uri"),
        ("/oauth2/v1/authorize", {**ASK_2, "callback_uri": "http://app.example/canary"}, "callback_uri"),
        ("/oauth2/v1/authorize", {**ASK_2, "callback_uri": "https://canary@app.example/"}, "callback_uri"),
        ("/oauth2/v1/authorize", {**ASK_2, "callback_uri": f"{CALLBACK}#canary"}, "callback_uri"),
        ("/oauth2/v1/authorize", {**ASK_2, "fields": {"shop": "canary"}}, "fields.shop"),
        ("/oauth2/v1/access_token", {"fields": {"callback_uri": CALLBACK}}, "code"),
        ("/oauth2/v1/access_token", {**TAKE_2, "fields": {}}, "fields.callback_uri"),
        ("/oauth2/v1/access_token", {**TAKE_2, "fields": {"callback_uri": "ftp://x/"}}, "fields.callback_uri"),
        ("/oauth2/v1/access_token", {**TAKE_2, "fields": {"callback_uri": CALLBACK, "shop": "canary"}}, "fields.shop"),
        ("/oauth2/v1/access_token", {**TAKE_2, "fields": {"callback_uri": CALLBACK, "shop": 1}}, "fields.shop"),
        ("/oauth2/v1/access_token", {**TAKE_2, "refresh_token": "canary"}, "refresh_token"),
        ("/oauth1/v1/authorize", {}, "callback_uri"),
        ("/oauth1/v1/authorize", {"callback_uri": CALLBACK, "state": "canary"}, "state"),
        ("/oauth1/v1/access_token", {"fields": FIELDS_1}, "oauth_verifier"),
        ("/oauth1/v1/access_token", {**TAKE_1, "fields": {**FIELDS_1, "access_secret": 1}}, "fields.access_secret"),
        ("/oauth1/v1/access_token", {**TAKE_1, "fields": {**FIELDS_1, "shop": "canary"}}, "fields.shop"),
    ],
)
async def test_what_is_wrong_is_named_before_anything_is_spent(
    admin: httpx.AsyncClient, server: ProviderServer, provider: OAuth1Server, wrong: tuple[str, Any, str]
) -> None:
    path, body, field = wrong
    source_id = (
        await oauth1_source(admin, provider) if path.startswith("/oauth1") else await oauth2_source(admin, server)
    )
    refused = await call(admin, path, source_id, body)
    problem(refused, 422, "invalid_input", field)
    assert "canary" not in refused.text
    assert server.provider.counters().token_requests == 0
    assert provider.asked == []


async def test_a_callback_on_the_callers_own_machine_may_be_http(
    admin: httpx.AsyncClient, server: ProviderServer
) -> None:
    source_id = await oauth2_source(admin, server)
    for callback in ("http://localhost:3000/cb", "http://127.0.0.1/cb", "http://[::1]:8080/cb"):
        body = {"callback_uri": callback, "state": "s"}
        started = await answered(admin, "/oauth2/v1/authorize", source_id, body)
        assert dict(parse_qsl(urlsplit(started["redirect_uri"]).query))["redirect_uri"] == callback


async def test_the_source_is_one_of_the_callers_and_of_the_right_kind(
    service: Service, admin: httpx.AsyncClient, server: ProviderServer, provider: OAuth1Server
) -> None:
    one, two = await oauth1_source(admin, provider), await oauth2_source(admin, server)
    problem(await admin.post("/oauth2/v1/authorize", json=ASK_2), 422, "invalid_input", "X-Tokenkeep-Source")
    named = "X-Tokenkeep-Source"
    problem(await call(admin, "/oauth2/v1/authorize", "canary", ASK_2), 422, "malformed_id", named)
    for path, body, other in (
        ("/oauth2/v1/authorize", ASK_2, one),
        ("/oauth2/v1/access_token", TAKE_2, one),
        ("/oauth1/v1/authorize", {"callback_uri": CALLBACK}, two),
        ("/oauth1/v1/access_token", TAKE_1, two),
    ):
        problem(await call(admin, path, other, body), 422, "invalid_input", named)
        async with service.client(**{"X-Tokenkeep-Environment": f"{service.environment}-other"}) as stranger:
            right = two if other == one else one
            problem(await call(stranger, path, right, body), 404, "not_found")
    headers = [("X-Tokenkeep-Source", two), ("X-Tokenkeep-Source", two)]
    problem(await admin.post("/oauth2/v1/authorize", json=ASK_2, headers=headers), 422, "invalid_input", named)
    bare = await service.source(f"{server.url}/token")
    problem(await call(admin, "/oauth2/v1/authorize", bare, ASK_2), 422, "invalid_input", named)
    machine = {"provider": "generic-client-credentials", "name": "m", "client_id": "c", "client_secret": "s"}
    machine_id = data(
        await admin.post("/v1/sources", json={**machine, "options": {"token_url": f"{server.url}/token"}}), 201
    )["id"]
    for path, body in (("/oauth2/v1/authorize", ASK_2), ("/oauth2/v1/access_token", TAKE_2)):
        problem(await call(admin, path, machine_id, body), 422, "invalid_input", named)
    assert server.provider.counters().token_requests == 0


async def test_properties_come_with_the_callers_form(admin: httpx.AsyncClient) -> None:
    body = {"provider": "shopify", "name": "n", "client_id": "c", "client_secret": "s"}
    created = await admin.post("/v1/sources", json=body)
    source_id = data(created, 201)["id"]
    [name] = data(created, 201)["account_schema"]["properties"]["required"]
    missing = await call(admin, "/oauth2/v1/authorize", source_id, ASK_2)
    problem(missing, 422, "invalid_input", f"fields.{name}")
    started = await answered(admin, "/oauth2/v1/authorize", source_id, {**ASK_2, "fields": {name: "acme"}})
    assert "acme" in urlsplit(started["redirect_uri"]).netloc
    unsaid = await call(admin, "/oauth2/v1/access_token", source_id, TAKE_2)
    problem(unsaid, 422, "invalid_input", f"fields.{name}")


async def test_a_token_is_shown_to_those_only_who_may_read_credentials(
    service: Service, admin: httpx.AsyncClient, server: ProviderServer
) -> None:
    source_id = await oauth2_source(admin, server)
    body = await authorized(admin, source_id)
    async with service.client(await service.key("accounts:write")) as client:
        refused = await call(client, "/oauth2/v1/access_token", source_id, body)
        assert problem(refused, 403, "missing_scope")["scope"] == "credentials:read"
        assert (await answered(client, "/oauth2/v1/authorize", source_id, ASK_2))["redirect_uri"]
    async with service.client(await service.key("accounts:write", "credentials:read")) as client:
        assert (await answered(client, "/oauth2/v1/access_token", source_id, body))["access_token"]
