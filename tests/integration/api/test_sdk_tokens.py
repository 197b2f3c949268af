"""Tokens at hand follow what happens to their accounts, with both clients, against a real server."""

import asyncio
import threading
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from api_service import Service, data
from cancelled import cancelled
from served_api import served
from token_server import TokenServer, says
from tokenkeep.client import (
    AccountDisabled,
    AccountNotReady,
    AsyncTokenkeep,
    NotAllowed,
    NotFound,
    ReauthorizationRequired,
    Tokenkeep,
)
from tokenkeep.domain.events import EventType
from tokenkeep_worker.inbox import wire_inbox
from told_events import until

TOKEN_URL = "https://93.184.215.14/token"


@pytest.fixture
async def api(service: Service) -> AsyncIterator[str]:
    async with served(service) as url:
        yield url


@pytest.fixture
async def account_id(service: Service) -> str:
    return await service.account(await service.source(TOKEN_URL), name=uuid4().hex)


async def vends(service: Service, account_id: str) -> int:
    """How often credentials were handed out."""
    await service.flush()
    rows = await service.sql(
        "SELECT coalesce(sum(count), 0) AS vends FROM audit_log WHERE action = 'token.vend' AND target = :id",
        id=account_id,
    )
    return int(rows[0]["vends"])


async def test_a_disabled_account_gives_no_token_at_once_though_it_was_kept(
    service: Service, api: str, account_id: str
) -> None:
    key = await service.key("credentials:read", "events:read")
    async with AsyncTokenkeep(api, key) as client, await client.tokens.follow_events():
        kept = [await client.token(account_id) for _ in range(3)]
        assert len({token.access_token for token in kept}) == 1
        assert await vends(service, account_id) == 1
        async with service.client() as admin:
            data(await admin.post(f"/v1/accounts/{account_id}/disable"))
        await until(lambda: not len(client.tokens._shelf))
        with pytest.raises(AccountDisabled) as refused:
            await client.token(account_id)
    assert refused.value.reason == "by_operator"


async def test_threads_hear_it_too(service: Service, api: str, account_id: str) -> None:
    key = await service.key("credentials:read", "events:read")
    other = await service.account(await service.source(TOKEN_URL), name=uuid4().hex)

    def use() -> Tokenkeep:
        client = Tokenkeep(api, key)
        client.tokens.follow_events()
        client.token(account_id)
        client.token(other)
        return client

    client = await asyncio.to_thread(use)
    async with service.client() as admin:
        assert (await admin.delete(f"/v1/accounts/{account_id}")).status_code == 204
    shelf = client.tokens._at_hand.shelf
    await until(lambda: len(shelf) == 1)
    with pytest.raises(NotFound):
        await asyncio.to_thread(client.token, account_id)
    assert (await asyncio.to_thread(client.token, other)).access_token
    [following] = [thread for thread in threading.enumerate() if thread.name == "tokenkeep-tokens"]
    assert following.daemon
    client.close()
    await asyncio.to_thread(following.join, 15)  # less than a wait for events takes
    assert not following.is_alive()


async def test_who_may_not_read_events_is_told_when_he_begins(service: Service, api: str) -> None:
    key = await service.key("credentials:read")
    async with AsyncTokenkeep(api, key) as client:
        with pytest.raises(NotAllowed) as refused:
            await client.tokens.follow_events()
    assert refused.value.scope == "events:read"
    with Tokenkeep(api, key) as blocking, pytest.raises(NotAllowed):
        await asyncio.to_thread(blocking.tokens.follow_events)


async def test_a_refused_token_is_replaced_and_the_refusal_told_once(
    service: Service, api: str, server: TokenServer
) -> None:
    name = uuid4().hex
    account_id = await service.account(await service.source(server.url), name=name)
    key = await service.key("credentials:read", "events:write")
    inbox = wire_inbox(service.foundation, service.queue, service.wired.stores, service.sealer)

    async def work_off() -> None:
        while True:
            await inbox.round()
            await asyncio.sleep(0.02)

    working = asyncio.create_task(work_off())
    async with AsyncTokenkeep(api, key) as one, AsyncTokenkeep(api, key) as other:
        refused = await one.token(account_id)
        newer = await asyncio.gather(
            *(client.tokens.renew(account_id, refused) for client in (one, other) for _ in range(5))
        )
    await cancelled(working)
    assert {None if token is None else token.access_token for token in newer} == {f"access-{name}.2"}
    assert server.presented == [f"{name}.1"]
    rows = await service.sql(
        "SELECT type FROM events WHERE environment = :e AND type = :t",
        e=service.environment,
        t=EventType.TOKEN_REJECTED.value,
    )
    assert len(rows) == 1


async def test_an_account_that_waits_for_its_user_is_not_ready(service: Service, api: str) -> None:
    source_id = await service.source(TOKEN_URL)
    async with service.client() as admin:
        pending = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)["id"]
    async with AsyncTokenkeep(api, await service.key("credentials:read")) as client:
        with pytest.raises(AccountNotReady):
            await client.token(pending)


async def test_a_revoked_account_says_where_its_user_is_to_be_sent(
    service: Service, api: str, server: TokenServer
) -> None:
    options = {"authorization_url": "https://93.184.215.14/authorize"}
    account_id = await service.account(await service.source(server.url, **options), name=uuid4().hex, expires_in=1)
    server.script.append(says(400, {"error": "invalid_grant"}))
    server.script.append(says(400, {"error": "invalid_grant"}))
    async with AsyncTokenkeep(api, await service.key("credentials:read")) as client:
        with pytest.raises(ReauthorizationRequired) as refused:
            await client.token(account_id, force=True)
    assert refused.value.reason == "revoked"
    assert (refused.value.connect_url or "").startswith("http")
    assert refused.value.correlation_id
