"""Rules that hold on every route, walked over the API's own description."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from api_service import ADMIN_KEY, Service, data, open_service, problem
from tokenkeep.domain.api_key import Scope
from tokenkeep_api import answers, event_answers, webhook_answers
from tokenkeep_api.app import create_app
from walking import IMPORT_PATH, SOURCED, WRITING, ask, body_for, description, operations, things


async def test_every_route_needs_a_key_and_the_scope_that_its_description_names(service: Service) -> None:
    ids = await things(service)
    walked = 0
    for method, path, operation in operations(await description(service)):
        url = path.format(**ids)
        async with service.client(None) as nobody:
            problem(await nobody.request(method, url), 401, "not_authenticated")
        for needed in operation["security"][0]["api_key"]:
            others = [scope.value for scope in Scope if scope.value not in {needed, "admin"}]
            async with service.client(await service.key(*others)) as client:
                refused = await ask(client, method, path, ids)
                assert problem(refused, 403, "missing_scope")["scope"] == needed, (method, path)
        walked += 1
    assert walked >= 20


async def test_every_route_refuses_a_parameter_that_it_does_not_know(service: Service) -> None:
    ids = await things(service)
    walked = 0
    async with service.client() as admin:
        for method, path, _ in operations(await description(service)):
            refused = await ask(admin, method, path, ids, verifiy="false")
            named = "include_credentials" if (method, path) == ("GET", "/v1/accounts/{account_id}") else "verifiy"
            problem(refused, 422, "invalid_input", named)
            walked += 1
    assert walked >= 20


async def test_credentials_are_not_included_without_their_scope(service: Service) -> None:
    account_id = (await things(service))["account_id"]
    async with service.client(await service.key("accounts:read")) as client:
        refused = await client.get(f"/v1/accounts/{account_id}", params={"include_credentials": "1"})
        assert problem(refused, 403, "missing_scope")["scope"] == "credentials:read"
        assert "credentials" not in data(await client.get(f"/v1/accounts/{account_id}"))


async def everything(service: Service, *tables: str) -> list[Any]:
    """The rows of the service's environment."""
    rows = [
        await service.sql(f"SELECT * FROM {table} WHERE environment = :e ORDER BY id", e=service.environment)  # noqa: S608
        for table in tables
    ]
    return [dict(row) for of_one in rows for row in of_one]


@pytest.mark.parametrize("stranger", ["a key", "the admin key"])
async def test_things_of_another_environment_do_not_exist(service: Service, stranger: str) -> None:
    ids = await things(service)
    other = f"{service.environment}-other"
    key = await service.key(*Scope, environment=other) if stranger == "a key" else ADMIN_KEY
    before = await everything(service, "accounts", "sources", "api_keys", "webhooks")
    async with service.client(key, **{"X-Tokenkeep-Environment": other}) as client:
        for method, path, _ in operations(await description(service)):
            named = [name for name in ids if name not in {"slug", "environment"} and f"{{{name}}}" in path]
            if named:
                body = body_for(path, ids) if method in WRITING else None
                problem(await client.request(method, path.format(**ids), json=body), 404, "not_found")
            elif path in SOURCED:
                problem(await ask(client, method, path, ids), 404, "not_found")
            elif method == "GET" and "providers" not in path:
                # The trail tells of this walk itself: what the stranger asked for in vain.
                seen = await client.get(path, params={"result": "ok"} if path == "/v1/audit" else None)
                assert seen.status_code == 200
                assert not any(
                    one in seen.text for one in ids.values() if one.startswith(("src_", "acc_", "key_", "whk_"))
                )
        imported = await ask(client, "POST", IMPORT_PATH, ids)
        assert [json.loads(line)["code"] for line in imported.text.splitlines()] == ["not_found"]
        [received] = data(await ask(client, "POST", "/v1/events", ids), 202)
        assert (received["status"], received["code"]) == ("rejected", "not_found")
        whole = await client.post(
            IMPORT_PATH, params={"source_id": ids["source_id"]}, headers={"Content-Type": "application/x-ndjson"}
        )
        problem(whole, 404, "not_found")
        account = {"source_id": ids["source_id"], "credentials": {"access_token": "x"}}
        problem(await client.post("/v1/accounts", json=account), 404, "not_found")
        code = {"authorization_code": "x", "redirect_uri": "https://app.example/cb"}
        coded = {"source_id": ids["source_id"], "credentials": code}
        problem(await client.post("/v1/accounts", json=coded), 404, "not_found")
        replaced = await client.put(f"/v1/accounts/{ids['account_id']}/credentials", json=code)
        problem(replaced, 404, "not_found")
        included = await client.get(f"/v1/accounts/{ids['account_id']}", params={"include_credentials": "1"})
        problem(included, 404, "not_found")
        for parameters in ({"source_id": ids["source_id"]}, {"provider": "generic-oauth2"}, {"state": "active"}):
            assert data(await client.get("/v1/accounts", params=parameters)) == []
        assert data(await client.get("/v1/audit", params={"target": ids["account_id"], "result": "ok"})) == []
    assert await everything(service, "accounts", "sources", "api_keys", "webhooks") == before


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
        f"/v1/accounts/{ids['account_id']}/events": answers.Page[event_answers.EventAnswer],
        f"/v1/connect/sessions/{ids['session_id']}": answers.Data[answers.ConnectSessionAnswer],
        "/v1/api-keys": answers.Page[answers.ApiKeyAnswer],
        "/v1/audit": answers.Page[answers.AuditAnswer],
        "/v1/events": event_answers.FeedAnswer,
        "/v1/webhooks": answers.Page[webhook_answers.WebhookAnswer],
        f"/v1/webhooks/{ids['webhook_id']}": answers.Data[webhook_answers.WebhookAnswer],
    }
    async with service.client() as admin:
        for path, model in described.items():
            answer = await admin.get(path)
            assert answer.status_code == 200
            TypeAdapter(model).validate_json(answer.content)
        for line in (await ask(admin, "POST", IMPORT_PATH, ids)).text.splitlines():
            TypeAdapter(answers.ImportResultAnswer).validate_json(line)
        received = await ask(admin, "POST", "/v1/events", ids)
        TypeAdapter(answers.Data[list[event_answers.ReceptionAnswer]]).validate_json(received.content)
        token = await admin.post(f"/v1/accounts/{ids['account_id']}/token")
        TypeAdapter(answers.Data[answers.TokenAnswer]).validate_json(token.content)
        hook = f"/v1/webhooks/{ids['webhook_id']}"
        TypeAdapter(answers.Data[webhook_answers.TrialAnswer]).validate_json((await admin.post(f"{hook}/test")).content)
        rotated = await admin.post(f"{hook}/rotate-secret")
        TypeAdapter(answers.Data[webhook_answers.NewWebhookAnswer]).validate_json(rotated.content)
        again = await ask(admin, "POST", "/v1/webhooks/{webhook_id}/redeliver", ids)
        TypeAdapter(answers.Data[webhook_answers.RedeliveryAnswer]).validate_json(again.content)
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
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "strict-transport-security" not in answer.headers
            assert answer.headers["x-request-id"].startswith("cor_")


