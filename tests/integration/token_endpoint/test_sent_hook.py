"""When a connection says that a request has been sent."""

import asyncio

import pytest

from token_server import TokenServer
from tokenkeep.adapters.token_endpoint import AddressPolicy, ConnectionPool, boottime
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest


async def _exchange(
    pool: ConnectionPool, url: str, said: list[str], *, fault: Exception | None = None
) -> Answer | NoAnswer:
    deadline = asyncio.get_running_loop().time() + 5
    connection = await pool.acquire(url, reuse_window_s=5, deadline=deadline)

    def on_sent() -> None:
        said.append("sent")
        if fault is not None:
            raise fault

    connection.on_sent = on_sent
    request = TokenRequest(url, {}, Secret("refresh_token=grant.1"))
    try:
        return await connection.exchange(request, deadline=deadline, send_before=boottime() + 5)
    finally:
        connection.on_sent = None
        pool.release(connection)


async def test_a_request_is_told_as_sent_once_when_the_server_can_have_it_and_before_its_answer() -> None:
    said: list[str] = []
    async with TokenServer(gate=asyncio.Event()) as server:
        pool = ConnectionPool(AddressPolicy(("127.0.0.1/32",)))
        exchange = asyncio.create_task(_exchange(pool, server.url, said))
        await asyncio.wait_for(server.arrived.wait(), 5)
        assert said == ["sent"]
        assert not exchange.done()
        assert server.gate is not None
        server.gate.set()
        assert isinstance(await exchange, Answer)
        assert said == ["sent"]
        await pool.close()


async def test_a_fault_right_after_the_sending_ends_the_exchange_and_the_connection() -> None:
    async with TokenServer() as server:
        pool = ConnectionPool(AddressPolicy(("127.0.0.1/32",)))
        with pytest.raises(RuntimeError, match="on purpose"):
            await _exchange(pool, server.url, [], fault=RuntimeError("on purpose"))
        await asyncio.wait_for(server.arrived.wait(), 5)
        assert server.presented == ["grant.1"]
        assert pool._idle == {} or not any(pool._idle.values())
        await pool.close()
