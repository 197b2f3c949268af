"""What one exchange makes of what servers do, over real sockets."""

import asyncio
import gzip
import socket
import threading
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from raw_http import Peer, RawServer, Script, answering, closing_after, http
from tokenkeep.adapters.token_endpoint import AddressPolicy, ConnectionPool, boottime
from tokenkeep.adapters.token_endpoint.deadlines import MOMENT_S
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest

Ask = Callable[..., Awaitable[Answer | NoAnswer]]
BODY = b'{"access_token": "canary-at"}'


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + pieces + end


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(http(BODY), id="content-length"),
        pytest.param(chunked(BODY[:5], BODY[5:]), id="chunked"),
        pytest.param(chunked(BODY, end=b"0\r\nx-trailer: 1\r\n\r\n"), id="trailers"),
        pytest.param(http(gzip.compress(BODY), "content-encoding: gzip"), id="gzip"),
        pytest.param(http(zlib.compress(BODY), "Content-Encoding: deflate"), id="deflate"),
        pytest.param(http(raw_deflate(BODY), "content-encoding: deflate"), id="bare deflate"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 3 + http(BODY), id="informational ones first"),
    ],
)
async def test_a_complete_answer_is_read_and_the_connection_kept(answer: bytes, ask: Ask) -> None:
    async with RawServer(answering(answer, answer)) as server:
        for _ in range(2):
            outcome = await ask(server.url())
            assert isinstance(outcome, Answer)
            assert (outcome.status, outcome.body) == (200, BODY)
            assert "link" not in outcome.headers
        assert server.connections == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
async def test_a_body_that_ends_with_the_connection_is_complete(head: bytes, ask: Ask) -> None:
    async with RawServer(closing_after(head + BODY)) as server:
        outcome = await ask(server.url())
        assert isinstance(outcome, Answer)
        assert outcome.body == BODY


async def test_an_answer_that_comes_byte_by_byte_is_read(ask: Ask) -> None:
    async def drip(peer: Peer) -> None:
        await peer.request()
        for byte in http(BODY, "set-cookie: a", "Set-Cookie: b"):
            await peer.say(bytes([byte]))
            await asyncio.sleep(0)
        await peer.gone()

    async with RawServer(drip) as server:
        outcome = await ask(server.url())
        assert isinstance(outcome, Answer)
        assert outcome.body == BODY
        assert outcome.headers["set-cookie"] == "a, b"


async def test_the_request_is_written_whole_and_asks_for_no_compression(ask: Ask) -> None:
    async with RawServer(answering(http(BODY))) as server:
        await ask(server.url() + "?realm=x", headers={"content-type": "a/b", "accept-encoding": "br"})
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        assert head.split(b"\r\n") == [
            b"POST /token?realm=x HTTP/1.1",
            f"host: 127.0.0.1:{server.port}".encode(),
            b"accept-encoding: identity",
            b"content-type: a/b",
            b"content-length: 25",
        ]
        assert body == b"refresh_token=canary-7c1e"


async def test_a_secret_query_is_sent_once_and_stays_out_of_every_memory_of_the_pool(pool: ConnectionPool) -> None:
    answer = http(b"", "location: /elsewhere", status="302 Go")
    async with RawServer(answering(answer)) as server:
        loop = asyncio.get_running_loop()
        request = TokenRequest(server.url(), {}, Secret(""), "GET", query=Secret("refresh_token=canary-7c1e"))
        connection = await pool.acquire(request.url, reuse_window_s=5, deadline=loop.time() + 5)
        outcome = await connection.exchange(request, deadline=loop.time() + 5, send_before=boottime() + 2)
        pool.release(connection)
        assert isinstance(outcome, Answer)
        assert outcome.status == 302
        [sent] = server.requests
        assert sent.startswith(b"GET /token?refresh_token=canary-7c1e HTTP/1.1\r\n")
        assert sent.endswith(b"\r\n\r\n")
        assert b"content-length" not in sent
        assert "canary" not in repr((request, connection, outcome, pool._origins, pool._idle))


async def test_a_redirect_is_an_answer_and_is_not_followed(ask: Ask) -> None:
    async with RawServer(answering(http(b"", "location: /elsewhere", status="307 Go"))) as server:
        outcome = await ask(server.url())
        assert isinstance(outcome, Answer)
        assert outcome.status == 307
        assert len(server.requests) == 1