async def test_browsers_of_other_origins_are_let_in_nowhere(service: Service) -> None:
    document = await description(service)
    paths = [*document["paths"], "/docs", "/openapi.json", "/healthz", "/nothing"]
    asking = {
        "Origin": "https://elsewhere.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    async with service.client() as admin:
        for path in paths:
            for method in ("OPTIONS", "GET", "POST"):
                answer = await admin.request(method, path, headers=asking)
                assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_users_that_come_over_tls_are_kept_to_it(api_database_url: str, redis_url: str) -> None:
    changes = {"public_url": "https://tokenkeep.example"}
    async with open_service(api_database_url, redis_url, **changes) as service, service.client() as admin:
        for path in ("/v1/sources", "/docs", "/nothing"):
            assert (await admin.get(path)).headers["strict-transport-security"] == "max-age=31536000"


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
    assert taking == {
        "/v1/sources",
        "/v1/accounts",
        IMPORT_PATH,
        "/v1/connect/sessions",
        "/v1/webhooks",
        "/v1/webhooks/{webhook_id}/rotate-secret",
        "/v1/api-keys",
        "/oauth1/v1/access_token",
        "/oauth2/v1/access_token",
    }
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


async def test_a_method_that_a_path_does_not_take_is_a_405_that_names_all_that_it_takes(
    service: Service, admin: httpx.AsyncClient
) -> None:
    document = await description(service)
    ids = await things(service)
    for path, taken in document["paths"].items():
        if path == IMPORT_PATH:
            continue  # to other methods it is an account whose id is malformed
        methods = {method.upper() for method in taken}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - methods:
            answer = await admin.request(method, path.format(**ids))
            problem(answer, 405, "method_not_allowed")
            assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == methods, (method, path)
            assert "TRACE" not in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
async def test_what_is_open_answers_head_too_and_takes_no_change(service: Service, path: str) -> None:
    await service.sql("SELECT")  # connected: a probe does not wait for as long as a busy machine may take for that
    async with service.client(None) as nobody:
        head = await nobody.head(path)
        assert (head.status_code, head.content) == (200, b"")
        refused = await nobody.post(path, json={})
        problem(refused, 405, "method_not_allowed")
        assert refused.headers["allow"] == "GET, HEAD"


async def test_every_call_that_a_runbook_names_exists(service: Service) -> None:
    document = await description(service)
    declared = {re.sub(r"\{\w+\}", "ID", path) for path in document["paths"]}
    pages = Path(__file__).parents[3].joinpath("docs", "runbooks").glob("*.md")
    named = {path for page in pages for path in re.findall(r"/v1/[\w/-]+", page.read_text(encoding="utf-8"))}
    assert len(named) > 5
    assert {re.sub(r"\b(?:ACC|SRC|WHK)\b", "ID", path) for path in named} <= declared
