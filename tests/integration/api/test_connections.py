"""What comes over a connection before, between and instead of requests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import httpx
import orjson
import pytest

from api_service import ADMIN_KEY, Service, data
from tokenkeep_api.app import create_app
from tokenkeep_api.guarded_protocol import ConnectionLimits
from tokenkeep_api.listening import Server, bind

HEAD = b"GET /healthz HTTP/1.1\r\nHost: api.test\r\n"
SHORT = ConnectionLimits(head_deadline_s=2, write_deadline_s=0.5)

Serving = Callable[[ConnectionLimits], AbstractAsyncContextManager[int]]


@pytest.fixture
def serving(service: Service) -> Serving:
    """A real server with these limits, at the port that it gives."""

    @asynccontextmanager
    async def serve(limits: ConnectionLimits) -> AsyncIterator[int]:
        with bind("127.0.0.1", 0) as listener:
            server = Server(create_app(service.wired), limits)
            task = asyncio.create_task(server.serve(sockets=[listener]))
            yield listener.getsockname()[1]
            server.should_exit = True
            await task

    return serve


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        async with asyncio.timeout(20):
            return await self.reader.read()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """One answer with a content-length."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, headers = parsed(head)
            return status, headers, await self.reader.readexactly(int(headers["content-length"]))


class Connecting(Protocol):
    """Connects to a port, and says something at once."""

    async def __call__(self, port: int, *says: bytes) -> Client: ...


@pytest.fixture
async def connect() -> AsyncIterator[Connecting]:
    """Makes connections that are gone with the test."""
    made: list[Client] = []

    async def make(port: int, *says: bytes) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        made.append(client)
        client.writer.writelines(says)
        return client

    yield make
    for client in made:
        client.writer.transport.abort()
        await asyncio.gather(client.writer.wait_closed(), return_exceptions=True)


def parsed(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers


def refusal(raw: bytes, status: int, code: str) -> dict[str, Any]:
    """The problem that a connection's last answer must be."""
    head, _, body = raw.partition(b"\r\n\r\n")
    told, headers = parsed(head)
    assert told == status, raw
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-request-id"].startswith("cor_")
    assert int(headers["content-length"]) == len(body)
    document: dict[str, Any] = orjson.loads(body)
    assert (document["code"], document["status"]) == (code, status)
    assert b"Traceback" not in raw
    return document


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a client that speaks TLS
        b"GET  HTTP/1.1\r\n\r\n",
        b"FETCH /healthz HTTP/1.1\r\n\r\n",
        b"CONNECT api.test:443 HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: api.test\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno colon here\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nbad name: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /healthz HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_problem_and_the_end(serving: Serving, connect: Connecting, raw: bytes) -> None:
    async with serving(ConnectionLimits()) as port:
        client = await connect(port, raw)
        refusal(await client.rest(), 400, "malformed_request")


async def test_a_body_that_breaks_off_its_chunking_is_a_problem_too(serving: Serving, connect: Connecting) -> None:
    head = (
        f"POST /v1/sources HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    async with serving(ConnectionLimits()) as port:
        client = await connect(port, head.encode(), b"nonsense\r\n")
        refusal(await client.rest(), 400, "malformed_request")


async def test_nonsense_after_a_request_does_not_spoil_its_answer(serving: Serving, connect: Connecting) -> None:
    async with serving(ConnectionLimits()) as port:
        client = await connect(port, HEAD + b"\r\n" + b"\x00nonsense\r\n\r\n")
        status, headers, body = await client.answer()
        assert (status, body) == (200, b'{"status":"ok"}')
        assert headers["connection"] == "close"
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (HEAD + b"X: " + b"x" * 40_000 + b"\r\n\r\n", 431, "head_too_large"),
        (HEAD + b"X: y\r\n" * 8_000 + b"\r\n", 431, "head_too_large"),
        (HEAD + b"X: " + b"x" * 5_000_000, 431, "head_too_large"),
        (HEAD + b"x" * 5_000_000, 431, "head_too_large"),
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long"),
        (b"GET /" + b"x" * 5_000_000, 414, "uri_too_long"),
    ],
)
async def test_a_head_that_is_too_long_is_refused_before_it_ends(
    serving: Serving, connect: Connecting, raw: bytes, status: int, code: str
) -> None:
    async with serving(ConnectionLimits()) as port:
        client = await connect(port, raw)
        refusal(await client.rest(), status, code)


