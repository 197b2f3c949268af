"""However many ask, one change of state is one event."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import httpx
import pytest

from api_service import Service, data, open_service, problem
from connect_browser import PUBLIC_URL, ConnectBrowser, a_source, connected, heading, open_browser
from databases import migrated_database
from event_schemas import check_emitted
from tokenkeep.adapters.demo_provider import DemoProvider, Fault, ProviderOptions, ProviderServer
from tokenkeep.adapters.ending import end
from tokenkeep.domain.ids import IdKind, parse_id
from tokenkeep_scheduler.main import wire as wire_scheduler

READERS = 500


@pytest.fixture(scope="module")
def api_database_url(postgres_url: str) -> Iterator[str]:
    """A database of this file's own: its schedulers would refresh what other files left behind."""
    url = migrated_database(postgres_url, "of_transitions")
    yield url
    asyncio.run(check_emitted(url))


@pytest.fixture
async def service(api_database_url: str, redis_url: str) -> AsyncIterator[Service]:
    async with open_service(api_database_url, redis_url, public_url=PUBLIC_URL) as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    options = ProviderOptions(token_lifetime_s=600, redirect_uris=(f"{PUBLIC_URL}/connect/callback",))
    async with ProviderServer(DemoProvider(options)) as started:
        yield started


@asynccontextmanager
async def ticking(service: Service) -> AsyncIterator[asyncio.Lock]:
    """A scheduler beside the API: it finds the demand of whoever's hint came while the row was locked by another.

    It emits nothing while the lock is held.
    """
    emit_due = replace(wire_scheduler(service.foundation).emit_due, queue=service.queue)
    emitting = asyncio.Lock()

    async def tick() -> None:
        while True:
            async with emitting:
                await emit_due(correlation_id="cor_test")
            await asyncio.sleep(0.25)  # a scheduler's pace, not a wait for something to have happened

    ticks = asyncio.create_task(tick())
    try:
        yield emitting
    finally:
        await end(ticks)


async def all_ask(admin: httpx.AsyncClient, account_id: str, *, wait: float, force: bool = False) -> set[str]:
    """What so many readers at once are answered: a status, and why it is no token if it is none."""
    body = {"wait": wait, "force": force}
    asking = (admin.post(f"/v1/accounts/{account_id}/token", json=body) for _ in range(READERS))
    answers = [(answer.status_code, answer.json()) for answer in await asyncio.gather(*asking)]
    return {
        str(status) if status == 200 else f"{status} {said['code']} {said.get('reason')}" for status, said in answers
    }


async def told(service: Service, account_id: str) -> list[str]:
    rows = await service.sql("SELECT type FROM events WHERE subject = :id ORDER BY sequence", id=uuid_of(account_id))
    return [row["type"].rpartition(".")[2] for row in rows]


async def link_of(admin: httpx.AsyncClient, account_id: str, event_type: str) -> str:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    [event] = [one for one in events if one["type"] == f"tokenkeep.account.{event_type}"]
    return str(event["data"]["connect_url"])


async def expire(service: Service, account_id: str) -> None:
    """Its access token is over, and nothing keeps it from being refreshed."""
    for statement in (
        "UPDATE credentials SET expires_at = now() - interval '1 second' WHERE account_id = :id",
        "UPDATE leases SET not_before = NULL WHERE account_id = :id",
    ):
        await service.sql(statement, id=uuid_of(account_id))


def uuid_of(account_id: str) -> UUID:
    return parse_id(IdKind.ACCOUNT, account_id)


async def reconnected(browser: ConnectBrowser, link: str) -> None:
    """Its user follows the link and consents again."""
    followed = await browser.look(link)
    assert followed.status_code == 303, followed.text
    assert heading(await browser.connect(f"{PUBLIC_URL}{followed.headers['location']}")) == "You are connected"


async def test_500_readers_of_a_failing_account_make_one_event_and_its_recovery_makes_one(
    service: Service, admin: httpx.AsyncClient, server: ProviderServer
) -> None:
    async with open_browser(service.app) as browser, ticking(service) as emitting:
        account_id = await connected(admin, browser, await a_source(admin, server))
        server.provider.inject(Fault(status=503, body='{"error": "temporarily_unavailable"}', times=None))
        for _ in range(3):
            await expire(service, account_id)
            assert await all_ask(admin, account_id, wait=30) == {"503 token_unavailable provider_5xx"}
            await service.queue.drain()
        assert await told(service, account_id) == ["created", "activated", "failing"]
        async with emitting:  # else a retry that the fault still answers could fail while it is asked for
            await service.queue.drain()
            server.provider.clear_faults()
            await expire(service, account_id)
        assert await all_ask(admin, account_id, wait=30) == {"200"}
        await service.queue.drain()
        assert (await told(service, account_id))[3:] == ["refreshed", "recovered"]
        # While it failed, its user could have brought it back as well.
        await reconnected(browser, await link_of(admin, account_id, "failing"))
        assert (await told(service, account_id))[5:] == ["reauthorized"]


async def test_500_readers_of_a_revoked_account_make_one_event_whose_link_brings_it_back(
    service: Service, admin: httpx.AsyncClient, server: ProviderServer
) -> None:
    async with open_browser(service.app) as browser, ticking(service):
        account_id = await connected(admin, browser, await a_source(admin, server))
        grant = server.provider.active_grant("alice")
        assert grant is not None
        server.provider.revoke_grant(grant.id)
        assert await all_ask(admin, account_id, wait=30, force=True) == {"409 reauthorization_required revoked"}
        await service.queue.drain()
        assert await told(service, account_id) == ["created", "activated", "disabled"]
        await reconnected(browser, await link_of(admin, account_id, "disabled"))
        assert (await told(service, account_id))[3:] == ["reauthorized"]
        assert await all_ask(admin, account_id, wait=10) == {"200"}
        answer = await admin.post(f"/v1/accounts/{account_id}/disable")
        assert data(answer)["state"] == "disabled"
        problem(await admin.post(f"/v1/accounts/{account_id}/token"), 409, "account_disabled")
