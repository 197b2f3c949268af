"""Events given to the webhooks that want them: each once, none missed, whoever writes at the same time."""

import asyncio
import random

import pytest
from sqlalchemy import text

from api_service import Service
from databases import UNHURRIED
from feeding import happened
from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.event_log import append_events
from tokenkeep.adapters.postgres.webhook_feed import PostgresWebhookFeed
from tokenkeep.domain.ids import IdKind, parse_id
from tokenkeep.settings import require_database
from webhook_house import Hooks, delivering, public
from webhook_receiver import Receiver

WRITERS = 8
WAITING = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def test_events_of_transactions_that_commit_in_another_order_are_given_out_each_once(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    chance = random.Random(7)  # noqa: S311 - the same waits each time
    told: list[str] = []

    async def write() -> None:
        for _ in range(15):
            event = happened(service.environment)
            async with service.foundation.database.transaction() as connection:
                await append_events(connection, [event])
                await asyncio.sleep(chance.random() * 0.05)
                if chance.random() < 0.2:
                    await connection.rollback()
                    continue
            told.append(public(event))

    async with delivering(service), delivering(service):
        await asyncio.gather(*(write() for _ in range(WRITERS)))
        await hooks.until(webhook_id, state="delivered", count=len(told))
        await hooks.given()
    assert sorted(receiver.ids) == sorted(told)
    assert len(told) > WRITERS * 8


async def test_a_change_that_is_committed_while_a_webhook_is_being_made_is_told_to_it(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    late = happened(service.environment)
    written, go_on = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with service.foundation.database.transaction() as connection:
            await append_events(connection, [late])
            written.set()
            await go_on.wait()

    async with delivering(service):
        writing = asyncio.create_task(write())
        await written.wait()
        making = asyncio.create_task(hooks.make(receiver.url))
        [meanwhile] = await hooks.happen()
        go_on.set()
        await writing
        await making
        [after] = await hooks.happen()
        await receiver.come(1)
        await hooks.given()
    # What was committed before it was there it may have heard or not; what came after it must have.
    assert public(after) in receiver.ids
    assert set(receiver.ids) <= {public(late), public(meanwhile), public(after)}


async def test_a_change_that_was_begun_before_a_webhook_was_made_and_is_committed_after_it_is_told_to_it(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    slow = happened(service.environment)
    database = service.foundation.database
    async with delivering(service):
        async with database.transaction() as writing:
            await writing.execute(UNHURRIED)
            async with database.transaction() as before:
                await before.execute(UNHURRIED)
                await append_events(before, [happened(service.environment)])
                making = asyncio.create_task(hooks.make(receiver.url))
                async with asyncio.timeout(9):
                    while not service.wired.event_tail.held_back:  # noqa: ASYNC110 - the look tells nobody
                        await asyncio.sleep(0.01)
                await append_events(writing, [slow])
            webhook_id, _ = await making
        await hooks.until(webhook_id, state="delivered")
    assert receiver.ids == [public(slow)]


async def test_making_a_webhook_does_not_wait_for_a_writer_for_ever(service: Service) -> None:
    async with service.foundation.database.transaction() as writing:
        await append_events(writing, [happened(service.environment)])
        with pytest.raises(TimeoutError):
            await service.wired.event_tail.settle(timeout_s=0.2)


async def test_what_is_known_of_another_server_gives_out_nothing(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    await hooks.happen()
    feed = PostgresWebhookFeed(service.foundation.database)
    settled = await service.wired.event_tail.settle()
    assert await feed.give(settled=settled, server="another one") is None
    assert await hooks.deliveries(webhook_id) == []
    assert await feed.give(settled=settled, server=service.wired.event_tail.server) == settled
    assert len(await hooks.deliveries(webhook_id)) == 1


async def test_a_giver_that_dies_in_the_middle_has_done_nothing(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    await hooks.happen(5)
    feed = PostgresWebhookFeed(service.foundation.database)
    settled = await service.wired.event_tail.settle()
    parsed = parse_id(IdKind.WEBHOOK, webhook_id)
    async with service.foundation.database.transaction() as connection:
        await connection.execute(UNHURRIED)
        # The lane is held, so that it comes as far as it can without being done.
        await connection.execute(text("SELECT FROM webhook_lanes WHERE webhook_id = :id FOR UPDATE"), {"id": parsed})
        giving = asyncio.create_task(feed.give(settled=settled, server=service.wired.event_tail.server))
        async with asyncio.timeout(10):
            # In transactions of its own: within one, the activity stays as it was at the first look.
            while not (await service.sql(WAITING))[0]["n"]:
                if giving.done() and giving.exception() is not None:  # a lock is not waited for without end
                    giving = asyncio.create_task(feed.give(settled=settled, server=service.wired.event_tail.server))
                await asyncio.sleep(0.01)
        giving.cancel()
        await asyncio.wait({giving})
    assert await hooks.deliveries(webhook_id) == []
    async with delivering(service):
        await hooks.until(webhook_id, state="delivered", count=5)
    assert len(receiver.received) == 5


async def positions_of(service: Service, settled: int) -> list[int]:
    statement = "SELECT position FROM events WHERE position <= :settled ORDER BY position DESC LIMIT 100"
    return [row["position"] for row in await service.sql(statement, settled=settled)][::-1]


async def test_the_more_webhooks_hear_an_event_the_fewer_events_are_given_out_at_once(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    feed, tail = PostgresWebhookFeed(service.foundation.database), service.wired.event_tail
    await feed.give(settled=await tail.settle(), server=tail.server)
    crowd = """
INSERT INTO webhooks (id, environment, url, ordered, heard_from, key_id, wrapped_key)
SELECT gen_random_uuid(), 'crowd', 'https://x', false, 0, 'k', 'x' FROM generate_series(1, 300)
"""
    await service.sql(crowd)
    await hooks.happen(80)
    settled = await tail.settle()
    assert await feed.give(settled=settled, server=tail.server) == (await positions_of(service, settled))[-80:][65]
    given = "SELECT count(*) AS n FROM webhook_deliveries WHERE webhook_id = :id"
    assert (await service.sql(given, id=parse_id(IdKind.WEBHOOK, webhook_id)))[0]["n"] == 66
    await service.sql("DELETE FROM webhooks WHERE environment = 'crowd'")
    assert await feed.give(settled=settled, server=tail.server) == settled


async def test_a_batch_that_took_too_long_is_given_out_in_smaller_ones(
    hooks: Hooks, service: Service, receiver: Receiver
) -> None:
    webhook_id, _ = await hooks.make(receiver.url)
    tail = service.wired.event_tail
    hurried = Database(create_engine(require_database(service.foundation.settings), pool_size=1, command_timeout_s=0.5))
    feed = PostgresWebhookFeed(hurried, most=8)
    await hooks.happen(20)
    settled = await tail.settle()
    async with service.foundation.database.transaction() as connection:
        await connection.execute(UNHURRIED)
        await connection.execute(
            text("SELECT FROM webhook_lanes WHERE webhook_id = :id FOR UPDATE"),
            {"id": parse_id(IdKind.WEBHOOK, webhook_id)},
        )
        with pytest.raises(TimeoutError):
            await feed.give(settled=settled, server=tail.server)
    feed._database = service.foundation.database  # one that waits for a machine that stands still
    given = []
    reached: int | None = None
    while reached != settled:
        before = len(await hooks.deliveries(webhook_id))
        reached = await feed.give(settled=settled, server=tail.server)
        given.append(len(await hooks.deliveries(webhook_id)) - before)
    assert given == [4, 5, 6, 5]
    await hurried.close()
