"""Rules that hold on every route, walked over the API's own description."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from api_service import ADMIN_KEY, Service, data, problem
from tokenkeep.domain.api_key import Scope
from tokenkeep_api import answers
from tokenkeep_api.app import create_app

IMPORT_PATH = "/v1/accounts/import"
TOKEN_URL = "https://93.184.215.14/token"
WRITING = {"POST", "PUT", "PATCH"}
BODIES: dict[str, Any] = {
    "/v1/sources": {
        "provider": "generic-oauth2",
        "name": "n",
        "client_id": "c",
        "options": {"token_url": TOKEN_URL},
    },
    "/v1/sources/{source_id}": {"name": "n"},
    "/v1/accounts/{account_id}": {"metadata": {"a": "b"}},
    "/v1/accounts/{account_id}/credentials": {"access_token": "x"},
    "/v1/accounts/{account_id}/sign": {"method": "GET", "url": "https://api.test/"},
}


async def description(service: Service) -> dict[str, Any]:
    async with service.client(None) as client:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


async def things(service: Service) -> dict[str, str]:
    """One of each thing that a path can name, in the service's environment."""
    source_id = await service.source(TOKEN_URL)
    account_id = await service.account(source_id)
    key = {"name": "k", "environment": service.environment, "scopes": ["audit:read"]}
    async with service.client() as admin:
        key_id = data(await admin.post("/v1/api-keys", json=key), 201)["id"]
        connectable = await service.source(TOKEN_URL, authorization_url="https://93.184.215.14/authorize")
        session = data(await admin.post("/v1/connect/sessions", json={"source_id": connectable}), 201)
    return {
        "source_id": source_id,
        "account_id": account_id,
        "key_id": key_id,
        "session_id": session["id"],
        "connectable_id": connectable,
        "slug": "quickbooks",
    }


def body_for(path: str, ids: dict[str, str]) -> Any:
    if path in {"/v1/accounts", "/v1/connect/sessions"}:
        return {"source_id": ids["source_id"]}
    return BODIES.get(path)


async def ask(client: httpx.AsyncClient, method: str, path: str, ids: dict[str, str]) -> httpx.Response:
    """A call that fits the route's description."""
    url = path.format(**ids)
    if path == IMPORT_PATH:
        line = json.dumps({"source_id": ids["source_id"]})
        return await client.post(url, content=f"{line}\n", headers={"Content-Type": "application/x-ndjson"})
    return await client.request(method, url, json=body_for(path, ids) if method in WRITING else None)


async def test_every_route_needs_a_key_and_the_scope_that_its_description_names(service: Service) -> None:
    ids = await things(service)
    walked = 0
    for method, path, operation in operations(await description(service)):
        [needed] = operation["security"][0]["api_key"]
        others = [scope.value for scope in Scope if scope.value not in {needed, "admin"}]
        url = path.format(**ids)
        async with service.client(None) as nobody:
            problem(await nobody.request(method, url), 401, "not_authenticated")
        async with service.client(await service.key(*others)) as client:
            refused = await ask(client, method, path, ids)
            if path == "/v1/api-keys" and method == "POST":
                body = {"name": "k", "environment": service.environment, "scopes": ["audit:read"]}
                refused = await client.post(url, json=body)
            assert problem(refused, 403, "missing_scope")["scope"] == needed, (method, path)
        walked += 1
    assert walked >= 20


