"""The SDK asks what has happened and tells what a service sees, with both clients, against a real server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest

from api_service import ADMIN_KEY, Service, data
from databases import migrated_database
from event_schemas import check_emitted
from served_api import served
from tokenkeep.adapters.postgres.outbox import PostgresOutbox
from tokenkeep.adapters.redis.event_stream import RedisEventStream
from tokenkeep.application.relay_events import RelayEvents
from tokenkeep.client import (
    AsyncTokenkeep,
    Event,
    Report,
    Tokenkeep,
    disable_requested,
    enable_requested,
    refresh_requested,
    revoked,
    unauthorized,
)
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import new_id
from tokenkeep.domain.incoming_event import IncomingType
from told_events import until

TOKEN_URL = "https://93.184.215.14/token"


@pytest.fixture(scope="module")
def api_database_url(postgres_url: str) -> Iterator[str]:
    """A database of this file's own: its relay would publish what other files have told."""
    url = migrated_database(postgres_url, "of_sdk_events")
    yield url
    asyncio.run(check_emitted(url))


@pytest.fixture
async def api(service: Service) -> AsyncIterator[str]:
    async with served(service) as url:
        yield url


async def test_one_or_many_reports_are_sent_and_each_is_answered(service: Service, api: str) -> None:
    account_id = await service.account(await service.source(TOKEN_URL), name=uuid4().hex)
    key = await service.key("events:write")
    reports = [unauthorized(account_id, "access-of-somebody"), revoked(f"acc_{uuid4().hex}", reason="uninstalled")]
    async with AsyncTokenkeep(api, key) as client:
        first, second = await client.events.send(*reports)
        assert (first.id, first.status, first.code) == (reports[0].id, "accepted", None)
        assert (second.id, second.status, second.code) == (reports[1].id, "rejected", "not_found")
        [again] = await client.events.send(reports[0])
        assert again.status == "duplicate"
        assert await client.events.send() == []
    with Tokenkeep(api, key) as blocking:
        receptions = await asyncio.to_thread(
            blocking.events.send,
            refresh_requested(account_id),
            disable_requested(account_id),
            enable_requested(account_id),
        )
        assert [one.status for one in receptions] == ["accepted"] * 3
    kept = await service.sql("SELECT * FROM inbox_events WHERE environment = :e", e=service.environment)
    assert "access-of-somebody" not in str(kept)


async def test_more_than_a_call_takes_are_sent_in_several(service: Service, api: str) -> None:
    account_id = await service.account(await service.source(TOKEN_URL), name=uuid4().hex)
    reports = [refresh_requested(account_id) for _ in range(1_001)]
    async with AsyncTokenkeep(api, ADMIN_KEY, environment=service.environment) as client:
        receptions = await client.events.send(*reports)
    assert [one.id for one in receptions] == [report.id for report in reports]
    assert {one.status for one in receptions} == {"accepted"}


def test_a_report_that_the_server_would_refuse_is_not_made() -> None:
    with pytest.raises(InvalidInput):
        refresh_requested("src_1")
    with pytest.raises(InvalidInput):
        revoked(f"acc_{uuid4().hex}", reason="x" * 201)
    with pytest.raises(InvalidInput):
        Report(IncomingType.UNAUTHORIZED, f"acc_{uuid4().hex}")


async def test_what_happened_is_listed_page_by_page_and_iterated(service: Service, api: str) -> None:
    source_id = await service.source(TOKEN_URL)
    account_id = await service.account(source_id, name=uuid4().hex)
    async with service.client() as admin:
        for call in ("disable", "enable", "disable"):
            data(await admin.post(f"/v1/accounts/{account_id}/{call}"))
    key = await service.key("events:read")

    def short(events: Any) -> list[str]:
        return [event.type.removeprefix("tokenkeep.account.") for event in events]

    async with AsyncTokenkeep(api, key) as client:
        page = await client.events.list(limit=2)
        assert short(page.events) == ["created", "activated"]
        page = await client.events.list(after=page.next_cursor, types=["account.disabled"], subject=account_id)
        assert short(page.events) == ["disabled", "disabled"]
        every: list[Event] = [event async for event in client.events.iterate()]
        assert short(every) == ["created", "activated", "disabled", "enabled", "disabled"]
        assert [event async for event in client.events.iterate(after="now")] == []
        assert short([event async for event in client.events.iterate(subject=source_id)]) == []
    with Tokenkeep(api, key) as blocking:
        listed = await asyncio.to_thread(lambda: list(blocking.events.iterate(types=["account.enabled"])))
        assert short(listed) == ["enabled"]
        waited = await asyncio.to_thread(lambda: blocking.events.list(after="now", wait=1))
        assert waited.events == []


async def test_what_the_relay_publishes_is_what_subscribers_are_told(
    service: Service, api: str, redis_url: str
) -> None:
    account_id = await service.account(await service.source(TOKEN_URL), name=uuid4().hex)
    async with service.client() as admin:
        data(await admin.post(f"/v1/accounts/{account_id}/disable"))
    redis = service.foundation.redis
    await redis.flushall()
    relay = RelayEvents(PostgresOutbox(service.foundation.database), RedisEventStream(redis), holder=new_id())
    await service.sql("UPDATE outbox_shards SET holder = NULL, lease_until = NULL")
    await relay.keep_shards()
    await relay()
    seen: list[Event] = []
    client = Tokenkeep(api, await service.key("events:read"), environment=service.environment, redis=redis_url)
    with client, client.events.subscribe(group="billing").running(seen.append):
        await until(lambda: len(seen) == 3)
        listed = await asyncio.to_thread(client.events.list)
    assert seen == listed.events
    await relay.stop()