async def reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def reset_in_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.say(http(BODY)[:-3])
    peer.reset()


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("script", "reasons"),
    [
        pytest.param(closing_after(b""), {FailureReason.NETWORK_ERROR}, id="closed without an answer"),
        pytest.param(reset, {FailureReason.NETWORK_ERROR}, id="reset"),
        pytest.param(
            reset_in_the_body, {FailureReason.NETWORK_ERROR, FailureReason.MALFORMED_RESPONSE}, id="reset in the body"
        ),
        *(
            pytest.param(closing_after(answer), {FailureReason.MALFORMED_RESPONSE}, id=name)
            for name, answer in {
                "cut in the head": HEAD + b"content-le",
                "cut in the body": http(BODY)[:-1],
                "cut in a chunk": chunked(BODY)[:-9],
                "cut before the last chunk": chunked(BODY, end=b""),
                "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
                "two lengths": HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxx",
                "length and chunks": HEAD
                + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
                "an odd transfer encoding": HEAD + b"transfer-encoding: gzip\r\n\r\nxx",
                "an upgrade": b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
                "101 alone": b"HTTP/1.1 101 Switching\r\n\r\n" + http(BODY),
                "a header block too large": HEAD + b"".join(b"x-%d: %s\r\n" % (i, b"y" * 4000) for i in range(20)),
                "a header line too large": HEAD + b"x: " + b"y" * 70_000,
                "endless informational answers": b"HTTP/1.1 103 Hints\r\nlink: aaaaaaaaaaaa\r\n\r\n" * 5000,
                "10 MB": http(bytes(10_000_000)),
                "10 MB in chunks": chunked(*[bytes(100_000)] * 100),
                "10 MB until the end": HEAD + b"connection: close\r\n\r\n" + bytes(10_000_000),
                "endless framing": chunked(
                    *[b"x"] * 10, end=b"0\r\n" + b"".join([b"t: %s\r\n" % (b"v" * 90)] * 99_000)
                ),
                "a gzip bomb": http(gzip.compress(bytes(50_000_000)), "content-encoding: gzip"),
                "a cut gzip": http(gzip.compress(BODY)[:-4], "content-encoding: gzip"),
                "gzip that is none": http(BODY, "content-encoding: gzip"),
                "gzip with a tail": http(gzip.compress(BODY) + b"x", "content-encoding: gzip"),
                "an unknown encoding": http(BODY, "content-encoding: br"),
            }.items()
        ),
    ],
)
async def test_without_a_complete_answer_the_request_may_have_been_sent(
    script: Script, reasons: set[FailureReason], ask: Ask
) -> None:
    async with RawServer(script) as server:
        outcome = await ask(server.url())
        assert isinstance(outcome, NoAnswer)
        assert outcome.maybe_sent
        assert outcome.reason in reasons
        assert "canary" not in repr(outcome)
        assert len(server.requests) == 1


async def test_silence_ends_at_the_deadline_and_closes_the_connection(ask: Ask) -> None:
    left = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.request()
        await peer.gone()
        left.set()

    async with RawServer(silent) as server:
        outcome = await ask(server.url(), within_s=0.2)
        assert outcome == NoAnswer(FailureReason.TIMEOUT, maybe_sent=True, detail="no complete answer in time")
        await asyncio.wait_for(left.wait(), 5)


async def test_a_drip_without_end_ends_at_the_deadline(ask: Ask) -> None:
    async def drip(peer: Peer) -> None:
        await peer.request()
        await peer.say(HEAD)
        while True:
            await peer.say(b"x")
            await asyncio.sleep(0)

    async with RawServer(drip) as server:
        outcome = await ask(server.url(), within_s=0.2)
        assert isinstance(outcome, NoAnswer)
        assert outcome.maybe_sent


async def test_nothing_is_written_when_the_mark_has_grown_old(pool: ConnectionPool) -> None:
    async with RawServer(answering(http(BODY))) as server:
        loop = asyncio.get_running_loop()
        request = TokenRequest(server.url(), {}, Secret("x"))
        connection = await pool.acquire(server.url(), reuse_window_s=5, deadline=loop.time() + 5)
        late = await connection.exchange(request, deadline=loop.time() + 5, send_before=boottime() - 0.001)
        assert late == NoAnswer(FailureReason.INTERNAL_ERROR, maybe_sent=False, detail="too late to send")
        in_time = await connection.exchange(request, deadline=loop.time() + 5, send_before=boottime() + 2)
        assert isinstance(in_time, Answer)
        assert len(server.requests) == 1
        pool.release(connection)


async def test_nothing_is_written_after_the_deadline(pool: ConnectionPool) -> None:
    async with RawServer(answering(http(BODY))) as server:
        loop = asyncio.get_running_loop()
        connection = await pool.acquire(server.url(), reuse_window_s=5, deadline=loop.time() + 5)
        request = TokenRequest(server.url(), {}, Secret("x"))
        late = await connection.exchange(request, deadline=loop.time(), send_before=boottime() + 2)
        assert late == NoAnswer(FailureReason.INTERNAL_ERROR, maybe_sent=False, detail="too late to send")
        pool.release(connection)
        await connection.wait_closed()


