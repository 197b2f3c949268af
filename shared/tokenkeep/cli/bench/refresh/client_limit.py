"""The limit of a worker: how many requests a second its own client makes, where nothing is stored and nothing decided.

Beside it, the same of the client that everybody uses.
"""

import asyncio
import time

import httpx

from tokenkeep.adapters.token_endpoint.addresses import AddressPolicy
from tokenkeep.adapters.token_endpoint.lending import LentConnections
from tokenkeep.adapters.token_endpoint.pool import ConnectionPool
from tokenkeep.cli.bench.accounts import CLIENT_ID, CLIENT_SECRET
from tokenkeep.domain.secret import Secret
from tokenkeep.providers.answer import Answer, TokenRequest

_REUSE_S = 60.0
_PATIENCE_S = 30.0


async def posts_per_s(url: str, *, requests: int, in_flight: int) -> float:
    """Present made-up refresh tokens so often, with so many requests at a time on warm connections; requests a second.

    Raises:
        RuntimeError: One was not answered by 200.
    """
    pool = ConnectionPool(AddressPolicy(("127.0.0.1",)), max_idle=in_flight)
    try:
        await _post(pool, url, requests=2 * in_flight, in_flight=in_flight, mark="w")
        began = time.perf_counter()
        await _post(pool, url, requests=requests, in_flight=in_flight, mark="l")
        return requests / (time.perf_counter() - began)
    finally:
        await pool.close()


async def httpx_posts_per_s(url: str, *, requests: int, in_flight: int) -> float:
    """The same by `httpx.AsyncClient` as it comes, with as many connections as it is asked for.

    Raises:
        httpx.HTTPError: One was not answered as it should.
    """
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    numbers = iter(range(requests))
    async with httpx.AsyncClient(limits=limits, timeout=_PATIENCE_S) as client:

        async def work() -> None:
            for number in numbers:
                form = {"grant_type": "refresh_token", "refresh_token": f"rt-h{number}-1", "client_id": CLIENT_ID}
                (await client.post(url, data=form)).raise_for_status()

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(work())
        return requests / (time.perf_counter() - began)


async def _post(pool: ConnectionPool, url: str, *, requests: int, in_flight: int, mark: str) -> None:
    lent = LentConnections(pool)
    numbers = iter(range(requests))
    loop = asyncio.get_running_loop()

    async def work() -> None:
        for number in numbers:
            request = _request(url, f"rt-{mark}{number}-1")
            deadline = loop.time() + _PATIENCE_S
            async with lent.lend(request, reuse_window_s=_REUSE_S, deadline=deadline) as connection:
                answer = await connection.exchange(request, deadline=deadline, send_before=float("inf"))
            if not isinstance(answer, Answer) or answer.status != 200:  # noqa: PLR2004 - OK
                msg = "the endpoint did not answer as it should"
                raise RuntimeError(msg)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())


def _request(url: str, token: str) -> TokenRequest:
    body = f"grant_type=refresh_token&refresh_token={token}&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}"
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    return TokenRequest(url, headers, Secret(body))