async def test_a_large_head_that_is_within_bounds_is_taken(serving: Serving, connect: Connecting) -> None:
    async with serving(ConnectionLimits()) as port:
        client = await connect(port)
        for _ in range(3):
            client.writer.write(HEAD + b"X: " + b"x" * 30_000 + b"\r\n\r\n")
            assert (await client.answer())[0] == 200


async def test_a_body_that_comes_with_its_head_is_no_part_of_it(serving: Serving, connect: Connecting) -> None:
    body = b'{"provider": "' + b"x" * 200_000 + b'"}'
    head = (
        f"POST /v1/sources HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with serving(ConnectionLimits()) as port:
        client = await connect(port, head.encode() + body + HEAD + b"\r\n")
        assert (await client.answer())[0] == 422
        assert (await client.answer())[0] == 200


async def test_a_head_that_drips_has_its_time_and_no_more(serving: Serving, connect: Connecting) -> None:
    async with serving(SHORT) as port:
        client = await connect(port, HEAD)
        refusal(await client.rest(), 408, "request_timeout")
        used = await connect(port, HEAD + b"\r\n")
        assert (await used.answer())[0] == 200
        used.writer.write(b"GET /hea")
        refusal(await used.rest(), 408, "request_timeout")


async def test_a_connection_that_says_nothing_is_closed_without_a_word(serving: Serving, connect: Connecting) -> None:
    async with serving(SHORT) as port:
        assert await (await connect(port)).rest() == b""


async def test_a_body_that_nobody_wants_holds_no_connection(serving: Serving, connect: Connecting) -> None:
    async with serving(SHORT) as port:
        head = b"POST /v1/sources HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        client = await connect(port, head)
        assert (await client.answer())[0] == 401
        assert await client.rest() == b""


async def test_an_answer_that_nobody_reads_is_given_up(serving: Serving, connect: Connecting) -> None:
    ask = f"GET /v1/providers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n".encode()
    async with serving(SHORT) as port:
        client = await connect(port)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it
        client.writer.writelines([ask] * 20)
        async with asyncio.timeout(20):
            while not client.writer.is_closing():
                client.writer.write(b"\r\n")
                await asyncio.sleep(0.05)


async def test_an_upgrade_to_something_else_is_not_taken_up(serving: Serving, connect: Connecting) -> None:
    upgrade = (
        b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n"
    )
    async with serving(ConnectionLimits()) as port:
        client = await connect(port, HEAD + upgrade)
        assert (await client.answer())[0] == 200


async def crowd(port: int, account_id: str, connect: Connecting) -> list[Client]:
    """Three hundred clients that hold on to their connections, each in its own way."""
    nothing = [connect(port) for _ in range(75)]
    heads = [connect(port, HEAD) for _ in range(75)]
    bodies = [
        connect(
            port,
            f"POST /v1/accounts/{account_id}/token HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode(),
        )
        for _ in range(75)
    ]
    unwanted = [
        connect(port, b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
        for _ in range(75)
    ]
    return await asyncio.gather(*nothing, *heads, *bodies, *unwanted)


@pytest.mark.parametrize("most", [4_096, 200])
async def test_hundreds_of_slow_clients_do_not_keep_others_from_their_tokens(
    service: Service, serving: Serving, connect: Connecting, most: int
) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "X-Tokenkeep-Environment": service.environment}
    async with serving(ConnectionLimits(connections=most)) as port:
        slow = await crowd(port, account_id, connect)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            answers = await asyncio.gather(*[client.post(f"/v1/accounts/{account_id}/token") for _ in range(50)])
            assert {data(answer)["access_token"] for answer in answers} == {"access-grant.1"}
        for one in slow:
            one.writer.transport.abort()


async def test_who_comes_when_all_are_at_work_is_told_to_come_again(
    service: Service, serving: Serving, connect: Connecting
) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    head = (
        f"POST /v1/accounts/{account_id}/token HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
        f"X-Tokenkeep-Environment: {service.environment}\r\nContent-Type: application/json\r\n"
        "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    ).encode()
    async with serving(ConnectionLimits(connections=3)) as port:
        working = [await connect(port, head) for _ in range(3)]
        for one in working:  # asked to go on, so the application is at work on it
            assert await one.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        late = await connect(port, HEAD + b"\r\n")
        told = refusal(await late.rest(), 503, "too_many_connections")
        assert told["retry_after"] == 1
        for one in working:
            one.writer.write(b"{}")
            assert (await one.answer())[0] == 200
        assert (await (await connect(port, HEAD + b"\r\n")).answer())[0] == 200