async def test_a_closing_between_acquire_and_exchange_leaves_nothing_sent(pool: ConnectionPool) -> None:
    may_close = asyncio.Event()
    has_closed = asyncio.Event()

    async def close_when_told(peer: Peer) -> None:
        await may_close.wait()
        await peer.cut()
        has_closed.set()

    async with RawServer(close_when_told) as server:
        loop = asyncio.get_running_loop()
        connection = await pool.acquire(server.url(), reuse_window_s=5, deadline=loop.time() + 5)
        may_close.set()
        await has_closed.wait()
        outcome = await connection.exchange(
            TokenRequest(server.url(), {}, Secret("x")), deadline=loop.time() + 5, send_before=boottime() + 2
        )
        pool.release(connection)
        assert isinstance(outcome, NoAnswer)
        assert (outcome.maybe_sent, outcome.reason) == (False, FailureReason.NETWORK_ERROR)


@pytest.mark.parametrize(
    ("url", "headers", "method"),
    [
        ("/token", {"x-a": "1\r\nhost: evil"}, "POST"),
        ("/token", {"x-a\r\nb": "1"}, "POST"),
        ("/token", {"x-a": "1\n"}, "POST"),
        ("/token", {"x-a": "\x00"}, "POST"),
        ("/token", {"X-A": "1"}, "POST"),
        ("/token", {"content-length": "0"}, "POST"),
        ("/token", {"transfer-encoding": "chunked"}, "POST"),
        ("/token HTTP/1.1\r\nx: y", {}, "POST"),
        ("/token", {}, "POST / HTTP/1.1\r\n"),
        ("/token", {}, "HEAD"),
    ],
)
async def test_what_could_break_the_framing_is_not_sent(
    url: str, headers: dict[str, str], method: str, pool: ConnectionPool
) -> None:
    async with RawServer(answering(http(BODY))) as server:
        loop = asyncio.get_running_loop()
        connection = await pool.acquire(server.url(), reuse_window_s=5, deadline=loop.time() + 5)
        request = TokenRequest(server.url().replace("/token", url), headers, Secret("canary"), method)
        outcome = await connection.exchange(request, deadline=loop.time() + 5, send_before=boottime() + 2)
        pool.release(connection)
        assert isinstance(outcome, NoAnswer)
        assert (outcome.maybe_sent, outcome.reason) == (False, FailureReason.INTERNAL_ERROR)
        assert "canary" not in outcome.detail
        assert "evil" not in outcome.detail


async def test_a_request_to_another_origin_is_not_sent(pool: ConnectionPool) -> None:
    async with RawServer(answering(http(BODY))) as server:
        loop = asyncio.get_running_loop()
        connection = await pool.acquire(server.url(), reuse_window_s=5, deadline=loop.time() + 5)
        request = TokenRequest("http://127.0.0.2/token", {}, Secret("x"))
        outcome = await connection.exchange(request, deadline=loop.time() + 5, send_before=boottime() + 2)
        pool.release(connection)
        assert isinstance(outcome, NoAnswer)
        assert not outcome.maybe_sent


async def test_a_cancelled_exchange_closes_its_connection(pool: ConnectionPool) -> None:
    async with RawServer(answering(b"HTTP/1.1 100 Continue\r\n\r\n")) as server:
        loop = asyncio.get_running_loop()
        connection = await pool.acquire(server.url(), reuse_window_s=5, deadline=loop.time() + 5)
        request = TokenRequest(server.url(), {}, Secret("x"))
        task = asyncio.ensure_future(connection.exchange(request, deadline=loop.time() + 5, send_before=boottime() + 2))
        await server.asked.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        pool.release(connection)
        await connection.wait_closed()
        assert repr(connection).endswith(", closed)")


def answer_one(listener: socket.socket, answer: bytes, may_answer: threading.Event, answered: threading.Event) -> None:
    """A server in a thread of its own, so that it goes on while the client's loop stands still."""
    peer, _ = listener.accept()
    with peer:
        peer.recv(65_536)
        may_answer.wait(5)
        peer.sendall(answer)
        answered.set()
        peer.recv(1)


async def test_a_paused_process_finds_its_answer_though_the_deadline_has_passed() -> None:
    body = bytes(300_000)  # more than one read takes
    may_answer, answered = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        thread = threading.Thread(target=answer_one, args=(listener, http(body), may_answer, answered))
        thread.start()
        loop = asyncio.get_running_loop()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        pool = ConnectionPool(AddressPolicy(["127.0.0.1"]))
        connection = await pool.acquire(url, reuse_window_s=5, deadline=loop.time() + 5)
        deadline = loop.time() + 0.2

        def stand_still() -> None:
            may_answer.set()
            answered.wait(5)
            while time.monotonic() <= deadline + MOMENT_S + 0.002:  # uvloop's clock counts milliseconds
                pass

        task = asyncio.ensure_future(
            connection.exchange(TokenRequest(url, {}, Secret("x")), deadline=deadline, send_before=boottime() + 2)
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.call_soon(stand_still)
        outcome = await task
        pool.release(connection)
        await pool.close()
        thread.join(5)
    assert isinstance(outcome, Answer)
    assert len(outcome.body) == len(body)
