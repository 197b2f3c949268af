"""An API that is told to end says so first, and goes on serving until whoever sends it requests can have noticed."""

import asyncio
import signal
from pathlib import Path

import httpx

from api_process import ApiProcess, api_process
from api_service import ADMIN_KEY, Service

_HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}"}
_LONGER_THAN_ANY_TEST_S = 3_600.0


async def until_leaving(api: ApiProcess, client: httpx.AsyncClient) -> httpx.Response:
    async with asyncio.timeout(20):
        while (answer := await client.get(f"{api.url}/readyz")).status_code == httpx.codes.OK:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return answer


async def test_it_is_not_ready_and_serves_on_each_connection_for_the_last_time(
    service: Service, tmp_path: Path
) -> None:
    async with (
        api_process(service, tmp_path, drain_delay_s=_LONGER_THAN_ANY_TEST_S) as api,
        httpx.AsyncClient(headers=_HEADERS) as client,
    ):
        before = await client.get(f"{api.url}/v1/sources")
        api.process.send_signal(signal.SIGTERM)
        leaving = await until_leaving(api, client)
        after = await client.get(f"{api.url}/v1/sources")
        api.process.send_signal(signal.SIGTERM)  # enough of that

        async with asyncio.timeout(20):
            assert await api.process.wait() == 0
    assert (before.status_code, before.headers.get("connection")) == (200, None)
    assert (leaving.status_code, leaving.json()) == (503, {"status": "leaving"})
    assert (after.status_code, after.headers["connection"]) == (200, "close")


async def test_at_a_terminal_nobody_is_waited_for(service: Service, tmp_path: Path) -> None:
    async with api_process(service, tmp_path, drain_delay_s=_LONGER_THAN_ANY_TEST_S) as api:
        api.process.send_signal(signal.SIGINT)

        async with asyncio.timeout(20):
            assert await api.process.wait() == 0


async def test_a_request_that_is_on_its_way_at_the_end_is_answered(service: Service, tmp_path: Path) -> None:
    async with api_process(service, tmp_path) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")  # so far it is only the beginning of a head
        await writer.drain()
        async with httpx.AsyncClient() as client:  # what came before it was read
            await client.get(f"{api.url}/healthz")
        api.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            while not reader.at_eof() and not await refuses(api.port):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        writer.write(b"\r\n")
        answer = await reader.read()
        writer.close()

        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert await api.process.wait() == 0


async def refuses(port: int) -> bool:
    """Whether no new connection is taken any more."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False
