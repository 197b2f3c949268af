"""The feed over HTTP: replayed from the table, waited for, told where to go on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from api_service import Service, data, problem
from databases import AGE_WHAT_CAME_BEFORE, migrated_database
from event_schemas import check_emitted
from feeding import come_to
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep.adapters.postgres.outbox import PostgresOutbox
from tokenkeep.adapters.redis.event_stream import STREAM, RedisEventStream
from tokenkeep.application.relay_events import RelayEvents
from tokenkeep.domain.ids import new_id
from tokenkeep_api.app import create_app
from tokenkeep_api.feed_readers import FeedReaders

TOKEN_URL = "https://93.184.215.14/token"
ORIGIN = "AQAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture(scope="module")
def api_database_url(postgres_url: str) -> Iterator[str]:
    """A database of this file's own: its relay would publish what other files have told."""
    url = migrated_database(postgres_url, "of_feed_events")
    yield url
    asyncio.run(check_emitted(url))


async def page(client: httpx.AsyncClient, **parameters: Any) -> tuple[list[dict[str, Any]], str]:
    answer = await client.get("/v1/events", params=parameters)
    return data(answer), answer.json()["next_cursor"]


def short(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("tokenkeep.") for event in events]


async def toggled(service: Service, admin: httpx.AsyncClient, times: int = 1) -> str:
    """An account that was created, and disabled and enabled so many times."""
    account_id = await service.account(await service.source(TOKEN_URL), name=uuid4().hex)
    for _ in range(times):
        data(await admin.post(f"/v1/accounts/{account_id}/disable"))
        data(await admin.post(f"/v1/accounts/{account_id}/enable"))
    return account_id


async def on_stream(redis: Redis) -> AsyncIterator[dict[str, Any]]:
    """What the stream holds, a page at a time: all that other tests have told is in it as well."""
    last = "-"
    while entries := cast("Any", await redis.xrange(STREAM, min=last, count=500)):
        for entry, fields in entries:
            yield orjson.loads(fields[b"event"])
            last = f"({entry.decode()}"


async def test_everything_is_replayed_page_by_page(service: Service, admin: httpx.AsyncClient) -> None:
    account_id = await toggled(service, admin, times=2)
    seen: list[dict[str, Any]] = []
    events, cursor = await page(admin, limit=2)
    while events:
        seen += events
        events, cursor = await page(admin, limit=2, after=cursor)
    assert short(seen) == ["account.created", "account.activated", *["account.disabled", "account.enabled"] * 2]
    assert [event["sequence"] for event in seen] == [str(n) for n in range(1, 7)]
    listed = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    assert seen == list(reversed(listed))
    assert await page(admin, after=cursor) == ([], cursor)


