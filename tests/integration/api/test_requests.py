"""Requests that are refused before anybody looks at what they ask for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from structlog.testing import capture_logs

from api_service import ADMIN_KEY, Service, data, open_service, problem
from busy_metrics import samples
from tokenkeep.application.vend_token import StoredToken
from tokenkeep.domain.ids import AccountId
from tokenkeep_api.app import create_app
from tokenkeep_api.listening import Server, bind

OPTION = '{"options": {"token_url": "https://93.184.215.14/token", "refresh_token_ttl_s": %s}}'
OPTION_FIELD = "options.refresh_token_ttl_s"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": canary}',
        b'{"name": "canary", "name": "canary"}',
        b'{"options": {"a": 1, "a": 2}}',
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'{"name": "\\ud800"}',
        b'{"name": "a\\u0000b"}',
        b'{"name": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"name": 1' + b"0" * 100_000 + b"e5}",
        b'{"name": 1e999}',
    ],
)
async def test_a_body_that_two_readers_could_read_differently_is_refused(admin: httpx.AsyncClient, body: bytes) -> None:
    answer = await admin.post("/v1/sources", content=body, headers=JSON)
    problem(answer, 400, "malformed_json")
    assert "canary" not in answer.text
    problem(await admin.post(f"/v1/accounts/acc_{'0' * 32}/token", content=body, headers=JSON), 400, "malformed_json")


@pytest.mark.parametrize("digits", [21, 300, 301, 500_000])
@pytest.mark.parametrize("sign", ["", "-"])
async def test_a_number_that_is_too_long_is_told_by_its_field(
    service: Service, admin: httpx.AsyncClient, digits: int, sign: str
) -> None:
    number = sign + "9" * digits
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    token = f"/v1/accounts/{account_id}/token"
    for method, path, body, field in (
        ("POST", token, '{"min_ttl": %s}', "min_ttl"),
        ("POST", token, '{"wait": %s}', "wait"),
        ("POST", token, '{"force": %s}', "force"),
        ("POST", "/v1/sources", '{"provider": %s, "name": "n", "client_id": "c"}', "provider"),
        ("PUT", f"/v1/accounts/{account_id}/credentials", '{"access_token": "a", "expires_in": %s}', "expires_in"),
        ("PATCH", f"/v1/sources/{(await service.source('https://93.184.215.14/token'))}", OPTION, OPTION_FIELD),
    ):
        answer = await admin.request(method, path, content=body % number, headers=JSON)
        problem(answer, 422, "invalid_input", field)
        assert "99999" not in answer.text


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/xml"])
async def test_a_body_that_is_not_json_is_a_415(admin: httpx.AsyncClient, media_type: str) -> None:
    answer = await admin.post("/v1/sources", content=b"{}", headers={"Content-Type": media_type})
    problem(answer, 415, "unsupported_media_type")


async def test_json_may_say_its_charset(admin: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    problem(await admin.post("/v1/sources", content=b"{}", headers=headers), 422, "invalid_input", "provider")


async def test_a_body_over_a_mebibyte_is_a_413(admin: httpx.AsyncClient) -> None:
    large = b'{"name": "' + b"x" * 1024 * 1024 + b'"}'
    problem(await admin.post("/v1/sources", content=large, headers=JSON), 413, "body_too_large")
    problem(await admin.post("/v1/sources", headers={"Content-Length": "9" * 30, **JSON}), 413, "body_too_large")


@pytest.mark.parametrize("path", ["/v1/sources", f"/v1/accounts/acc_{'0' * 32}/token"])
async def test_a_chunked_body_over_a_mebibyte_is_a_413_too(admin: httpx.AsyncClient, path: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 65_536

    problem(await admin.post(path, content=chunks(), headers=JSON), 413, "body_too_large")


async def test_a_path_that_leads_nowhere_is_a_404(service: Service, admin: httpx.AsyncClient) -> None:
    async with service.client(None) as nobody:
        problem(await nobody.get("/nothing/canary"), 404, "not_found")
    problem(await admin.get("/v1/nothing"), 404, "not_found")
    problem(await admin.get("/v1/sources/"), 404, "not_found")
    problem(await admin.get("/v1/sources/canary"), 422, "malformed_id", "source_id")


@pytest.mark.parametrize("given", ["req-1", "x" * 128])
async def test_a_request_id_is_taken_and_given_back(admin: httpx.AsyncClient, given: str) -> None:
    assert (await admin.get("/v1/sources", headers={"X-Request-Id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\tb"])
async def test_a_request_id_that_cannot_be_is_replaced(admin: httpx.AsyncClient, given: str) -> None:
    answer = await admin.get("/v1/sources", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"].startswith("cor_")


class Broken:
    """A store of tokens that fails as nobody foresaw."""

    async def __call__(self, account_id: AccountId) -> StoredToken | None:
        raise RuntimeError(f"canary: a text that must stay inside, {account_id}")


async def test_what_goes_wrong_here_is_told_by_its_correlation_id_only(service: Service) -> None:
    wired = replace(service.wired, vend=replace(service.wired.vend, tokens=Broken()))
    broken = Service(service.foundation, wired, create_app(wired), service.queue, service.sealer, service.environment)
    with capture_logs() as log:
        async with broken.client() as client:
            answer = await client.post(f"/v1/accounts/acc_{'0' * 32}/token", headers={"X-Request-Id": "r-9"})
    told = problem(answer, 500, "internal_error")
    assert told["correlation_id"] == "r-9"
    assert "canary" not in answer.text
    failed = next(line for line in log if line["event"] == "request_failed")
    assert failed["error"] == "RuntimeError"
    assert failed["where"]
    assert "canary" not in str(log)


async def test_a_database_that_is_away_is_a_503(redis_url: str) -> None:
    async with open_service("postgresql://nobody@127.0.0.1:1/none", redis_url) as service, service.client() as admin:
        calls = [
            admin.get("/v1/sources"),
            admin.post(f"/v1/accounts/acc_{'0' * 32}/token"),
            service.client("tk_some-key").get("/v1/sources"),
        ]
        for answer in await asyncio.gather(*calls):
            told = problem(answer, 503, "temporarily_unavailable")
            assert answer.headers["retry-after"] == str(told["retry_after"])
        assert (await admin.get("/readyz")).status_code == 503


async def test_changes_are_logged_once_and_nothing_of_them_is_quoted(service: Service) -> None:
    body = {"provider": "generic-oauth2", "name": "n", "client_id": "c", "client_secret": "canary-1"}
    with capture_logs() as log:
        async with service.client() as admin:
            await admin.post("/v1/sources?q=canary-2", json=body, headers={"X-Other": "canary-3"})
            await admin.get("/v1/sources")
            await admin.post(f"/v1/accounts/acc_{'0' * 32}/token")
    served = [(line["log_level"], line["method"], line["route"], line["status"]) for line in log]
    assert served == [
        ("info", "POST", "/v1/sources", 422),
        ("debug", "GET", "/v1/sources", 200),
        ("debug", "POST", "/v1/accounts/{account_id}/token", 404),
    ]
    assert {line["caller"] for line in log} == {"admin-key"}
    assert "canary" not in str(log)


@pytest.fixture
async def port(service: Service) -> AsyncIterator[int]:
    """A real server whose bodies have two seconds to arrive."""
    with bind("127.0.0.1", 0) as listener:
        server = Server(create_app(service.wired, body_deadline_s=2))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


def head(service: Service, *lines: str, path: str = "/v1/sources") -> bytes:
    given = [
        f"POST {path} HTTP/1.1",
        "Host: api.test",
        f"Authorization: Bearer {ADMIN_KEY}",
        f"X-Tokenkeep-Environment: {service.environment}",
        "Content-Type: application/json",
        *lines,
    ]
    return "\r\n".join(given).encode() + b"\r\n\r\n"


async def test_requests_are_counted_by_route_and_answer_and_never_by_what_their_paths_name(
    service: Service, admin: httpx.AsyncClient
) -> None:
    for path in ("/v1/accounts", "/v1/accounts/acc_canary", "/canary"):
        await admin.get(path)
    await admin.post("/v1/accounts/acc_canary/token", json={})
    metrics = service.foundation.metrics
    counted = {
        (labels["method"], labels["route"], labels["code"]): count
        for name, labels, count in samples(metrics)
        if name == "tokenkeep_http_requests_total"
    }
    assert counted["GET", "/v1/accounts", "200"] == 1
    assert counted["GET", "/v1/accounts/{account_id}", "422"] == 1
    assert counted["POST", "/v1/accounts/{account_id}/token", "422"] == 1
    assert counted["GET", "other", "404"] == 1
    assert b"canary" not in metrics.render("")[0]


@pytest.mark.parametrize("path", ["/v1/sources", f"/v1/accounts/acc_{'0' * 32}/token"])
async def test_a_body_that_drips_is_a_408_and_the_connection_closed(service: Service, port: int, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(service, "Content-Length: 100", path=path) + b"{")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
    writer.close()


async def test_a_chunked_flood_is_a_413_and_the_connection_closed(service: Service, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(service, "Transfer-Encoding: chunked"))
    for _ in range(17):
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
    answer = await reader.read(65_536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    writer.close()


async def test_the_server_does_not_tell_what_it_is(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/v1/sources", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        assert data(answer) is not None
        assert "server" not in answer.headers
