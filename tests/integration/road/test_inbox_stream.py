"""The stream `tokenkeep:inbox`: what is written there is taken once, or told why it is not."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_service import DirectQueue
from cancelled import cancelled
from incoming import a_report, an_incoming
from road import Road
from token_server import TokenServer
from tokenkeep.adapters.postgres.inbox import PostgresInboxQueue
from tokenkeep.adapters.postgres.unit_of_work import PostgresWorks
from tokenkeep.adapters.redis.inbox_stream import DEAD, STREAM, RedisDeadEntries, RedisInboxStream
from tokenkeep.application.accept_events import AcceptEvents, Letter
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep_scheduler.inbox import InboxIntake
from tokenkeep_worker.inbox import InboxApplication, wire_inbox

AT_ONCE = timedelta(milliseconds=1)


def public(account_id: UUID) -> str:
    return format_id(IdKind.ACCOUNT, account_id)


def an_intake(road: Road, *, reclaim_after: timedelta = AT_ONCE) -> InboxIntake:
    """One consumer, as a scheduler process is one."""
    stream = RedisInboxStream(road.foundation.redis, consumer=uuid4().hex, reclaim_after=reclaim_after)
    return InboxIntake(stream, AcceptEvents(PostgresWorks(road.foundation.database), road.foundation.metrics))


async def put(road: Road, *events: Any) -> None:
    for event in events:
        text = event if isinstance(event, str) else json.dumps(event)
        await road.foundation.redis.xadd(STREAM, {"event": text})


async def take_all(intake: InboxIntake) -> int:
    taken = await intake.take(block=AT_ONCE)  # makes the group where there is none, and finds nothing then
    while more := await intake.take(block=AT_ONCE):
        taken += more
    return taken


async def left(road: Road) -> int:
    length: int = await road.foundation.redis.xlen(STREAM)
    return length


async def dead(road: Road) -> list[dict[str, str]]:
    entries: Any = await road.foundation.redis.xrange(DEAD)
    return [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in entries]


async def kept(road: Road) -> list[tuple[str, str, str | None]]:
    rows = await road.sql("SELECT id, actor, outcome FROM inbox_events ORDER BY position")
    return [(row["id"], row["actor"], row["outcome"]) for row in rows]


@pytest.fixture
async def inbox(road: Road) -> AsyncIterator[InboxApplication]:
    queue = DirectQueue(road.refreshing)
    yield wire_inbox(road.foundation, queue, road.refreshing.stores, road.sealer)
    await queue.drain()


async def work_off(inbox: InboxApplication) -> None:
    while await inbox.round():
        pass


async def test_an_entry_has_its_effect_under_the_name_of_the_inbox(
    road: Road, inbox: InboxApplication, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    await put(road, an_incoming("disable_requested", public(account_id), id="one"))
    await take_all(an_intake(road))
    await work_off(inbox)
    disabled = (await road.view(account_id)).account.disabled
    assert disabled is not None
    assert (disabled.reason.value, disabled.by) == ("by_operator", "inbox")
    assert await kept(road) == [("one", "inbox", "applied")]
    assert await left(road) == 0


async def test_what_cannot_be_understood_goes_to_the_dead_with_the_reason_and_stops_nothing(
    road: Road, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    unknown = public(uuid4())
    elsewhere = an_incoming("revoked", public(account_id), data={"environment": "elsewhere"})
    await put(road, "{no json", "7", an_incoming("unheard_of", public(account_id)), an_incoming("revoked", unknown))
    await road.foundation.redis.xadd(STREAM, {"payload": "x"})
    await put(road, elsewhere, an_incoming("refresh_requested", public(account_id), id="good"))
    await take_all(an_intake(road))
    assert [one[0] for one in await kept(road)] == ["good"]
    assert await left(road) == 0
    found = await dead(road)
    assert [one.get("field") for one in found] == ["event", "event", "type", "subject", "event", "data.environment"]
    assert found[0]["event"] == "{no json"
    assert found[3]["reason"] == "not_found: there is no such account"
    assert all(one["reason"] and one["entry"] for one in found)


async def test_an_entry_is_known_again_by_its_source_and_id_also_if_it_came_over_the_api(
    road: Road, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    event = an_incoming("refresh_requested", public(account_id), id="one")
    accept = AcceptEvents(PostgresWorks(road.foundation.database), road.foundation.metrics)
    await accept([event], Letter("key_1", "default", "cor_1"))
    await put(road, event, event)
    await take_all(an_intake(road))
    assert await kept(road) == [("one", "key_1", None)]
    assert (await left(road), await dead(road)) == (0, [])


async def test_what_a_consumer_had_taken_when_it_died_is_taken_over_and_had_its_effect_once(
    road: Road, inbox: InboxApplication, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    events = [a_report(public(account_id), "access-grant.1", id=str(n)) for n in range(3)]
    dying = RedisInboxStream(road.foundation.redis, consumer="dying", reclaim_after=AT_ONCE)
    await dying.new(10, block=AT_ONCE)  # makes the group
    await put(road, *events)
    taken = await dying.new(10, block=AT_ONCE)
    accept = AcceptEvents(PostgresWorks(road.foundation.database), road.foundation.metrics)
    await accept([entry.document for entry in taken[:2]], Letter("inbox", None, "cor_1"))
    await work_off(inbox)  # two are accepted and worked off, none is acknowledged: it died here
    assert await left(road) == 3
    await asyncio.sleep(0.01)  # longer than an entry may lie with one who is silent
    assert await take_all(an_intake(road)) == 3
    await work_off(inbox)
    assert [one[2] for one in await kept(road)] == ["applied", "moot", "moot"]
    assert server.presented == ["grant.1"]
    assert await left(road) == 0


async def test_a_consumer_goes_on_with_what_it_took_when_the_database_was_away(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    intake = an_intake(road, reclaim_after=timedelta(hours=1))
    await take_all(intake)
    await put(road, an_incoming("refresh_requested", public(account_id)))
    await road.sql("ALTER TABLE inbox_events RENAME TO away")
    with pytest.raises(Exception, match="inbox_events"):
        await intake.take(block=AT_ONCE)
    await road.sql("ALTER TABLE away RENAME TO inbox_events")
    assert await left(road) == 1
    assert await take_all(intake) == 1
    assert (len(await kept(road)), await left(road)) == (1, 0)


async def test_entries_written_after_redis_was_flushed_are_taken(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    intake = an_intake(road)
    running = asyncio.create_task(intake.run())
    try:
        for number in range(3):
            await road.foundation.redis.flushall()
            await put(road, an_incoming("refresh_requested", public(account_id), id=str(number)))
            async with asyncio.timeout(20):
                while await left(road):  # noqa: ASYNC110 - the stream tells nobody
                    await asyncio.sleep(0.01)
    finally:
        await cancelled(running)
    assert [one[0] for one in await kept(road)] == ["0", "1", "2"]


async def test_a_burst_of_10000_events_is_accepted_without_loss_in_bounded_batches(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    accounts = [await road.account(source_id, f"g{n}", expires_in_s=3600) for n in range(20)]
    async with road.foundation.redis.pipeline(transaction=False) as burst:
        for number in range(10_000):
            event = a_report(public(accounts[number % 20]), "nobody's", id=str(number))
            burst.xadd(STREAM, {"event": json.dumps(event)})
        await burst.execute()
    intakes = [an_intake(road, reclaim_after=timedelta(hours=1)) for _ in range(2)]
    sizes: list[int] = []

    async def take(intake: InboxIntake) -> None:
        await intake.take(block=AT_ONCE)
        while size := await intake.take(block=AT_ONCE):
            sizes.append(size)

    await asyncio.gather(*(take(intake) for intake in intakes))
    [row] = await road.sql("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM inbox_events")
    assert (row["n"], row["ids"]) == (10_000, 10_000)
    assert max(sizes) <= 500
    assert (await left(road), await dead(road)) == (0, [])


async def test_dead_entries_are_listed_and_tried_again_once(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    await put(road, an_incoming("revoked", public(AccountId(uuid4()))), "{")
    await take_all(an_intake(road))
    entries = RedisDeadEntries(road.foundation.redis)
    first, second = await entries.list(10)
    assert (first.field, second.event) == ("subject", "{")
    assert await entries.retry(second.id)
    assert not await entries.retry(second.id)
    await take_all(an_intake(road))
    assert [one.event for one in await entries.list(10)] == [first.event, "{"]
    assert (await road.view(account_id)).account.state.value == "active"


async def test_consumers_that_are_gone_are_forgotten_but_not_what_they_left(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    await take_all(an_intake(road))
    holding = RedisInboxStream(road.foundation.redis, consumer="holding", reclaim_after=timedelta(hours=1))
    await put(road, an_incoming("refresh_requested", public(account_id)))
    await holding.new(10, block=AT_ONCE)
    await asyncio.sleep(0.01)  # longer than the silence that is asked about
    assert await holding.forget_consumers(AT_ONCE) >= 1
    assert len(await holding.unfinished(10)) == 1


async def test_what_is_written_while_nobody_reads_waits_for_its_reader(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    await put(road, an_incoming("refresh_requested", public(account_id)))
    await take_all(an_intake(road))
    assert len(await kept(road)) == 1


async def test_accounts_whose_events_are_put_off_crowd_out_no_other(
    road: Road, inbox: InboxApplication, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    broken, sound = [await road.account(source_id, name, expires_in_s=3600) for name in ("broken", "sound")]
    await road.sql("UPDATE credentials SET wrapped_key = 'lost' WHERE account_id = :id", id=broken)
    await put(road, a_report(public(broken), "t"), an_incoming("disable_requested", public(broken)))
    await take_all(an_intake(road))
    await work_off(inbox)
    put_off = "UPDATE inbox_events SET next_try_at = next_try_at + interval '1 hour'"
    [row] = await road.sql(f"{put_off} WHERE tries > 0 RETURNING next_try_at > received_at + interval '1 hour' AS so")
    assert row["so"], "it was put off before"
    await put(road, an_incoming("disable_requested", public(sound)))
    await take_all(an_intake(road))
    assert await PostgresInboxQueue(road.foundation.database).pending(1) == [sound]
