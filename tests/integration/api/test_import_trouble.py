"""Imports when the client is slow, or goes, and when the database can't be had."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from api_service import ADMIN_KEY, Service
from databases import UNHURRIED
from imports import Import, a_line
from tokenkeep.application.import_accounts import ImportAccounts
from tokenkeep_api.app import create_app
from tokenkeep_api.importing import Importing, Patience
from tokenkeep_api.listening import Server, bind
from tokenkeep_api.request_bodies import PIECE_BYTES

KEY = {"Idempotency-Key": "import-1"}


@pytest.fixture
async def query(service: Service) -> dict[str, str]:
    return {"source_id": await service.source("https://93.184.215.14/token")}


@asynccontextmanager
async def open_port(service: Service, piece_deadline_s: float) -> AsyncIterator[int]:
    """A real server; each 16 KiB of an import have so long to come."""
    with bind("127.0.0.1", 0) as listener:
        server = Server(create_app(service.wired, piece_deadline_s=piece_deadline_s))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


@pytest.fixture
async def port(service: Service) -> AsyncIterator[int]:
    """A server that waits for half a second."""
    async with open_port(service, 0.5) as opened:
        yield opened


def head(service: Service, query: dict[str, str]) -> bytes:
    lines = [
        f"POST /v1/accounts/import?source_id={query['source_id']} HTTP/1.1",
        "Host: api.test",
        f"Authorization: Bearer {ADMIN_KEY}",
        f"X-Tokenkeep-Environment: {service.environment}",
        "Content-Type: application/x-ndjson",
        "Transfer-Encoding: chunked",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def count(service: Service) -> int:
    rows = await service.sql("SELECT count(*) FROM accounts WHERE environment = :e", e=service.environment)
    return int(rows[0]["count"])


async def test_a_body_of_which_nothing_comes_is_a_408(service: Service, port: int, query: dict[str, str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(service, query) + chunk(b'{"credentials"'))
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
    writer.close()


async def test_a_body_that_dries_up_later_ends_the_stream_without_its_end(
    service: Service, port: int, query: dict[str, str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(service, query) + chunk(a_line("a") + b"{"))
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert not answer.endswith(b"0\r\n\r\n")
    lines = [json.loads(line) for line in answer.splitlines() if line.startswith(b"{")]
    assert [(one["line"], one["status"], one.get("code")) for one in lines] == [
        (1, "created", None),
        (2, "rejected", "request_timeout"),
    ]
    writer.close()
    assert await count(service) == 1


async def test_a_body_that_drips_is_a_408_however_steadily_it_does(
    service: Service, port: int, query: dict[str, str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(service, query))

    async def drip() -> None:
        while True:
            writer.write(chunk(b" "))
            await writer.drain()
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(30):
        answer = await reader.readuntil(b'"code":"request_timeout"')
    assert answer.startswith(b"HTTP/1.1 408 ")
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    writer.close()


async def test_a_slow_body_may_take_longer_than_its_pieces(service: Service, query: dict[str, str]) -> None:
    async with open_port(service, 3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(service, query))
        for number in range(8):
            writer.write(chunk(b" " * PIECE_BYTES + a_line(f"n{number}")))
            # A pace, not a wait for something to have happened: together they take longer than one piece may.
            await asyncio.sleep(0.5)
        writer.write(b"0\r\n\r\n")
        assert (await reader.readuntil(b"0\r\n\r\n")).count(b'"created"') == 8
        writer.close()


@pytest.mark.parametrize("key", [{}, KEY])
async def test_a_client_that_hangs_up_leaves_what_is_done(
    service: Service, query: dict[str, str], key: dict[str, str]
) -> None:
    with capture_logs() as log:
        broken = await Import(service, [a_line("a"), a_line("b")], query, key, leaves=True)()
    done = len(broken.results) if broken.status else 0
    assert await count(service) == done
    [ended] = [line for line in log if line["event"] == "import_ended"]
    assert (ended["ended"], ended["created"]) == ("left", done)
    rows = await service.sql("SELECT key FROM imports WHERE environment = :e", e=service.environment)
    assert [row["key"] for row in rows] == ([KEY["Idempotency-Key"]] if key else [])


async def test_a_client_that_takes_no_results_for_too_long_is_given_up(service: Service, query: dict[str, str]) -> None:
    importing = Importing(
        ImportAccounts(service.wired.create_account, Patience(service.wired.works)), send_deadline_s=0.2
    )
    hasty = replace(service, app=create_app(replace(service.wired, importing=importing)))

    async def never(_answered: bytes) -> None:
        await asyncio.Event().wait()

    with capture_logs() as log:
        answer = await Import(hasty, [a_line(f"n{n}") for n in range(1_000)], query, on_answer=never)()
    assert not answer.whole
    assert [line["ended"] for line in log if line["event"] == "import_ended"] == ["left"]
    assert 0 < await count(service) <= 250


@asynccontextmanager
async def accounts_locked(service: Service) -> AsyncIterator[None]:
    """Nobody can write accounts."""
    async with service.foundation.database.transaction() as connection:
        # PostgreSQL would end a transaction of ours that does nothing while the machine is slow.
        await connection.execute(UNHURRIED)
        await connection.exec_driver_sql("LOCK TABLE accounts IN EXCLUSIVE MODE")
        yield


async def test_a_database_that_stumbles_holds_the_stream_back(service: Service, query: dict[str, str]) -> None:
    with capture_logs() as log:
        async with accounts_locked(service):
            running = asyncio.create_task(Import(service, [a_line("a"), a_line("b")], query)())
            async with asyncio.timeout(30):
                while not any(line["event"] == "import_delayed" for line in log):  # noqa: ASYNC110 - of another task
                    await asyncio.sleep(0.05)
        answer = await running
    assert answer.whole
    assert answer.statuses() == ["created", "created"]
    assert "canary" not in str(log)


async def test_a_database_that_stays_away_cuts_the_stream_and_the_key_goes_on_with_it(
    service: Service, query: dict[str, str]
) -> None:
    works = service.wired.works
    importing = Importing(ImportAccounts(service.wired.create_account, Patience(works, waits_s=())))
    hasty = replace(service, app=create_app(replace(service.wired, importing=importing)))
    answered, locked = asyncio.Event(), asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield a_line("a")
        await locked.wait()
        yield a_line("b")

    async def note(_answered: bytes) -> None:
        answered.set()

    running = asyncio.create_task(Import(hasty, pieces(), query, KEY, on_answer=note)())
    await answered.wait()
    async with accounts_locked(service):
        locked.set()
        stopped = await running
    assert not stopped.whole
    assert stopped.statuses() == ["created", "rejected"]
    assert stopped.results[1]["code"] == "temporarily_unavailable"
    whole = await Import(service, [a_line("a"), a_line("b")], query, KEY)()
    assert whole.whole
    assert whole.results[0] == stopped.results[0]
    assert whole.statuses() == ["created", "created"]


async def test_a_database_that_is_away_from_the_start_is_a_503(service: Service, query: dict[str, str]) -> None:
    importing = Importing(ImportAccounts(service.wired.create_account, Patience(service.wired.works, waits_s=())))
    hasty = replace(service, app=create_app(replace(service.wired, importing=importing)))
    async with accounts_locked(service):
        refused = await Import(hasty, [a_line("a")], query)()
    assert (refused.status, refused.problem["code"]) == (503, "temporarily_unavailable")
    assert refused.headers["retry-after"]
