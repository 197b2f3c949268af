"""One trace from tick, or request, to event."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from road import Road, open_road
from seen_spans import SeenSpans, text_of
from token_server import Said, TokenServer, says
from tokenkeep.adapters.redis.connection import connect_blocking
from tokenkeep.adapters.redis.event_stream import STREAM
from tokenkeep.adapters.redis.queue import DramatiqRefreshQueue, RefreshHint, create_broker
from tokenkeep.adapters.tracing.traces import Traces
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.settings import require_redis
from tokenkeep_api.app import create_app
from tokenkeep_api.main import refresh_queue
from tokenkeep_api.main import wire as wire_api
from tokenkeep_scheduler.main import Scheduler
from tokenkeep_worker.inbox import wire_inbox
from tokenkeep_worker.main import Worker
from tokenkeep_worker.webhooks import wire_webhooks
from webhook_receiver import Receiver

ADMIN_KEY = "tk_admin-key-of-the-tests-4711"
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def seen() -> SeenSpans:
    return SeenSpans()


@pytest.fixture
async def traced(database_url: str, redis_url: str, seen: SeenSpans) -> AsyncIterator[Road]:
    async with open_road(database_url, redis_url, traces=seen.traces, admin_key=ADMIN_KEY, metrics_port=0) as road:
        await road.foundation.redis.flushall()
        yield road


@asynccontextmanager
async def worker(road: Road) -> AsyncIterator[Worker]:
    """A worker as its process runs it, in this one."""
    queue = DramatiqRefreshQueue(create_broker(connect_blocking(require_redis(road.foundation.settings))))
    inbox = wire_inbox(road.foundation, queue, road.refreshing.stores, road.refreshing.sealer)
    webhooks = wire_webhooks(road.foundation, road.refreshing.sealer.vault)
    stopping = asyncio.Event()
    # Its end is not the scheduler's, which shares the rest with it here.
    begun = Worker(replace(road.foundation, leaving=asyncio.Event()), road.refreshing, inbox, webhooks)
    running = asyncio.create_task(begun.run(stopping))
    try:
        yield begun
    finally:
        stopping.set()
        await running


async def settled(road: Road, account_id: AccountId, count: int = 1) -> None:
    async with asyncio.timeout(20):
        statement = "SELECT count(*) AS n FROM refresh_attempts WHERE account_id = :id AND outcome IS NOT NULL"
        while (await road.sql(statement, id=account_id))[0]["n"] < count:  # noqa: ASYNC110 - rows tell nobody
            await asyncio.sleep(0.02)


async def tick(road: Road) -> None:
    await Scheduler(road.foundation, road.jobs)._tick()


async def relay(road: Road) -> None:
    await road.jobs.relay.keep_shards()
    await road.jobs.relay()


async def test_a_refresh_is_one_trace_from_the_tick_to_the_event(
    traced: Road, server: TokenServer, seen: SeenSpans
) -> None:
    account_id = await traced.account(await traced.source(server.url))
    async with worker(traced):
        await tick(traced)
        await settled(traced, account_id)
    await relay(traced)
    published = seen.one("publish tokenkeep.account.refreshed")
    assert seen.way_to(published) == [
        "tick",
        "refresh batch",
        "refresh",
        "settle",
        "publish tokenkeep.account.refreshed",
    ]
    call = seen.one("provider call")
    assert seen.way_to(call) == ["tick", "refresh batch", "refresh", "provider call"]
    assert (call.kind, dict(call.attributes or {})["server.address"]) == (SpanKind.CLIENT, "127.0.0.1")
    facts = dict(seen.one("refresh").attributes or {})
    assert facts["tokenkeep.account_id"] == format_id(IdKind.ACCOUNT, account_id)
    assert (facts["tokenkeep.outcome"], facts["tokenkeep.state"]) == ("ok", "active")
    [line] = [one for one in traced.log if one["event"] == "refresh_settled"]
    assert line["correlation_id"] == facts["tokenkeep.correlation_id"]
    redis: Any = traced.foundation.redis
    [*_, (_, entry)] = await redis.xrange(STREAM)
    assert json.loads(entry[b"event"])["traceparent"].split("-")[1] == f"{published.context.trace_id:032x}"


async def test_accounts_of_one_message_share_its_trace_and_messages_of_one_tick_do_not(
    traced: Road, server: TokenServer, seen: SeenSpans
) -> None:
    ids = [
        await traced.account(source_id, f"g{n}")
        for n, source_id in enumerate([await traced.source(server.url)] * 2 + [await traced.source(server.url)])
    ]
    async with worker(traced):
        await tick(traced)
        for one in ids:
            await settled(traced, one)
    trace_of = {dict(it.attributes or {})["tokenkeep.account_id"]: it.context.trace_id for it in seen.named("refresh")}
    first, second, third = (trace_of[format_id(IdKind.ACCOUNT, one)] for one in ids)
    assert first == second != third
    causes = {dict(it.attributes or {})["tokenkeep.correlation_id"] for it in seen.named("tick")}
    assert (len(seen.named("tick")), len(causes)) == (2, 1)


async def test_a_callers_trace_goes_on_to_the_event(traced: Road, server: TokenServer, seen: SeenSpans) -> None:
    account_id = await traced.account(await traced.source(server.url), expires_in_s=3600)
    wired = wire_api(traced.foundation, refresh_queue(traced.foundation))
    transport = httpx.ASGITransport(create_app(wired))
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "traceparent": CALLER}
    path = f"/v1/accounts/{format_id(IdKind.ACCOUNT, account_id)}/refresh"
    async with worker(traced), httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        assert (await client.post(path, headers=headers)).status_code == 202
        await settled(traced, account_id)
        assert (await client.post(path, headers={"traceparent": CALLER})).status_code == 401
        await client.get("/openapi.json", headers={"traceparent": CALLER})
    await relay(traced)
    published = seen.one("publish tokenkeep.account.refreshed")
    assert seen.way_to(published)[:5] == [
        "?",
        "POST /v1/accounts/{account_id}/refresh",
        "refresh demanded",
        "refresh batch",
        "refresh",
    ]
    assert f"{published.context.trace_id:032x}" == CALLER.split("-")[1]
    # Who has no key says nothing of traces.
    assert seen.one("GET").parent is None
    await wired.endpoints.close()


async def test_what_an_api_call_tells_belongs_to_its_trace(traced: Road, server: TokenServer, seen: SeenSpans) -> None:
    account_id = await traced.account(await traced.source(server.url), expires_in_s=3600)
    wired = wire_api(traced.foundation, refresh_queue(traced.foundation))
    transport = httpx.ASGITransport(create_app(wired))
    path = f"/v1/accounts/{format_id(IdKind.ACCOUNT, account_id)}/disable"
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        await client.post(path, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
    await relay(traced)
    published = seen.one("publish tokenkeep.account.disabled")
    assert seen.way_to(published) == ["POST /v1/accounts/{account_id}/disable", "publish tokenkeep.account.disabled"]
    # Events from before, or of causes that nobody follows, have no span.
    assert [span.name for span in seen.all() if span.name.startswith("publish")] == [published.name]
    await wired.endpoints.close()


async def test_a_delivery_to_a_webhook_belongs_to_its_events_trace(
    traced: Road, server: TokenServer, seen: SeenSpans
) -> None:
    account_id = await traced.account(await traced.source(server.url), expires_in_s=3600)
    wired = wire_api(traced.foundation, refresh_queue(traced.foundation))
    transport = httpx.ASGITransport(create_app(wired))
    path = f"/v1/accounts/{format_id(IdKind.ACCOUNT, account_id)}/disable"
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with Receiver() as receiver, worker(traced):
        receiver.script.append(Said(500, b"canary"))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers) as client:
            hook = {"url": f"{receiver.url}?key=canary", "types": ["account.disabled"]}
            assert (await client.post("/v1/webhooks", json=hook)).status_code == 201
            await client.post(path)
        await receiver.come(1)
    delivery = seen.one("deliver tokenkeep.account.disabled")
    assert seen.way_to(delivery) == ["POST /v1/accounts/{account_id}/disable", "deliver tokenkeep.account.disabled"]
    assert dict(delivery.attributes or {})["http.response.status_code"] == 500
    assert delivery.status.status_code is StatusCode.ERROR
    assert "canary" not in "".join(text_of(span) for span in seen.all())
    await wired.endpoints.close()


async def test_a_message_of_a_release_that_traced_nothing_begins_a_trace_of_its_own(
    traced: Road, server: TokenServer, seen: SeenSpans
) -> None:
    account_id = await traced.account(await traced.source(server.url))
    queue = DramatiqRefreshQueue(create_broker(connect_blocking(require_redis(traced.foundation.settings))))
    async with worker(traced):
        await queue.enqueue([account_id], trigger=Trigger.SCHEDULE, correlation_id="cor_old")
        await settled(traced, account_id)
    assert seen.way_to(seen.one("settle")) == ["refresh batch", "refresh", "settle"]


async def test_a_worker_that_traces_nothing_takes_a_message_that_something_goes_along_with(
    road: Road, server: TokenServer, seen: SeenSpans
) -> None:
    account_id = await road.account(await road.source(server.url))
    broker = create_broker(connect_blocking(require_redis(road.foundation.settings)))
    queue = DramatiqRefreshQueue(broker, along=seen.traces.of_message)
    async with worker(road):
        await queue.enqueue([account_id], trigger=Trigger.SCHEDULE, correlation_id="cor_new")
        await settled(road, account_id)
    [row] = await road.sql("SELECT count(traceparent) AS traced FROM events")
    assert row["traced"] == 0


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (says(400, {"error": "invalid_grant", "error_description": "canary grant.1 shh"}), 400),
        (says(503, {"error": "canary"}), 503),
        (Said(drop=True), None),
        (says(200, {"access_token": "canary", "refresh_token": "canary.2", "expires_in": 60}), 200),
    ],
)
async def test_no_span_holds_a_secret_whatever_the_provider_says(
    traced: Road, server: TokenServer, seen: SeenSpans, said: Said, status: int | None
) -> None:
    account_id = await traced.account(await traced.source(server.url))
    server.script.append(said)
    hint = RefreshHint((account_id,), Trigger.SCHEDULE, "cor_1")
    async with worker(traced) as begun:
        await begun.refresh(hint)
        await settled(traced, account_id)
    await relay(traced)
    call = seen.one("provider call")
    assert dict(call.attributes or {}).get("http.response.status_code") == status
    assert (call.status.status_code is StatusCode.ERROR) is (status != 200)
    exported = "".join(text_of(span) for span in seen.all())
    assert [word for word in ("canary", "grant.", "access-", "shh", ADMIN_KEY) if word in exported] == []


class Broken(SpanProcessor):
    """Whatever is begun or ended goes wrong."""

    def on_start(self, span: Span, parent_context: object = None) -> None:  # noqa: ARG002 - the library calls it so
        raise RuntimeError("broken")

    def on_end(self, span: object) -> None:  # noqa: ARG002 - as above
        raise RuntimeError("broken")


async def test_refreshes_do_not_suffer_from_traces_that_are_broken(
    database_url: str, redis_url: str, server: TokenServer
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Broken())
    async with open_road(database_url, redis_url, traces=Traces(provider), metrics_port=0) as road:
        await road.foundation.redis.flushall()
        account_id = await road.account(await road.source(server.url))
        async with worker(road):
            await tick(road)
            await settled(road, account_id)
        await relay(road)
        assert (await road.told(account_id))[-1] == "refreshed"
        assert server.presented == ["grant.1"]
        assert await road.foundation.redis.xlen(STREAM) == 3
