"""Which connections are used again, and what it takes to get a new one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from cryptography import x509

from certificates import LOOPBACK, Authority
from raw_http import Peer, RawServer, answering, closing_after, http
from tokenkeep.adapters.token_endpoint import (
    AddressPolicy,
    ConnectFailed,
    Connection,
    ConnectionPool,
    boottime,
    resolve,
)
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.errors import ForbiddenAddress
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest

Ask = Callable[..., Awaitable[Answer | NoAnswer]]
OK = http(b"{}")
PLENTY = [OK] * 20


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def aged(clock: Clock) -> AsyncIterator[ConnectionPool]:
    """A pool whose idle connections age by the test's clock."""
    pool = ConnectionPool(AddressPolicy(["127.0.0.0/8"]), now=clock, max_idle=2)
    yield pool
    await pool.close()


async def used(pool: ConnectionPool, url: str, *, reuse_window_s: float = 60.0) -> Connection:
    """A connection that has just completed an exchange and is still out."""
    loop = asyncio.get_running_loop()
    connection = await pool.acquire(url, reuse_window_s=reuse_window_s, deadline=loop.time() + 5)
    outcome = await connection.exchange(
        TokenRequest(url, {}, Secret("x")), deadline=loop.time() + 5, send_before=boottime() + 2
    )
    assert isinstance(outcome, Answer)
    return connection


async def test_the_latest_used_connection_goes_out_first(aged: ConnectionPool) -> None:
    async with RawServer(answering(*PLENTY)) as server:
        first, second = await used(aged, server.url()), await used(aged, server.url())
        aged.release(first)
        aged.release(second)
        assert await used(aged, server.url()) is second
        assert await used(aged, server.url()) is first
        first.abort()
        second.abort()


@pytest.mark.parametrize(("age_s", "window_s", "connections"), [(4.9, 5, 1), (5.1, 5, 2), (30, 60, 1), (0, 0, 2)])
async def test_a_connection_is_reused_within_the_window_only(
    age_s: float, window_s: float, connections: int, aged: ConnectionPool, clock: Clock
) -> None:
    async with RawServer(answering(*PLENTY)) as server:
        aged.release(await used(aged, server.url()))
        clock.seconds += age_s
        aged.release(await used(aged, server.url(), reuse_window_s=window_s))
        assert server.connections == connections


async def test_a_caller_with_a_short_window_leaves_older_connections_to_others(
    aged: ConnectionPool, clock: Clock
) -> None:
    async with RawServer(answering(*PLENTY)) as server:
        old = await used(aged, server.url())
        aged.release(old)
        clock.seconds += 10
        fresh = await used(aged, server.url(), reuse_window_s=5)
        assert fresh is not old
        assert await used(aged, server.url(), reuse_window_s=60) is old
        fresh.abort()
        old.abort()


async def test_a_server_that_says_how_long_it_waits_is_believed(aged: ConnectionPool, clock: Clock) -> None:
    async with RawServer(answering(*[http(b"{}", "keep-alive: timeout=4, max=100")] * 3)) as server:
        aged.release(await used(aged, server.url()))
        clock.seconds += 3.5
        aged.release(await used(aged, server.url()))
        assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(http(b"{}", "connection: close"), id="the server wants to close"),
        pytest.param(OK.replace(b"1.1", b"1.0"), id="HTTP/1.0"),
        pytest.param(OK + OK, id="two answers to one request"),
        pytest.param(OK + b"junk", id="bytes after the answer"),
    ],
)
async def test_after_such_an_answer_the_connection_is_closed(answer: bytes, ask: Ask) -> None:
    async with RawServer(answering(answer)) as server:
        for _ in range(2):
            assert isinstance(await ask(server.url()), Answer)
        assert server.connections == 2


@pytest.mark.parametrize("parting", [b"", b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"])
async def test_a_connection_the_server_closed_or_wrote_to_is_not_reused(parting: bytes, pool: ConnectionPool) -> None:
    may_end, has_ended = asyncio.Event(), asyncio.Event()

    async def answer_then_part(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await may_end.wait()
        if parting:
            await peer.say(parting)
        else:
            await peer.cut()
        has_ended.set()
        await peer.gone()

    async with RawServer(answer_then_part) as server:
        first = await used(pool, server.url())
        pool.release(first)
        may_end.set()
        await has_ended.wait()
        second = await used(pool, server.url())
        assert second is not first
        pool.release(second)


async def test_the_oldest_gives_way_when_too_many_are_idle(aged: ConnectionPool) -> None:
    async with RawServer(answering(*PLENTY)) as server:
        connections = [await used(aged, server.url()) for _ in range(3)]
        for connection in connections:
            aged.release(connection)
        await connections[0].wait_closed()
        assert [connection.is_idle for connection in connections] == [False, True, True]


async def test_idle_connections_are_closed_when_their_time_is_over() -> None:
    pool = ConnectionPool(AddressPolicy(["127.0.0.1"]), idle_ttl_s=0.02)
    async with RawServer(answering(*PLENTY)) as server:
        connection = await used(pool, server.url())
        pool.release(connection)
        await asyncio.wait_for(connection.wait_closed(), 5)
    await pool.close()


async def test_a_closed_pool_closes_what_comes_back_and_gives_nothing_out(pool: ConnectionPool) -> None:
    async with RawServer(answering(*PLENTY)) as server:
        out, idle = await used(pool, server.url()), await used(pool, server.url())
        pool.release(idle)
        await pool.close()
        pool.release(out)
        await out.wait_closed()
        with pytest.raises(ConnectFailed) as refused:
            await used(pool, server.url())
        assert refused.value.reason is FailureReason.INTERNAL_ERROR


async def test_a_refused_connection_is_a_network_error(ask: Ask) -> None:
    async with RawServer(answering()) as server:
        url = server.url()
    with pytest.raises(ConnectFailed) as failed:
        await ask(url)
    assert failed.value.reason is FailureReason.NETWORK_ERROR


@pytest.mark.parametrize(
    "url",
    ["https://10.0.0.1/t", "https://localhost/t", "http://127.0.0.1/t", "https://2130706433/", "https://[::1]/", "x"],
)
async def test_addresses_the_policy_refuses_are_not_connected_to(url: str) -> None:
    pool = ConnectionPool(AddressPolicy())
    with pytest.raises(ConnectFailed) as failed:
        await pool.acquire(url, reuse_window_s=5, deadline=asyncio.get_running_loop().time() + 5)
    assert failed.value.reason is FailureReason.NETWORK_ERROR
    await pool.close()


async def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    with pytest.raises(ForbiddenAddress) as refused:
        await resolve("localhost", 443, policy=AddressPolicy(["10.0.0.0/8"]), timeout_s=5, field="options.token_url")
    assert refused.value.field == "options.token_url"


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "no-such-name.invalid"])
async def test_a_name_that_does_not_resolve_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError, match=r"malformed|not known|resolution|associated"):
        await resolve(host, 443, policy=AddressPolicy(), timeout_s=5)


