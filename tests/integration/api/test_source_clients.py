"""What proves a source's client, as it is given over HTTP."""

from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from api_service import Service, data, problem
from assertion_check import AssertionCheck
from source_clients import pem
from token_server import TokenServer
from tokenkeep.domain.secret import Secret

P256 = ec.generate_private_key(ec.SECP256R1())
KEY = pem(P256)
JWT = "private_key_jwt"


def body(secret: str | None, method: str, url: str = "https://93.184.215.14/token", **options: Any) -> dict[str, Any]:
    named = {"token_url": url, "token_endpoint_auth_method": method, **options}
    return {
        "provider": "generic-oauth2",
        "name": "books",
        "client_id": "client",
        "client_secret": secret,
        "options": named,
    }


@pytest.mark.parametrize(
    ("secret", "method", "options", "field"),
    [
        ("canary-plain", JWT, {}, "client_secret"),
        (None, JWT, {}, "client_secret"),
        (None, "client_secret_jwt", {}, "client_secret"),
        (KEY, "client_secret_basic", {}, "client_secret"),
        (KEY, JWT, {"token_endpoint_auth_signing_alg": "RS256"}, "client_secret"),
        (KEY, "tls_client_auth", {}, "client_secret"),
        (None, "self_signed_tls_client_auth", {}, "client_secret"),
        (KEY, JWT, {"token_endpoint_auth_signing_alg": "HS256"}, "options.token_endpoint_auth_signing_alg"),
        (KEY, JWT, {"token_endpoint_auth_signing_alg": "none"}, "options.token_endpoint_auth_signing_alg"),
        (KEY, "psk_jwt", {}, "options.token_endpoint_auth_method"),
        ("a\x08b", "client_secret_basic", {}, "client_secret"),
    ],
)
async def test_a_secret_that_does_not_serve_for_its_method_is_refused_when_a_source_is_made(
    admin: httpx.AsyncClient, secret: str | None, method: str, options: dict[str, Any], field: str
) -> None:
    answer = await admin.post("/v1/sources", json=body(secret, method, **options))
    problem(answer, 422, "invalid_input", field)
    assert "canary" not in answer.text
    assert "PRIVATE" not in answer.text
    assert data(await admin.get("/v1/sources")) == []


async def test_a_key_is_stored_and_never_shown(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/v1/sources", json=body(KEY, JWT))
    source = data(answer, 201)
    assert source["options"]["token_endpoint_auth_method"] == JWT
    assert "PRIVATE" not in answer.text + (await admin.get("/v1/sources")).text


@pytest.mark.parametrize(
    "change",
    [
        {"client_secret": "canary-plain"},
        {"client_secret": None},
        {"options": {"token_url": "https://93.184.215.14/token"}},
        {"options": {**body(KEY, JWT)["options"], "token_endpoint_auth_signing_alg": "RS256"}},
    ],
)
async def test_a_change_after_which_the_secret_would_not_serve_is_refused(
    admin: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    source = data(await admin.post("/v1/sources", json=body(KEY, JWT)), 201)
    path = f"/v1/sources/{source['id']}"
    problem(await admin.patch(path, json=change), 422, "invalid_input", "client_secret")
    assert data(await admin.get(path)) == source


async def test_method_and_secret_are_changed_together(admin: httpx.AsyncClient) -> None:
    source = data(await admin.post("/v1/sources", json=body("plain", "client_secret_post")), 201)
    path = f"/v1/sources/{source['id']}"
    problem(await admin.patch(path, json={"options": body(KEY, JWT)["options"]}), 422, "invalid_input", "client_secret")
    changed = data(await admin.patch(path, json={"client_secret": KEY, "options": body(KEY, JWT)["options"]}))
    assert changed["options"]["token_endpoint_auth_method"] == JWT
    assert data(await admin.patch(path, json={"client_id": "other"}))["client_id"] == "other"


async def test_a_code_is_exchanged_and_a_token_refreshed_by_a_client_that_signs(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source = data(await admin.post("/v1/sources", json=body(KEY, JWT, server.url)), 201)
    credentials = {"authorization_code": "grant.1", "redirect_uri": "https://app.test/cb"}
    made = await admin.post("/v1/accounts", json={"source_id": source["id"], "credentials": credentials})
    account = data(made, 201)
    assert data(await admin.post(f"/v1/accounts/{account['id']}/token", json={"force": True}))["refreshed"] is True
    await service.queue.drain()
    check = AssertionCheck(ECKey.import_key(P256.public_key()), audience=server.url)
    assert [post.form["grant_type"] for post in server.posts] == ["authorization_code", "refresh_token"]
    for post in server.posts:
        assert post.form["client_id"] == "client"
        assert check.accept(Secret(post.form["client_assertion"]))["sub"] == "client"
        assert "authorization" not in post.headers