async def test_things_of_another_environment_do_not_exist(service: Service) -> None:
    ids = await things(service)
    elsewhere = service.client(ADMIN_KEY, **{"X-Tokenkeep-Environment": f"{service.environment}-other"})
    async with elsewhere as stranger:
        for method, path, _ in operations(await description(service)):
            named = [name for name in ids if name != "slug" and f"{{{name}}}" in path]
            if named:
                body = body_for(path, ids) if method in WRITING else None
                problem(await stranger.request(method, path.format(**ids), json=body), 404, "not_found")
            elif method == "GET" and "providers" not in path:
                seen = await stranger.get(path)
                assert all(one["actor"] == "admin-key" for one in data(seen) if "actor" in one)
                assert not any(one in seen.text for one in ids.values() if one.startswith(("src_", "acc_", "key_")))
        imported = await ask(stranger, "POST", IMPORT_PATH, ids)
        assert [json.loads(line)["code"] for line in imported.text.splitlines()] == ["not_found"]
        whole = await stranger.post(
            IMPORT_PATH, params={"source_id": ids["source_id"]}, headers={"Content-Type": "application/x-ndjson"}
        )
        problem(whole, 404, "not_found")
        account = {"source_id": ids["source_id"], "credentials": {"access_token": "x"}}
        problem(await stranger.post("/v1/accounts", json=account), 404, "not_found")
        code = {"authorization_code": "x", "redirect_uri": "https://app.example/cb"}
        problem(
            await stranger.post("/v1/accounts", json={"source_id": ids["source_id"], "credentials": code}),
            404,
            "not_found",
        )
        included = await stranger.get(f"/v1/accounts/{ids['account_id']}", params={"include_credentials": "1"})
        problem(included, 404, "not_found")
    async with service.client() as owner:
        assert data(await owner.get(f"/v1/accounts/{ids['account_id']}"))["state"] == "active"


async def test_answers_are_as_they_are_described(service: Service) -> None:
    ids = await things(service)
    described: dict[str, Any] = {
        "/v1/providers": answers.Page[answers.ProviderAnswer],
        "/v1/providers/quickbooks": answers.Data[answers.ProviderAnswer],
        "/v1/sources": answers.Page[answers.SourceAnswer],
        f"/v1/sources/{ids['source_id']}": answers.Data[answers.SourceAnswer],
        "/v1/accounts": answers.Page[answers.AccountAnswer],
        f"/v1/accounts/{ids['account_id']}": answers.Data[answers.AccountAnswer],
        f"/v1/accounts/{ids['account_id']}?include_credentials=1": answers.Data[answers.AccountWithCredentialsAnswer],
        f"/v1/accounts/{ids['account_id']}/attempts": answers.Page[answers.AttemptAnswer],
        f"/v1/accounts/{ids['account_id']}/events": answers.Page[answers.EventAnswer],
        f"/v1/connect/sessions/{ids['session_id']}": answers.Data[answers.ConnectSessionAnswer],
        "/v1/api-keys": answers.Page[answers.ApiKeyAnswer],
        "/v1/audit": answers.Page[answers.AuditAnswer],
    }
    async with service.client() as admin:
        for path, model in described.items():
            answer = await admin.get(path)
            assert answer.status_code == 200
            TypeAdapter(model).validate_json(answer.content)
        for line in (await ask(admin, "POST", IMPORT_PATH, ids)).text.splitlines():
            TypeAdapter(answers.ImportResultAnswer).validate_json(line)
        token = await admin.post(f"/v1/accounts/{ids['account_id']}/token")
        TypeAdapter(answers.Data[answers.TokenAnswer]).validate_json(token.content)
        account = f"/v1/accounts/{ids['account_id']}"
        session = await admin.post("/v1/connect/sessions", json={"source_id": ids["connectable_id"]})
        TypeAdapter(answers.Data[answers.NewConnectSessionAnswer]).validate_json(session.content)
        changed = await admin.patch(account, json={"metadata": {"a": "b"}})
        TypeAdapter(answers.Data[answers.AccountAnswer]).validate_json(changed.content)
        replaced = await admin.put(f"{account}/credentials", json={"access_token": "x", "refresh_token": "y"})
        TypeAdapter(answers.Data[answers.AccountAnswer]).validate_json(replaced.content)
        verified = await admin.post(f"{account}/verify")
        shown = TypeAdapter(answers.Data[answers.AccountAnswer]).validate_json(verified.content)
        assert shown.data.verification is not None
        released = await admin.post(f"{account}/release")
        TypeAdapter(answers.Data[answers.ReleaseAnswer]).validate_json(released.content)
        erased = await admin.post(f"{account}/release/confirm")
        TypeAdapter(answers.Data[answers.ErasureAnswer]).validate_json(erased.content)


