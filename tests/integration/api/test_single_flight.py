"""However many ask for one account's token, its refresh token leaves once."""

import asyncio
from uuid import UUID

import httpx

from api_service import Service, data
from token_server import TokenServer
from tokenkeep.domain.ids import IdKind, parse_id

CALLERS = 200


async def test_200_callers_asking_for_one_expired_account_make_one_token_request(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(
        await service.source(server.url), expires_in=None, expires_at="2020-01-01T00:00:00Z"
    )
    server.gate = asyncio.Event()
    asking = [
        asyncio.create_task(admin.post(f"/v1/accounts/{account_id}/token", json={"wait": 30})) for _ in range(CALLERS)
    ]
    await asyncio.wait_for(server.arrived.wait(), 20)
    server.gate.set()
    tokens = [data(answer) for answer in await asyncio.gather(*asking)]
    assert len(tokens) == CALLERS
    assert {token["access_token"] for token in tokens} == {"access-grant.2"}
    assert len({token["expires_at"] for token in tokens}) == 1
    assert server.presented == ["grant.1"]
    await service.queue.drain()
    assert server.presented == ["grant.1"]
    subject: UUID = parse_id(IdKind.ACCOUNT, account_id)
    told = await service.sql("SELECT type FROM events WHERE subject = :id ORDER BY sequence", id=subject)
    assert [row["type"].rpartition(".")[2] for row in told] == ["created", "activated", "refreshed"]
