"""Plain requests for tokens are answered before the application is asked, just as it would; all others reach it untouched."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from api_service import Service, data, open_service, problem
from token_server import TokenServer
from tokenkeep_api.app import create_app, fast_path
from tokenkeep_api.fast_path import TokenFastPath
from tokenkeep_api.listening import Server, bind

PAST = "2020-01-01T00:00:00Z"
SEALED = "UPDATE credentials SET access_ciphertext = '\\x0102' WHERE account_id = CAST(:id AS uuid)"
REPORTED = "UPDATE credentials SET rejected_generation = generation WHERE account_id = CAST(:id AS uuid)"
# Each answer has its own.
PATIENT = {"late_s": 30.0}
VARYING = {"x-request-id", "ratelimit", "date"}


@dataclass
class Watched:
    """The application, and the paths that reached it."""

    app: ASGIApp
    paths: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        await self.app(scope, receive, send)


@dataclass
class Place:
    """A served API with one account whose token is good, a key that was recognised before, and a client with it."""

    service: Service
    app: Watched
    server: Server
    fast_path: TokenFastPath
    port: int
    account_id: str
    key: str
    client: httpx.AsyncClient

    @property
    def path(self) -> str:
        return f"/v1/accounts/{self.account_id}/token"

    async def ask(self, path: str | None = None, **given: Any) -> httpx.Response:
        return await self.client.post(path or self.path, **given)

    async def reached(self, act: Callable[[], Any]) -> tuple[httpx.Response, int]:
        """An answer, and how many requests the application had to serve for it."""
        before = len(self.app.paths)
        return await act(), len(self.app.paths) - before


@asynccontextmanager
async def open_place(
    service: Service, server: TokenServer, *, warm: bool = True, times: dict[str, float] | None = None
) -> AsyncIterator[Place]:
    account_id = await service.account(await service.source(server.url))
    key = await service.key("credentials:read")
    app = Watched(create_app(service.wired))
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        fast = fast_path(service.wired, **(times or PATIENT))
        assert fast is not None
        uvicorn = Server(app, fast_path=fast)
        serving = asyncio.create_task(uvicorn.serve(sockets=[listener]))
        headers = {"Authorization": f"Bearer {key}"}
        base_url = f"http://127.0.0.1:{port}"
        try:
            async with httpx.AsyncClient(base_url=base_url, headers=headers, trust_env=False, timeout=30) as client:
                place = Place(service, app, uvicorn, fast, port, account_id, key, client)
                if warm:
                    data(await place.ask())
                yield place
        finally:
            uvicorn.should_exit = True
            async with asyncio.timeout(20):
                await serving


@pytest.fixture
async def place(service: Service, server: TokenServer) -> AsyncIterator[Place]:
    async with open_place(service, server) as opened:
        yield opened


def told(answer: httpx.Response) -> dict[str, str]:
    """The headers that do not differ from answer to answer."""
    return {name: value for name, value in answer.headers.items() if name not in VARYING}


async def reads(service: Service, account_id: str) -> int:
    """How many reads of its token the trail has."""
    await service.flush()
    rows = await service.sql(
        "SELECT coalesce(sum(count), 0) AS reads FROM audit_log"
        " WHERE action = 'token.vend' AND target = :target AND result = 'ok'",
        target=account_id,
    )
    return int(rows[0]["reads"])


@pytest.mark.parametrize("given", [{}, {"content": b""}, {"headers": {"X-Request-Id": "mine"}}])
async def test_a_plain_request_is_answered_as_the_application_would(place: Place, given: dict[str, Any]) -> None:
    fast, served = await place.reached(lambda: place.ask(**given))
    assert served == 0
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(place.app), base_url="http://api.test", headers=place.client.headers
    ) as client:
        slow, served = await place.reached(lambda: client.post(place.path, **given))
    assert served == 1
    assert (fast.status_code, fast.json()) == (slow.status_code, slow.json())
    assert {**told(fast), "date": ""} == {**told(slow), "date": ""}
    wanted = given.get("headers", {}).get("X-Request-Id")
    assert (fast.headers["x-request-id"] == wanted) if wanted else fast.headers["x-request-id"].startswith("cor_")
    assert fast.headers["ratelimit"].partition(";")[0] == slow.headers["ratelimit"].partition(";")[0]


async def test_the_first_request_of_a_key_is_for_the_application(service: Service, server: TokenServer) -> None:
    async with open_place(service, server, warm=False) as place:
        first, served = await place.reached(place.ask)
        assert (first.status_code, served) == (200, 1)
        second, served = await place.reached(place.ask)
        assert (second.json(), served) == (first.json(), 0)


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"json": {"min_ttl": 30}}, 200, None),
        ({"json": {"ttl": 1}}, 422, "invalid_input"),
        ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "malformed_json"),
        ({"params": {"force": "1"}}, 422, "invalid_input"),
        ({"headers": {"Authorization": "Bearer tk_no-such-key"}}, 401, "not_authenticated"),
        ({"headers": {"Authorization": "Basic dGs6"}}, 401, "not_authenticated"),
        ({"headers": {"X-Tokenkeep-Environment": "another"}}, 422, "invalid_input"),
    ],
)
async def test_what_is_not_plain_is_for_the_application(
    place: Place, given: dict[str, Any], status: int, code: str | None
) -> None:
    answer, served = await place.reached(lambda: place.ask(**given))
    assert (answer.status_code, served) == (status, 1)
    if code is not None:
        assert answer.json()["code"] == code


async def test_accounts_of_others_and_none_at_all_are_not_found(place: Place) -> None:
    service = place.service
    other = await service.key("credentials:read", environment=f"{service.environment}-b")
    headers = {"Authorization": f"Bearer {other}"}
    for _ in range(2):
        answer, served = await place.reached(lambda: place.ask(headers=headers))
        problem(answer, 404, "not_found")
        assert served == 1
    for path in ("/v1/accounts/acc_00000000000000000000000000000000/token", "/v1/accounts/acc_1/token"):
        answer, served = await place.reached(partial(place.ask, path))
        assert (answer.status_code, served) == (404 if len(path) > 40 else 422, 1)


async def test_a_key_without_the_scope_is_refused(place: Place) -> None:
    headers = {"Authorization": f"Bearer {await place.service.key('accounts:read')}"}
    for _ in range(2):
        answer, served = await place.reached(lambda: place.ask(headers=headers))
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
        assert served == 1


async def test_a_key_that_is_withdrawn_and_an_account_that_is_disabled_count_at_once(place: Place) -> None:
    async with place.service.client() as admin:
        data(await admin.post(f"/v1/accounts/{place.account_id}/disable"))
        problem(await place.ask(), 409, "account_disabled")
        data(await admin.post(f"/v1/accounts/{place.account_id}/enable"))
        assert (await place.reached(place.ask))[1] == 0
        keys = (await admin.get("/v1/api-keys")).json()["data"]
        [key] = [one for one in keys if one["scopes"] == ["credentials:read"]]
        assert (await admin.delete(f"/v1/api-keys/{key['id']}")).is_success
    problem(await place.ask(), 401, "not_authenticated")


async def test_a_token_that_ends_soon_or_is_reported_is_refreshed_and_one_that_does_not_open_is_told(
    place: Place, server: TokenServer
) -> None:
    account = {"id": place.account_id.removeprefix("acc_")}
    await place.service.sql(REPORTED, **account)
    answer, served = await place.reached(place.ask)
    assert (data(answer)["access_token"], served) == ("access-grant.2", 1)
    again, served = await place.reached(place.ask)
    assert (data(again)["access_token"], served) == ("access-grant.2", 0)
    assert server.presented == ["grant.1"]
    await place.service.sql(SEALED, **account)
    answer, served = await place.reached(place.ask)
    problem(answer, 500, "internal_error")
    assert served == 1


async def test_every_read_is_in_the_trail_and_in_the_figures_and_its_key_was_used(place: Place) -> None:
    await asyncio.gather(*(place.ask() for _ in range(50)))
    assert await reads(place.service, place.account_id) == 51
    rows = await place.service.sql(
        "SELECT last_used_at FROM api_keys WHERE environment = :e", e=place.service.environment
    )
    assert rows[0]["last_used_at"] is not None
    [address] = await place.service.sql(
        "SELECT DISTINCT address FROM audit_log WHERE action = 'token.vend' AND target = :t", t=place.account_id
    )
    assert address["address"] == "127.0.0.1"


async def test_a_key_has_no_more_requests_than_its_limit_whichever_way_they_go(
    api_database_url: str, redis_url: str, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_service(api_database_url, redis_url, rate_limit_per_s=1, rate_limit_burst=10) as service:
        monkeypatch.setattr(service.wired.limits, "_clock", lambda: 4711.0)
        async with open_place(service, server) as place:
            for seconds in range(4):
                answer, served = await place.reached(partial(place.ask, json={"min_ttl": seconds}))
                assert (answer.status_code, served) == (200, 1)
            answers = [await place.ask() for _ in range(8)]
            assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
            assert answers[4].headers["ratelimit"] == '"key";r=0;t=10'
            problem(answers[-1], 429, "rate_limited")
            assert "retry-after" in answers[-1].headers


async def said_to(port: int, *pieces: bytes) -> bytes:
    """Everything that comes back over one connection until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    return said