async def test_answers_about_other_kinds_are_as_they_are_described(service: Service) -> None:
    consumer = {"provider": "generic-oauth1", "name": "n", "client_id": "c", "client_secret": "s"}
    pair = {"oauth_token": "t", "oauth_token_secret": "s"}
    keyed = {"provider": "generic-api-key", "name": "n", "options": {"key_placement": "query key"}}
    async with service.client() as admin:
        for source, credentials in ((consumer, pair), (keyed, {"api_key": "k"})):
            source_id = data(await admin.post("/v1/sources", json=source), 201)["id"]
            body = {"source_id": source_id, "credentials": credentials}
            path = f"/v1/accounts/{data(await admin.post('/v1/accounts', json=body), 201)['id']}"
            token = await admin.post(f"{path}/token")
            TypeAdapter(answers.Data[answers.TokenAnswer]).validate_json(token.content)
            shown = await admin.get(path, params={"include_credentials": "1"})
            TypeAdapter(answers.Data[answers.AccountWithCredentialsAnswer]).validate_json(shown.content)
            if source is consumer:
                signed = await admin.post(f"{path}/sign", json={"method": "GET", "url": "https://api.test/"})
                TypeAdapter(answers.Data[answers.SignatureAnswer]).validate_json(signed.content)


async def test_every_answer_has_the_headers_that_keep_it_private(service: Service) -> None:
    async with service.client() as admin, service.client(None) as nobody:
        seen = [
            await admin.get("/v1/sources"),
            await admin.get("/v1/nothing"),
            await nobody.get("/v1/sources"),
            await nobody.post("/v1/sources", content=b"x"),
        ]
        for answer in seen:
            assert answer.headers["cache-control"] == "no-store"
        for answer in [*seen, await nobody.get("/docs"), await nobody.get("/nothing"), await nobody.get("/healthz")]:
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["x-request-id"].startswith("cor_")


async def test_the_reference_shows_every_call_and_needs_nothing_from_elsewhere(service: Service) -> None:
    async with service.client(None) as client:
        page = (await client.get("/docs")).text
    for method, path, _ in operations(await description(service)):
        assert f"{method} {path}" in page
    assert "<script" not in page
    assert "src=" not in page


async def test_every_creating_post_takes_an_idempotency_key(service: Service) -> None:
    document = await description(service)
    taking = {
        path
        for method, path, operation in operations(document)
        if any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", []))
    }
    assert taking == {"/v1/sources", "/v1/accounts", IMPORT_PATH, "/v1/connect/sessions", "/v1/api-keys"}
    references = [line for line in str(document).split("'") if line.startswith("#/components/schemas/")]
    assert references
    imports = document["paths"][IMPORT_PATH]["post"]
    assert list(imports["requestBody"]["content"]) == ["application/x-ndjson"]
    assert list(imports["responses"]["200"]["content"]) == ["application/x-ndjson"]
    assert {line.rpartition("/")[2] for line in references} <= set(document["components"]["schemas"])


async def test_operations_are_open_and_ready(service: Service) -> None:
    async with service.client(None) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        assert "tokenkeep_build_info" in (await client.get("/metrics")).text


def test_making_the_app_opens_nothing(service: Service) -> None:
    create_app(service.wired)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "DELETE"])
async def test_a_method_that_a_path_does_not_take_is_a_405(admin: httpx.AsyncClient, method: str) -> None:
    answer = await admin.request(method, "/v1/sources")
    problem(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["allow"] or "GET" in answer.headers["allow"]
