"""The API against its own description, with data that fits it and data that does not (schemathesis)."""

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, SerializationContext
from schemathesis.checks import CheckContext
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api_process import api_process
from api_service import ADMIN_KEY, open_service
from walking import HOOK_URL

EXAMPLES = 25
SOURCE_HEADER = "X-Tokenkeep-Source"
STREAM = "/v1/events/stream"

AnyCase = Case[Any]
AnyOperation = APIOperation[Any, Any, Any, Any]


def no_fault_of_the_api(_: CheckContext, response: Response, case: AnyCase) -> None:
    """Nobody refreshes here, so a token that would have to be refreshed can't be had. Nothing else is out of order."""
    if response.status_code >= 500:
        assert response.json()["code"] == "token_unavailable", (case.as_curl_command(), response.text)


CHECKS = [
    no_fault_of_the_api,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@schemathesis.serializer("application/x-ndjson")
def one_line(_: SerializationContext, value: object) -> bytes:
    """An import of one account."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


class Refusing(BaseHTTPRequestHandler):
    """A token endpoint that knows no code."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"error": "invalid_grant"}'
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def token_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()


def things(api: httpx.Client, token_url: str) -> dict[str, str]:
    """One of each thing that a path can name. The source is paused, so that nobody waits for a refresh that never comes."""
    source = {
        "provider": "generic-oauth2",
        "name": "n",
        "client_id": "c",
        "options": {"token_url": token_url, "authorization_url": token_url},
    }
    source_id = api.post("/v1/sources", json=source).json()["data"]["id"]
    tokens = {"access_token": "a", "refresh_token": uuid4().hex, "expires_in": 3600}
    account = {"source_id": source_id, "credentials": tokens}
    account_id = api.post("/v1/accounts", json=account).json()["data"]["id"]
    api.post(f"/v1/sources/{source_id}/pause").raise_for_status()
    environment = api.headers["X-Tokenkeep-Environment"]
    key = {"name": "k", "environment": environment, "scopes": ["audit:read"]}
    key_id = api.post("/v1/api-keys", json=key).json()["data"]["id"]
    session_id = api.post("/v1/connect/sessions", json={"source_id": source_id}).json()["data"]["id"]
    for former in api.get("/v1/webhooks", params={"limit": 200}).json()["data"]:  # an environment has a hundred at most
        api.delete(f"/v1/webhooks/{former['id']}").raise_for_status()
    webhook_id = api.post("/v1/webhooks", json={"url": HOOK_URL}).json()["data"]["id"]
    ids = {"source_id": source_id, "account_id": account_id, "key_id": key_id, "session_id": session_id}
    return {**ids, "webhook_id": webhook_id, "slug": "quickbooks"}


def operations(api: httpx.Client) -> list[AnyOperation]:
    schema = schemathesis.openapi.from_dict(api.get("/openapi.json").json())
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
async def test_every_answer_is_one_that_is_described(
    api_database_url: str, redis_url: str, tmp_path: Path, token_url: str, mode: GenerationMode
) -> None:
    # Nobody is limited, for schemathesis is in a hurry.
    async with (
        open_service(api_database_url, redis_url, rate_limit_per_s=0) as service,
        api_process(service, tmp_path) as process,
    ):
        headers = {"Authorization": f"Bearer {ADMIN_KEY}", "X-Tokenkeep-Environment": service.environment}
        with httpx.Client(base_url=process.url, headers=headers, timeout=40) as api:
            assert await asyncio.to_thread(walk, api, token_url, mode) >= 20


def walk(api: httpx.Client, token_url: str, mode: GenerationMode) -> int:
    """How many operations were asked."""
    return sum(ask(api, operation, mode, things(api, token_url)) for operation in operations(api))


def ask(api: httpx.Client, operation: AnyOperation, mode: GenerationMode, ids: dict[str, str]) -> bool:
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return False  # there is nothing that could be wrong
    if operation.path == STREAM and mode is GenerationMode.NEGATIVE:
        return False  # whatever of it were taken would not end

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def answers(case: AnyCase, real: bool) -> None:  # noqa: FBT001 - hypothesis gives it by name
        named: dict[str, Any] = {name: ids[name] for name in case.path_parameters or {} if name in ids}
        if real:
            case.path_parameters = named
            if SOURCE_HEADER in (case.headers or {}):
                case.headers[SOURCE_HEADER] = ids["source_id"]
        if isinstance(waits := case.query.get("wait"), int):
            case.query["wait"] = min(waits, 1)
        if operation.path == STREAM:
            look_at_stream(api, operation, case)
            return
        case.call_and_validate(base_url=str(api.base_url), headers=dict(api.headers), checks=CHECKS)

    answers()
    return True


def look_at_stream(api: httpx.Client, operation: AnyOperation, case: AnyCase) -> None:
    """A stream's answer up to where the stream begins."""
    given = {name: value for name, value in case.headers.items() if name == "Last-Event-ID"}
    with api.stream("GET", STREAM, params=case.query, headers=given) as answer:
        described = operation.definition.raw["responses"]
        assert str(answer.status_code) in described
        kind, *_ = described["200"]["content"]
        assert answer.headers["content-type"].startswith(kind if answer.is_success else "application/problem+json")
