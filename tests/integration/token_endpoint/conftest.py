import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from certificates import Authority, make_authority
from tokenkeep.adapters.token_endpoint import AddressPolicy, ConnectionPool
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.token_endpoint.tls_contexts import TlsContexts
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, NoAnswer, TokenRequest

Ask = Callable[..., Awaitable[Answer | NoAnswer]]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test here runs on both loops: they differ in when they write, read and poll."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory: Path = tmp_path_factory.mktemp("tls")
    return make_authority(directory)


@pytest.fixture
async def pool(authority: Authority) -> AsyncIterator[ConnectionPool]:
    loopback = ConnectionPool(AddressPolicy(["127.0.0.0/8", "localhost"]), tls=TlsContexts(authority.trusting))
    yield loopback
    await loopback.close()


@pytest.fixture
def ask(pool: ConnectionPool) -> Ask:
    """One request through the pool: acquire, exchange, release."""

    async def ask_once(
        url: str, *, headers: Mapping[str, str] | None = None, reuse_window_s: float = 60.0, within_s: float = 5.0
    ) -> Answer | NoAnswer:
        loop = asyncio.get_running_loop()
        request = TokenRequest(url, headers or {}, Secret("refresh_token=canary-7c1e"))
        connection = await pool.acquire(url, reuse_window_s=reuse_window_s, deadline=loop.time() + 5)
        try:
            return await connection.exchange(request, deadline=loop.time() + within_s, send_before=boottime() + 2)
        finally:
            pool.release(connection)

    return ask_once