async def test_a_name_may_resolve_to_addresses_that_are_allowed() -> None:
    for allow in (["localhost"], ["127.0.0.0/8", "::1"]):
        addresses = await resolve("localhost", 443, policy=AddressPolicy(allow), timeout_s=5)
        assert {address.sockaddr[0] for address in addresses} <= {"127.0.0.1", "::1"}


async def test_tls_is_verified_against_the_name_and_connected_to_the_checked_address(
    ask: Ask, authority: Authority
) -> None:
    async with RawServer(answering(OK, OK), tls=authority.server(*LOOPBACK)) as server:
        for host in ("localhost", "127.0.0.1", "localhost", "127.0.0.1"):
            assert isinstance(await ask(server.url(host), reuse_window_s=5.0), Answer)
        assert server.connections == 2


async def test_a_certificate_of_another_name_is_refused(authority: Authority, ask: Ask) -> None:
    async with RawServer(answering(OK), tls=authority.server(x509.DNSName("another.example"))) as server:
        with pytest.raises(ConnectFailed, match="certificate not trusted") as failed:
            await ask(server.url("localhost"))
        assert failed.value.reason is FailureReason.NETWORK_ERROR
        assert server.requests == []


async def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    pool = ConnectionPool(AddressPolicy(["localhost"]))
    async with RawServer(answering(OK), tls=authority.server(*LOOPBACK)) as server:
        with pytest.raises(ConnectFailed, match="certificate not trusted") as failed:
            await used(pool, server.url("localhost"))
        assert failed.value.reason is FailureReason.NETWORK_ERROR
    await pool.close()


async def test_a_handshake_that_is_never_answered_times_out(pool: ConnectionPool) -> None:
    async def silent(peer: Peer) -> None:
        await peer.gone()

    async with RawServer(silent) as server:
        url = server.url().replace("http:", "https:")
        with pytest.raises(ConnectFailed) as failed:
            await pool.acquire(url, reuse_window_s=5, deadline=asyncio.get_running_loop().time() + 0.05)
        assert failed.value.reason is FailureReason.TIMEOUT


async def test_a_peer_that_speaks_no_tls_is_a_network_error(ask: Ask) -> None:
    async def plain(peer: Peer) -> None:
        await peer.say(OK)
        await peer.gone()

    async with RawServer(plain) as server:
        with pytest.raises(ConnectFailed) as failed:
            await ask(server.url().replace("http:", "https:"))
        assert failed.value.reason is FailureReason.NETWORK_ERROR


CLOSE_DELIMITED = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\naccess_token=abc"


async def test_over_tls_an_orderly_close_completes_a_body(authority: Authority, ask: Ask) -> None:
    async with RawServer(closing_after(CLOSE_DELIMITED), tls=authority.server(*LOOPBACK)) as server:
        outcome = await ask(server.url())
        assert isinstance(outcome, Answer)
        assert outcome.body == b"access_token=abc"


async def test_over_tls_a_cut_does_not_pass_for_an_end(authority: Authority, ask: Ask) -> None:
    """Without a close_notify anybody on the way could have shortened the body (RFC 9112, section 9.8)."""

    async def cut(peer: Peer) -> None:
        await peer.request()
        await peer.say(CLOSE_DELIMITED)
        await peer.cut()

    async with RawServer(cut, tls=authority.server(*LOOPBACK)) as server:
        outcome = await ask(server.url())
        assert isinstance(outcome, NoAnswer)
        assert outcome.maybe_sent


async def test_over_tls_a_closed_idle_connection_is_seen_before_the_write(
    authority: Authority, pool: ConnectionPool
) -> None:
    may_end, has_ended = asyncio.Event(), asyncio.Event()

    async def end_when_told(peer: Peer) -> None:
        await may_end.wait()
        peer.close()
        has_ended.set()
        await peer.gone()

    async with RawServer(end_when_told, tls=authority.server(*LOOPBACK)) as server:
        loop = asyncio.get_running_loop()
        connection = await pool.acquire(server.url(), reuse_window_s=5, deadline=loop.time() + 5)
        may_end.set()
        await has_ended.wait()
        await asyncio.sleep(0)
        outcome = await connection.exchange(
            TokenRequest(server.url(), {}, Secret("x")), deadline=loop.time() + 5, send_before=boottime() + 2
        )
        pool.release(connection)
        assert isinstance(outcome, NoAnswer)
        assert not outcome.maybe_sent
