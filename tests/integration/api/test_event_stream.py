"""Server-sent events over a real server and real connections."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from api_process import api_process
from api_service import ADMIN_KEY, Service, data
from feeding import come_to, happened, tell
from tokenkeep.domain.ids import IdKind, format_id
from tokenkeep_api.app import create_app
from tokenkeep_api.event_streams import StreamTimes
from tokenkeep_api.guarded_protocol import ConnectionLimits
from tokenkeep_api.listening import Server, bind

TOKEN_URL = "https://93.184.215.14/token"
Serving = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serving(service: Service) -> Serving:
    """A real server with these times and limits, and a client of it."""

    @asynccontextmanager
    async def serve(
        times: StreamTimes | None = None, limits: ConnectionLimits | None = None
    ) -> AsyncIterator[httpx.AsyncClient]:
        with bind("127.0.0.1", 0) as listener:
            app = create_app(service.wired, stream_times=times or StreamTimes())
            server = Server(app, limits or ConnectionLimits())
            task = asyncio.create_task(server.serve(sockets=[listener]))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=url, headers=headers(service), timeout=30) as client:
                yield client
            service.wired.event_tail.close()
            server.should_exit = True
            async with asyncio.timeout(20):
                await task

    return serve


def headers(service: Service) -> dict[str, str]:
    return {"Authorization": f"Bearer {ADMIN_KEY}", "X-Tokenkeep-Environment": service.environment}


class Stream:
    """What a client reads, block by block."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.status_code
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        self._lines = answer.aiter_lines()
        self.last_event_id = ""

    async def block(self) -> dict[str, str]:
        """The fields up to the next empty line, comments under the empty name. Raises StopAsyncIteration at the end."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(30):
            while line := await anext(self._lines):
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
        self.last_event_id = fields.get("id", self.last_event_id)
        return fields

    async def end(self) -> None:
        """Read on until the stream has ended."""
        try:
            while True:
                await self.block()
        except StopAsyncIteration:
            return

    async def event(self) -> dict[str, Any]:
        """The next event. Its type is what its data say."""
        while True:
            fields = await self.block()
            if "data" in fields:
                event: dict[str, Any] = orjson.loads(fields["data"])
                assert fields["event"] == event["type"]
                return event


@asynccontextmanager
async def streaming(client: httpx.AsyncClient, last: str | None = None, **parameters: Any) -> AsyncIterator[Stream]:
    given = {} if last is None else {"Last-Event-ID": last}
    async with client.stream("GET", "/v1/events/stream", params=parameters, headers=given) as answer:
        yield Stream(answer)


async def toggle(service: Service, account_id: str, *calls: str) -> None:
    async with service.client() as admin:
        for call in calls:
            data(await admin.post(f"/v1/accounts/{account_id}/{call}"))


async def test_a_stream_replays_and_then_tells_what_happens(service: Service, serving: Serving) -> None:
    account_id = await service.account(await service.source(TOKEN_URL))
    async with serving() as client, streaming(client) as stream:
        assert (await stream.block())["retry"] == "2000"
        seen = [await stream.event() for _ in range(2)]
        await toggle(service, account_id, "disable", "enable")
        seen += [await stream.event() for _ in range(2)]
        assert [event["sequence"] for event in seen] == ["1", "2", "3", "4"]
        assert seen == data(await client.get("/v1/events"))
        assert stream.last_event_id == (await client.get("/v1/events")).json()["next_cursor"]


async def test_a_stream_is_gone_on_with_behind_the_last_event_id(service: Service, serving: Serving) -> None:
    account_id = await service.account(await service.source(TOKEN_URL))
    async with serving() as client:
        async with streaming(client, after="now") as stream:
            assert (await stream.block())["id"], "a client knows where it is before the first event"
            last = stream.last_event_id
        await toggle(service, account_id, "disable", "enable")
        async with streaming(client, last, after="now") as stream:
            assert (await stream.event())["type"] == "tokenkeep.account.disabled"
            last = stream.last_event_id
        async with streaming(client, last) as stream:
            assert (await stream.event())["type"] == "tokenkeep.account.enabled"


async def test_comments_keep_a_stream_open_and_move_past_what_a_filter_left_out(
    service: Service, serving: Serving
) -> None:
    account_id = await service.account(await service.source(TOKEN_URL))
    async with (
        serving(StreamTimes(heartbeat_s=0.2)) as client,
        streaming(client, type="account.disabled", after="now") as stream,
    ):
        before = (await stream.block())["id"]
        assert await stream.block() == {"": "still here"}
        await toggle(service, account_id, "disable", "enable")
        assert (await stream.event())["type"] == "tokenkeep.account.disabled"
        told = stream.last_event_id
        async with asyncio.timeout(20):
            while stream.last_event_id == told:
                assert "data" not in await stream.block()
        assert len({before, told, stream.last_event_id}) == 3
        assert stream.last_event_id == (await client.get("/v1/events")).json()["next_cursor"]


async def test_a_stream_ends_by_itself_so_that_a_withdrawn_key_is_noticed(serving: Serving) -> None:
    async with serving(StreamTimes(heartbeat_s=0.1, longest_s=0.5)) as client, streaming(client) as stream:
        await stream.end()


async def test_a_client_that_goes_away_frees_what_it_took(service: Service, serving: Serving) -> None:
    readers = service.wired.feed_readers
    async with serving() as client:
        async with streaming(client) as stream, streaming(client) as other:
            await stream.block()
            await other.block()
            assert len(readers) == 2
        waiting = asyncio.create_task(client.get("/v1/events", params={"wait": 60}))
        async with asyncio.timeout(20):
            await come_to(1, readers)
            waiting.cancel()
            await come_to(0, readers)
    assert service.wired.event_tail._followers == 0


async def test_a_client_that_does_not_read_is_let_go(service: Service, serving: Serving) -> None:
    readers = service.wired.feed_readers
    source_id = await service.source(TOKEN_URL)
    about = {"source_id": source_id, "provider": "p", "environment": "e", "external_id": "x" * 4_000, "state": "active"}
    events = [
        replace(event, data={"account_id": format_id(IdKind.ACCOUNT, event.subject), **about})
        for event in (happened(service.environment) for _ in range(3_000))
    ]
    await tell(service.foundation.database, *events)
    async with serving(limits=ConnectionLimits(write_deadline_s=0.5)) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port, limit=1_024)
        lines = [f"{name}: {value}" for name, value in headers(service).items()]
        writer.write("\r\n".join(["GET /v1/events/stream HTTP/1.1", "Host: api.test", *lines, "", ""]).encode())
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(30):
            await come_to(0, readers)
        writer.close()


async def test_streams_of_a_process_that_stops_end_at_once(service: Service, tmp_path: Path) -> None:
    async with api_process(service, tmp_path) as api, asyncio.timeout(60):
        client = httpx.AsyncClient(base_url=api.url, headers=headers(service), timeout=60)
        async with client, streaming(client) as stream:
            await stream.block()
            api.process.terminate()
            await stream.end()
        async with asyncio.timeout(20):  # less than requests under way may take
            assert await api.process.wait() == 0


async def test_two_hundred_streams_are_told_one_event(service: Service, serving: Serving) -> None:
    account_id = await service.account(await service.source(TOKEN_URL))
    async with serving() as client:
        unlimited = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=client.base_url, headers=headers(service), timeout=60, limits=unlimited
        ) as many:
            everybody = asyncio.Barrier(201)

            async def listen() -> dict[str, Any]:
                async with streaming(many, after="now") as stream:
                    await stream.block()
                    await everybody.wait()
                    return await stream.event()

            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                listening = [group.create_task(listen()) for _ in range(200)]
                await everybody.wait()
                await toggle(service, account_id, "disable")
            assert len({task.result()["id"] for task in listening}) == 1
