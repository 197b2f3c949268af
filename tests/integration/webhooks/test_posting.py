"""One POST, and its one deadline for everything."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from fakes import an_event
from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.connection import Connection
from tokenkeep.adapters.token_endpoint.lending import LentConnections
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.adapters.webhooks.excerpts import excerpt_of
from tokenkeep.adapters.webhooks.signatures import sign_delivery
from tokenkeep.application.post_webhook import PostWebhook, TooLateToSend
from tokenkeep.application.webhook_secrets import new_webhook_secret
from tokenkeep.bootstrap import ProcessClocks, wall_clock
from tokenkeep.domain.webhook_tries import Reply
from tokenkeep.providers.answer import TokenRequest
from tokenkeep.settings import Settings
from webhook_receiver import Receiver

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionPool]:
    opened = ConnectionPool(AddressPolicy(["127.0.0.1"]))
    yield opened
    await opened.close()


def posting(lent: LentConnections, *, deadline_s: float) -> PostWebhook:
    deadline = timedelta(seconds=deadline_s)
    return PostWebhook(lent, sign_delivery, excerpt_of, ProcessClocks(boottime), wall_clock, deadline=deadline)


async def posted(pool: ConnectionPool, url: str, *, send_before: float | None = None, deadline_s: float = 10) -> Reply:
    post = posting(LentConnections(pool), deadline_s=deadline_s)
    return await post(url, an_event(uuid4(), 1), [new_webhook_secret()], send_before=send_before)


def test_a_delivery_has_15_seconds() -> None:
    assert Settings().webhook_deadline_s == 15


@pytest.mark.parametrize("behaviour", ["silent", "dripping", "half an answer"])
async def test_whoever_does_not_answer_whole_in_time_is_waited_for_no_longer(
    pool: ConnectionPool, behaviour: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            if behaviour != "silent":
                writer.write(HEAD)
            while behaviour == "dripping":
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reply = await posted(pool, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", deadline_s=3)
    assert (reply.status, reply.error) == (None, "timeout: no complete answer in time")
    assert not reply.is_success


async def test_nothing_leaves_once_the_time_to_leave_is_over(pool: ConnectionPool) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(TooLateToSend):
            await posted(pool, url, send_before=boottime() - 1)
    assert b"".join(asked) == b""


class StandingStill(LentConnections):
    """The process stands still once a connection is there."""

    @asynccontextmanager
    async def lend(self, request: TokenRequest, *, reuse_window_s: float, deadline: float) -> AsyncIterator[Connection]:  # type: ignore[override]
        async with super().lend(request, reuse_window_s=reuse_window_s, deadline=deadline) as connection:
            time.sleep(2.1)  # noqa: ASYNC251 - as said
            yield connection


async def test_a_process_that_stands_still_before_it_sends_blames_nobody(pool: ConnectionPool) -> None:
    async with Receiver() as receiver:
        post = posting(StandingStill(pool), deadline_s=10)
        with pytest.raises(TooLateToSend):
            await post(receiver.url, an_event(uuid4(), 1), [new_webhook_secret()], send_before=boottime() + 2)
        assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    ["https://localhost/", "https://10.0.0.7/", "http://example.com/", "https://169.254.169.254/", "https://[::1]/"],
)
async def test_addresses_where_we_do_not_go_are_not_gone_to(pool: ConnectionPool, url: str) -> None:
    reply = await posted(pool, url)
    assert reply.status is None
    assert reply.error is not None
    assert reply.error.startswith("network_error: ")


async def test_what_an_endpoint_asks_for_is_read_from_failures_alone(pool: ConnectionPool) -> None:
    statuses = iter((200, 503))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        later = datetime.now(UTC) + timedelta(hours=1)
        date = later.strftime("%a, %d %b %Y %H:%M:%S GMT")
        head = f"HTTP/1.1 {next(statuses)} -\r\nretry-after: {date}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await posted(pool, url)).retry_after is None
        asked = (await posted(pool, url)).retry_after
    assert asked is not None
    assert timedelta(minutes=59) < asked <= timedelta(hours=1)
