"""A walk over all calls of the API, as its own description has them."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from api_service import Service, data
from incoming import an_incoming

IMPORT_PATH = "/v1/accounts/import"
TOKEN_URL = "https://93.184.215.14/token"
HOOK_URL = "http://127.0.0.1:9/hook"  # where nobody listens
CALLBACK = "https://app.example/callback"
SOURCED = {
    "/oauth1/v1/authorize": "oauth1_id",
    "/oauth1/v1/access_token": "oauth1_id",
    "/oauth2/v1/authorize": "connectable_id",
    "/oauth2/v1/access_token": "connectable_id",
}
"""Calls whose source a header names, and which of the things that is."""
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
    "/v1/accounts/{account_id}/credentials": {"access_token": "x", "refresh_token": "walked", "expires_in": 3600},
    "/oauth1/v1/authorize": {"callback_uri": f"{CALLBACK}?state=s"},
    "/oauth1/v1/access_token": {
        "fields": {"access_token": "t", "access_secret": "s", "callback_uri": f"{CALLBACK}?state=s"},
        "oauth_verifier": "v",
    },
    "/oauth2/v1/authorize": {"callback_uri": CALLBACK, "state": "s"},
    "/oauth2/v1/access_token": {"fields": {"callback_uri": CALLBACK}, "code": "c"},
    "/v1/webhooks": {"url": HOOK_URL, "types": ["webhook.enabled"]},
    "/v1/webhooks/{webhook_id}": {"description": "d"},
    "/v1/webhooks/{webhook_id}/redeliver": {"since": "2030-01-01T00:00:00Z"},
    "/v1/accounts/{account_id}/sign": {"method": "GET", "url": "https://api.test/"},
}


OAUTH1_SOURCE = {
    "provider": "generic-oauth1",
    "name": "n",
    "client_id": "c",
    "client_secret": "s",
    "options": dict.fromkeys(("request_token_url", "authorization_url", "access_token_url"), TOKEN_URL),
}


async def description(service: Service) -> dict[str, Any]:
    async with service.client(None) as client:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """All that take an API key; what providers call takes none."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation["security"]:
                yield method.upper(), path, operation


async def things(service: Service) -> dict[str, str]:
    """One of each thing that a path can name, in the service's environment."""
    source_id = await service.source(TOKEN_URL)
    account_id = await service.account(source_id)
    key = {"name": "k", "environment": service.environment, "scopes": ["audit:read"]}
    async with service.client() as admin:
        key_id = data(await admin.post("/v1/api-keys", json=key), 201)["id"]
        connectable = await service.source(TOKEN_URL, authorization_url="https://93.184.215.14/authorize")
        oauth1_id = data(await admin.post("/v1/sources", json=OAUTH1_SOURCE), 201)["id"]
        session = data(await admin.post("/v1/connect/sessions", json={"source_id": connectable}), 201)
        webhook_id = data(await admin.post("/v1/webhooks", json=BODIES["/v1/webhooks"]), 201)["id"]
    return {
        "source_id": source_id,
        "account_id": account_id,
        "key_id": key_id,
        "session_id": session["id"],
        "webhook_id": webhook_id,
        "connectable_id": connectable,
        "oauth1_id": oauth1_id,
        "environment": service.environment,
        "slug": "quickbooks",
    }


def body_for(path: str, ids: dict[str, str]) -> Any:
    if path == "/v1/accounts":
        return {"source_id": ids["source_id"]}
    if path == "/v1/connect/sessions":
        return {"source_id": ids["connectable_id"]}
    if path == "/v1/events":
        return an_incoming("refresh_requested", ids["account_id"])
    if path == "/v1/api-keys":
        return {"name": "k", "environment": ids["environment"], "scopes": ["audit:read"]}
    return BODIES.get(path)


async def ask(
    client: httpx.AsyncClient, method: str, path: str, ids: dict[str, str], **parameters: str
) -> httpx.Response:
    """A call that fits the route's description, but for parameters that are added to its query."""
    url = path.format(**ids)
    if path == IMPORT_PATH:
        line = json.dumps({"source_id": ids["source_id"]})
        headers = {"Content-Type": "application/x-ndjson"}
        return await client.post(url, content=f"{line}\n", headers=headers, params=parameters)
    named = {"X-Tokenkeep-Source": ids[SOURCED[path]]} if path in SOURCED else None
    body = body_for(path, ids) if method in WRITING else None
    return await client.request(method, url, json=body, params=parameters, headers=named)