async def test_an_event_is_told_exactly_as_the_redis_stream_tells_it(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await toggled(service, admin)
    redis = service.foundation.redis
    relay = RelayEvents(PostgresOutbox(service.foundation.database), RedisEventStream(redis), holder=new_id())
    await redis.flushall()
    await service.sql("UPDATE outbox_shards SET holder = NULL, lease_until = NULL")
    await relay.keep_shards()
    await relay()
    mine = [event async for event in on_stream(redis) if event["data"]["environment"] == service.environment]
    events, _ = await page(admin)
    assert len(events) == 4
    assert sorted(mine, key=lambda event: int(event["sequence"])) == events
    await relay.stop()


async def test_filters_are_by_type_in_full_or_in_short_and_by_subject(
    service: Service, admin: httpx.AsyncClient
) -> None:
    first, second = await toggled(service, admin), await toggled(service, admin)
    source_id = data(await admin.get(f"/v1/accounts/{second}"))["source_id"]
    data(await admin.post(f"/v1/sources/{source_id}/pause"))
    events, cursor = await page(admin, type=["account.disabled", "tokenkeep.source.paused"])
    assert short(events) == ["account.disabled", "account.disabled", "source.paused"]
    _, everything = await page(admin)
    assert cursor == everything, "a cursor moves past what a filter left out"
    events, _ = await page(admin, subject=first)
    assert len(events) == 4
    assert {event["subject"] for event in events} == {first}
    events, _ = await page(admin, subject=source_id, type="source.paused")
    assert [event["subject"] for event in events] == [source_id]


async def test_without_events_there_is_a_cursor_to_go_on_from(service: Service, admin: httpx.AsyncClient) -> None:
    assert await page(admin) == ([], ORIGIN)
    assert await page(admin, after="now") == ([], ORIGIN)
    await toggled(service, admin)
    events, _ = await page(admin, after=ORIGIN)
    assert len(events) == 4


async def test_now_leaves_out_what_has_happened(service: Service, admin: httpx.AsyncClient) -> None:
    account_id = await toggled(service, admin)
    events, cursor = await page(admin, after="now")
    assert events == []
    data(await admin.post(f"/v1/accounts/{account_id}/disable"))
    events, _ = await page(admin, after=cursor)
    assert short(events) == ["account.disabled"]


async def test_who_waits_is_answered_when_something_happens(service: Service, admin: httpx.AsyncClient) -> None:
    account_id = await toggled(service, admin)
    async with asyncio.timeout(30):
        waiting = asyncio.create_task(page(admin, after="now", wait=60, type="account.disabled"))
        await come_to(1, service.wired.feed_readers)
        data(await admin.post(f"/v1/accounts/{account_id}/refresh"), 202)
        data(await admin.post(f"/v1/accounts/{account_id}/disable"))
        events, _ = await waiting
    assert short(events) == ["account.disabled"]
    assert len(service.wired.feed_readers) == 0


async def test_who_waits_for_nothing_is_answered_when_the_time_is_over(
    service: Service, admin: httpx.AsyncClient
) -> None:
    await toggled(service, admin)
    _, cursor = await page(admin)
    async with asyncio.timeout(30):
        assert await page(admin, after=cursor, wait=1) == ([], cursor)


async def test_who_waits_when_the_process_stops_is_answered_at_once(service: Service, admin: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        waiting = asyncio.create_task(page(admin, wait=60))
        await come_to(1, service.wired.feed_readers)
        service.wired.event_tail.close()
        assert await waiting == ([], ORIGIN)


async def test_a_cursor_older_than_what_is_kept_is_a_410(service: Service, admin: httpx.AsyncClient) -> None:
    account_id = await toggled(service, admin)
    _, first = await page(admin, limit=1)
    _, second = await page(admin, limit=2)
    ids = [event["id"] for event in (await page(admin, limit=2))[0]]
    assert len(ids) == 2
    await service.sql(
        "DELETE FROM outbox WHERE subject = (SELECT id FROM accounts WHERE environment = :e)", e=service.environment
    )
    await service.sql(
        "UPDATE events SET time = time - interval '31 days' WHERE environment = :e AND sequence <= 2",
        e=service.environment,
    )
    await service.sql(AGE_WHAT_CAME_BEFORE)
    await keep_house(service.foundation.database, audit_days=0)
    for gone in (first, ORIGIN):
        refused = problem(await admin.get("/v1/events", params={"after": gone}), 410, "cursor_expired")
        assert "no longer kept" in refused["detail"]
        problem(await admin.get("/v1/events/stream", params={"after": gone}), 410, "cursor_expired")
    for still in ({"after": second}, {}):
        events, _ = await page(admin, **still)
        assert short(events) == ["account.disabled", "account.enabled"]
    assert events[0]["subject"] == account_id


async def test_another_environments_events_and_cursors_are_not_told(service: Service, admin: httpx.AsyncClient) -> None:
    await toggled(service, admin)
    _, cursor = await page(admin)
    stranger = await service.key("events:read", environment=f"{service.environment}-other")
    async with service.client(stranger) as client:
        assert (await page(client))[0] == []
        problem(await client.get("/v1/events", params={"after": cursor}), 410, "cursor_expired")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("after", "x"),
        ("after", "A" * 22),
        ("after", "_" * 23),
        ("after", "-" * 65),
        ("type", "account.unauthorized"),
        ("type", "%"),
        ("subject", "canary"),
        ("wait", "61"),
        ("wait", "-1"),
        ("limit", "0"),
        ("limit", "501"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(admin: httpx.AsyncClient, field: str, value: str) -> None:
    code = "malformed_id" if field == "subject" else "invalid_input"
    problem(await admin.get("/v1/events", params={field: value}), 422, code, field)
    if field not in {"wait", "limit"}:
        problem(await admin.get("/v1/events/stream", params={field: value}), 422, code, field)


async def test_a_last_event_id_that_is_none_of_ours_is_refused(admin: httpx.AsyncClient) -> None:
    refused = await admin.get("/v1/events/stream", headers={"Last-Event-ID": "7"})
    problem(refused, 422, "invalid_input", "Last-Event-ID")


async def test_one_key_can_not_have_all_the_readers(service: Service) -> None:
    readers = FeedReaders(most=3, most_of_one_key=2)
    wired = replace(service.wired, feed_readers=readers)
    crowded = replace(service, wired=wired, app=create_app(wired))
    keys = [await service.key("events:read") for _ in range(2)]
    async with asyncio.timeout(30), crowded.client(keys[0]) as one, crowded.client(keys[1]) as other:
        waiting = [asyncio.create_task(page(one, wait=60)) for _ in range(2)]
        await come_to(2, readers)
        refused = await one.get("/v1/events")
        problem(refused, 503, "too_many_readers")
        assert refused.headers["retry-after"]
        waiting.append(asyncio.create_task(page(other, wait=60)))
        await come_to(3, readers)
        problem(await other.get("/v1/events"), 503, "too_many_readers")
        service.wired.event_tail.close()
        await asyncio.gather(*waiting)
    assert len(readers) == 0
