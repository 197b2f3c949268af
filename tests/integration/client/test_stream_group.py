"""What consumers leave behind in Redis, and what others make of it."""

import asyncio
import logging
from typing import Any

import pytest

from tokenkeep.client import AsyncTokenkeep, Event, Tokenkeep
from tokenkeep.client.stream_scripts import HOLD, RESCUE, TAKE, Script
from told_events import STREAM, Teller, ids, until

LEASE = "tokenkeep:events:lease:billing"


async def leave_pending(redis_url: str, teller: Teller, *, ordered: bool = True) -> None:
    """A consumer that is ended by force in its first handler, with all there is in hand."""
    begun = asyncio.Event()

    async def handle(_event: Event) -> None:
        begun.set()
        await asyncio.Event().wait()

    subscription = AsyncTokenkeep(redis=redis_url).events.subscribe(group="billing", lease=0.3, ordered=ordered)
    task = asyncio.create_task(subscription.run(handle))
    async with asyncio.timeout(30):
        await begun.wait()
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert teller.pending("billing") == len(teller.told)


def consumers(teller: Teller) -> list[str]:
    found: Any = teller.client.xinfo_consumers(STREAM, "billing")
    return [one["name"] for one in found]


def idle_ms(teller: Teller) -> list[int]:
    found: Any = teller.client.xinfo_consumers(STREAM, "billing")
    return [one["idle"] for one in found]


def run(teller: Teller, script: Script, consumer: str, *arguments: Any, mode: str = "ordered") -> Any:
    """A script as a consumer of this name."""
    keys = [STREAM, LEASE, "tokenkeep:events:tries:billing", f"tokenkeep:events:alive:billing:{consumer}", "dead"]
    return teller.client.eval(script.text, len(keys), *keys, mode, consumer, 1_000, "billing", *arguments)


async def test_reading_ahead_is_no_try(teller: Teller, redis_url: str) -> None:
    teller.tell("a", "a", "a")
    await leave_pending(redis_url, teller)
    pending: Any = teller.client.xpending_range(STREAM, "billing", "-", "+", 10)
    assert [one["times_delivered"] for one in pending] == [1, 0, 0]


async def test_an_event_in_whose_handler_consumer_after_consumer_ended_is_a_dead_letter(
    teller: Teller, redis_url: str
) -> None:
    killer, good = teller.tell("a", "a")
    await leave_pending(redis_url, teller)
    pending: Any = teller.client.xpending_range(STREAM, "billing", "-", "+", 10)
    name, entry = pending[0]["consumer"], pending[0]["message_id"]
    teller.client.xclaim(STREAM, "billing", name, 0, [entry], retrycount=25, justid=True)
    seen: list[str] = []
    client = Tokenkeep(redis=redis_url)
    with client.events.subscribe(group="billing").running(lambda event: seen.append(event.id)):
        await until(lambda: len(seen) == 1)
    assert seen == [good["id"]]
    [letter] = client.events.dead_letters("billing").list()
    assert letter.readable_event().id == killer["id"]
    assert letter.reason == "25 consumers ended while they handled it"


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "shared"])
async def test_what_was_trimmed_while_it_was_pending_is_told_in_the_log_and_holds_up_nothing(
    teller: Teller, redis_url: str, caplog: pytest.LogCaptureFixture, *, ordered: bool
) -> None:
    teller.tell("a", "a", "b")
    await leave_pending(redis_url, teller, ordered=ordered)
    teller.client.xtrim(STREAM, maxlen=1, approximate=False)
    seen: list[str] = []
    subscription = Tokenkeep(redis=redis_url).events.subscribe(group="billing", ordered=ordered, lease=0.3)
    with (
        caplog.at_level(logging.WARNING, "tokenkeep.client"),
        subscription.running(lambda event: seen.append(event.id)),
    ):
        await until(lambda: len(seen) == 1)
        await until(lambda: teller.pending("billing") == 0)
    assert seen == ids(teller.told)[2:]
    assert "pending_entries_trimmed group=billing count=2" in caplog.text


async def test_the_last_consumer_that_leaves_stays_in_the_list_so_that_the_group_is_waited_for(
    teller: Teller, redis_url: str
) -> None:
    seen: list[Event] = []
    for count in range(1, 4):
        with Tokenkeep(redis=redis_url).events.subscribe(group="billing").running(seen.append):
            teller.tell("a")
            await until(lambda count=count: len(seen) == count)  # type: ignore[misc]
        assert len(consumers(teller)) == 1
    assert not teller.client.exists(LEASE)


async def test_consumers_that_have_nothing_and_are_silent_are_forgotten_and_others_are_not(teller: Teller) -> None:
    teller.tell("a", "b")
    teller.client.xgroup_create(STREAM, "billing", id="0")
    run(teller, HOLD, "holder", mode="shared")
    run(teller, TAKE, "holder", "-", 1, mode="shared")
    teller.client.xgroup_createconsumer(STREAM, "billing", "silent")
    await until(lambda: all(ms > 5 for ms in idle_ms(teller)))
    run(teller, RESCUE, "me", 10, "tokenkeep:events:alive:billing:", 60_000, 5, mode="shared")
    assert consumers(teller) == ["holder"]


async def test_sharing_consumers_stand_by_while_somebody_reads_in_order(teller: Teller, redis_url: str) -> None:
    in_order: list[Event] = []
    shared: list[Event] = []
    with Tokenkeep(redis=redis_url).events.subscribe(group="billing").running(in_order.append):
        await until(lambda: bool(teller.client.exists(LEASE)))
        with Tokenkeep(redis=redis_url).events.subscribe(group="billing", ordered=False).running(shared.append):
            teller.tell(*"abcd")
            await until(lambda: len(in_order) == 4)
    assert shared == []


async def test_a_consumer_reads_with_a_client_that_decodes_or_is_brought_along(teller: Teller) -> None:
    seen: list[Event] = []
    teller.tell("a")
    subscription = Tokenkeep(redis=teller.client).events.subscribe(group="billing")
    with subscription.running(seen.append):
        await until(lambda: len(seen) == 1)
    assert teller.client.ping(), "it is not closed"