def request(place: Place, *headers: str, version: str = "1.1", path: str | None = None) -> bytes:
    lines = [f"POST {path or place.path} HTTP/{version}", "Host: api", f"Authorization: Bearer {place.key}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_requests_in_one_piece_are_answered_in_their_order(place: Place) -> None:
    before = len(place.app.paths)
    said = await said_to(
        place.port,
        request(place, "X-Request-Id: a")
        + request(place, "X-Request-Id: b", path="/v1/accounts/acc_1/token")
        + request(place, "X-Request-Id: c")
        + request(place, "X-Request-Id: d", "Connection: close"),
    )
    ids = [line.split(b": ")[1] for line in said.split(b"\r\n") if line.startswith(b"x-request-id")]
    assert ids == [b"a", b"b", b"c", b"d"]
    assert said.count(b"HTTP/1.1 200 OK") == 3
    assert len(place.app.paths) - before == 1
    assert said.lower().count(b"connection: close") == 1


async def test_an_old_client_is_answered_and_its_connection_closed(place: Place) -> None:
    said = await said_to(place.port, request(place, version="1.0"))
    assert said.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close\r\n" in said
    assert b"access-grant.1" in said


async def test_an_empty_wish_that_comes_with_its_head_is_plain(place: Place) -> None:
    before = len(place.app.paths)
    head = request(place, "Content-Type: application/json", "Content-Length: 2", "Connection: close")
    assert b"access-grant.1" in await said_to(place.port, head + b"{}")
    assert len(place.app.paths) == before


async def test_a_body_that_is_still_on_its_way_is_waited_for_by_the_application(place: Place) -> None:
    before = len(place.app.paths)
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(request(place, "Content-Type: application/json", "Content-Length: 2", "Connection: close"))
    await writer.drain()
    async with asyncio.timeout(20):
        while len(place.app.paths) == before:  # noqa: ASYNC110 - the server is in this loop
            await asyncio.sleep(0.01)
        writer.write(b"{}")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_where_rows_cannot_be_read_the_application_is_asked(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unread(_: Sequence[object]) -> Any:
        raise OSError("away")

    fast: Any = place.fast_path
    monkeypatch.setattr(fast, "_vending", replace(fast._vending, tokens=unread))
    for _ in range(2):
        answer, served = await place.reached(place.ask)
        assert (data(answer)["access_token"], served) == ("access-grant.1", 1)
    monkeypatch.undo()
    assert (await place.reached(place.ask))[1] == 0
    assert await reads(place.service, place.account_id) == 4


async def test_a_read_that_is_late_is_given_up_and_for_a_while_the_application_has_all_requests(
    service: Service, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    async def late(account_ids: Sequence[object]) -> Any:
        begun.append(len(account_ids))
        await asyncio.Event().wait()

    async with open_place(service, server, times={"late_s": 0.01, "rest_s": 3600.0}) as place:
        fast: Any = place.fast_path
        monkeypatch.setattr(fast, "_vending", replace(fast._vending, tokens=late))
        for _ in range(3):
            answer, served = await place.reached(place.ask)
            assert (data(answer)["access_token"], served) == ("access-grant.1", 1)
        assert begun == [1]
        assert await reads(service, place.account_id) == 4


async def test_a_client_that_leaves_harms_nobody_and_who_asks_at_the_end_is_answered(place: Place) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(request(place))
    writer.transport.abort()
    asked = [asyncio.create_task(said_to(place.port, request(place))) for _ in range(20)]
    async with asyncio.timeout(20):
        while not place.server.server_state.connections:  # noqa: ASYNC110 - the server is in this loop
            await asyncio.sleep(0)
    answers = await asyncio.gather(*(place.ask() for _ in range(20)))
    place.server.should_exit = True
    assert all(answer.status_code == 200 for answer in answers)
    assert all(b"access-grant.1" in said for said in await asyncio.gather(*asked))


async def test_where_each_request_is_to_be_seen_there_is_none(api_database_url: str, redis_url: str) -> None:
    async with open_service(api_database_url, redis_url, log_level="debug") as service:
        assert fast_path(service.wired) is None


async def test_once_the_server_is_to_end_an_answer_is_its_connections_last(place: Place) -> None:
    place.server.announce_end()

    answer, reached = await place.reached(place.ask)

    assert (answer.status_code, answer.headers["connection"], reached) == (200, "close", 0)
