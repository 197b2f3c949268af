"""The SDK's subscription over the HTTP feed, with both clients, against a real server."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from api_process import api_process
from api_service import Service, data
from databases import AGE_WHAT_CAME_BEFORE
from feeding import come_to, tell
from served_api import served
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep.client import (
    ApiProblem,
    AsyncTokenkeep,
    CursorExpired,
    CursorInUse,
    Event,
    FileCursorStore,
    FileDeadLetters,
    GaveUp,
    InvalidInput,
    MemoryCursorStore,
    NotAuthenticated,
    NotConfigured,
    Reject,
    RetryPolicy,
    Tokenkeep,
)
from told_events import until
from whole_events import whole_event

Consuming = Callable[..., AbstractAsyncContextManager[None]]
QUICK = RetryPolicy(tries=2, first=0.01)


@pytest.fixture
async def api(service: Service) -> AsyncIterator[str]:
    async with served(service) as url:
        yield url


@pytest.fixture
async def key(service: Service) -> str:
    return await service.key("events:read")


@pytest.fixture(params=["async", "blocking"])
def consuming(request: pytest.FixtureRequest, api: str, key: str) -> Consuming:
    """Gives the feed's events to a plain function for as long as the block lasts, and raises what ended that."""

    @asynccontextmanager
    async def consume(handler: Callable[[Event], None], *, url: str = api, **options: Any) -> AsyncIterator[None]:
        chosen = {"group": "billing", "retry": QUICK, **options}
        if request.param == "async":

            async def handle(event: Event) -> None:
                handler(event)

            async with AsyncTokenkeep(url, key) as client, client.events.subscribe(**chosen).running(handle):
                yield
            return
        with Tokenkeep(url, key) as blocking:
            subscription = blocking.events.subscribe(**chosen)
            running = asyncio.create_task(asyncio.to_thread(subscription.run, handler))
            try:
                yield
            finally:
                subscription.stop()
                await asyncio.wait({running})
            await running

    return consume


async def told(service: Service, *subjects: UUID, first: int = 1) -> list[str]:
    """One event of each subject, in this order; each subject's are counted from `first` on."""
    sequences = {subject: count(first) for subject in subjects}
    events = [whole_event(service.environment, next(sequences[subject]), subject) for subject in subjects]
    await tell(service.foundation.database, *events)
    return [f"evt_{event.id.hex}" for event in events]


async def test_the_feed_is_handled_in_order_and_gone_on_with_where_it_was(
    service: Service, consuming: Consuming, tmp_path: Path
) -> None:
    account = uuid4()
    seen: list[Event] = []
    expected: list[str] = []
    for first in (1, 4, 7):
        expected += await told(service, account, account, account, first=first)
        async with consuming(seen.append, cursors=FileCursorStore(tmp_path)):
            await until(lambda first=first: len(seen) == first + 2)  # type: ignore[misc]
    assert [event.id for event in seen] == expected
    assert [event.sequence for event in seen] == list(range(1, 10))


async def test_events_come_as_they_happen_and_only_those_that_are_wanted(
    service: Service, consuming: Consuming
) -> None:
    seen: list[Event] = []
    source_id = await service.source("https://93.184.215.14/token")
    account_id = await service.account(source_id)
    options = {"types": ["account.disabled", "tokenkeep.source.paused"], "cursors": MemoryCursorStore()}
    async with consuming(seen.append, **options), service.client() as admin:
        for call in ("disable", "enable", "disable"):
            data(await admin.post(f"/v1/accounts/{account_id}/{call}"))
        data(await admin.post(f"/v1/sources/{source_id}/pause"))
        await until(lambda: len(seen) == 3)
    assert [(event.type[10:], event.account_id) for event in seen] == [
        ("account.disabled", account_id),
        ("account.disabled", account_id),
        ("source.paused", None),
    ]


async def test_one_that_begins_with_what_comes_keeps_its_place_before_anything_does(
    service: Service, consuming: Consuming, tmp_path: Path
) -> None:
    account = uuid4()
    await told(service, account)
    seen: list[Event] = []
    options = {"cursors": FileCursorStore(tmp_path), "start": "new"}
    async with consuming(seen.append, **options):
        await until((tmp_path / "billing.cursor").exists)
    expected = await told(service, account, first=2)
    async with consuming(seen.append, **options):
        await until(lambda: len(seen) == 1)
    assert [event.id for event in seen] == expected


async def test_a_failing_event_holds_back_its_subject_and_the_place(
    service: Service, consuming: Consuming, tmp_path: Path
) -> None:
    one, other = uuid4(), uuid4()
    failing, next_of_other, after = await told(service, one, other, one)
    seen: list[str] = []
    failures = 0

    def handle(event: Event) -> None:
        nonlocal failures
        if event.id == failing and failures < 2:
            failures += 1
            raise OSError("the database is away")
        seen.append(event.id)

    store = FileCursorStore(tmp_path)
    async with consuming(handle, cursors=store, retry=RetryPolicy(first=0.5, longest=60)):
        await until(lambda: len(seen) == 1 and failures == 2)
        assert (tmp_path / "billing.cursor").read_text() == " ", "nothing is kept beyond what was not handled"
    assert seen == [next_of_other]
    async with consuming(handle, cursors=store):
        await until(lambda: len(seen) == 4)
    assert seen == [next_of_other, failing, next_of_other, after]


async def test_what_fails_too_often_goes_to_the_dead_letters(
    service: Service, consuming: Consuming, tmp_path: Path
) -> None:
    account = uuid4()
    failing, rejected, good = await told(service, account, account, account)
    seen: list[str] = []

    def handle(event: Event) -> None:
        if event.id == failing:
            raise ValueError("no such customer")
        if event.id == rejected:
            raise Reject("not ours")
        seen.append(event.id)

    box = FileDeadLetters(tmp_path)
    async with consuming(handle, cursors=FileCursorStore(tmp_path), dead_letters=box):
        await until(lambda: seen == [good])
    first, second = box.list("billing")
    assert (first.id, first.reason, first.tries) == (failing, "ValueError: no such customer", 2)
    assert (second.id, second.reason) == (rejected, "not ours")
    assert first.event is not None
    assert first.event.document["id"] == failing
    assert box.discard("billing", failing)
    assert not box.discard("billing", failing)
    assert [letter.id for letter in box.list("billing")] == [rejected]


async def test_without_a_place_for_dead_letters_the_subscription_ends_before_the_event(
    service: Service, consuming: Consuming, tmp_path: Path
) -> None:
    good, bad = await told(service, uuid4(), uuid4())
    seen: list[str] = []

    def handle(event: Event) -> None:
        seen.append(event.id)
        if event.id == bad:
            raise ValueError("no")

    for _ in range(2):
        with pytest.raises(GaveUp) as ended:
            async with consuming(handle, cursors=FileCursorStore(tmp_path)):
                await until(lambda: seen[-2:] == [bad, bad])
        assert ended.value.event_id == bad
        seen.append("again")
    assert seen == [good, bad, bad, "again", bad, bad, "again"]


async def test_a_place_that_is_not_kept_any_more_is_told_and_nothing_skipped(
    service: Service, consuming: Consuming, api: str, key: str, tmp_path: Path
) -> None:
    account = uuid4()
    await told(service, account, account)
    seen: list[Event] = []
    store = FileCursorStore(tmp_path)
    async with consuming(seen.append, cursors=store):
        await until(lambda: len(seen) == 2)
    await told(service, account, account, first=3)
    environment = {"e": service.environment}
    await service.sql("DELETE FROM outbox WHERE subject = :s", s=account)
    await service.sql(
        "UPDATE events SET time = now() - interval '31 days' WHERE environment = :e AND sequence <= 3", **environment
    )
    await service.sql(AGE_WHAT_CAME_BEFORE)
    await keep_house(service.foundation.database, audit_days=0)
    async with AsyncTokenkeep(api, key) as client, asyncio.timeout(30):
        with pytest.raises(CursorExpired):
            await client.events.subscribe(group="billing", cursors=store).run(asyncio.sleep)  # type: ignore[arg-type]
    with Tokenkeep(api, key) as blocking, pytest.raises(CursorExpired):
        await asyncio.to_thread(blocking.events.subscribe(group="billing", cursors=store).run, seen.append)
    assert len(seen) == 2


async def test_a_key_that_may_not_is_told(service: Service, api: str) -> None:
    stranger = await service.key("accounts:read")
    chosen: dict[str, Any] = {"group": "billing", "cursors": MemoryCursorStore()}
    for wrong, error in ((stranger, ApiProblem), ("tk_wrong", NotAuthenticated)):
        async with AsyncTokenkeep(api, wrong) as client:
            with pytest.raises(error):
                await client.events.subscribe(**chosen).run(asyncio.sleep)  # type: ignore[arg-type]
        with Tokenkeep(api, wrong) as blocking, pytest.raises(error):
            await asyncio.to_thread(blocking.events.subscribe(**chosen).run, print)


async def test_two_processes_can_not_read_by_one_file(service: Service, consuming: Consuming, tmp_path: Path) -> None:
    await told(service, uuid4())
    seen: list[Event] = []
    async with consuming(seen.append, cursors=FileCursorStore(tmp_path)):
        await until(lambda: len(seen) == 1)
        with pytest.raises(CursorInUse):
            FileCursorStore(tmp_path).load("billing")
    successor = FileCursorStore(tmp_path)
    assert successor.load("billing")
    with pytest.raises(CursorInUse):
        successor.load("billing")
    successor.release("billing")


async def test_what_is_missing_is_said_before_anything_is_read(api: str, redis_url: str, tmp_path: Path) -> None:
    client = Tokenkeep(api, "tk_key")
    with pytest.raises(NotConfigured):
        client.events.subscribe(group="billing")
    with pytest.raises(NotConfigured):
        client.events.subscribe(group="billing", via="stream")
    with pytest.raises(NotConfigured):
        Tokenkeep(redis=redis_url).events.subscribe(group="billing", cursors=FileCursorStore(tmp_path))
    with pytest.raises(NotConfigured):
        Tokenkeep(redis=redis_url).events.list()
    with pytest.raises(NotConfigured):
        Tokenkeep("tokenkeep.example.com", "tk_key")
    with pytest.raises(InvalidInput):
        client.events.subscribe(["account.unauthorized"], group="billing", cursors=MemoryCursorStore())
    for group in ("", "../x", "a b", "x" * 101):
        with pytest.raises(ValueError, match="group"):
            client.events.subscribe(group=group, cursors=MemoryCursorStore())


async def test_a_server_that_dies_and_comes_back_is_read_on_from(
    service: Service, consuming: Consuming, tmp_path: Path
) -> None:
    account = uuid4()
    seen: list[Event] = []
    expected = await told(service, account)
    async with api_process(service, tmp_path) as first:
        port = first.port
        async with consuming(seen.append, url=first.url, cursors=MemoryCursorStore()):
            await until(lambda: len(seen) == 1)
            await first.kill()
            expected += await told(service, account, first=2)
            async with api_process(service, tmp_path, port=port):
                await until(lambda: len(seen) == 2)
    assert [event.id for event in seen] == expected


async def test_async_stores_are_awaited(service: Service, api: str, key: str) -> None:
    kept: dict[str, str] = {}

    class Table:
        async def load(self, group: str) -> str | None:
            return kept.get(group)

        async def save(self, group: str, position: str) -> None:
            kept[group] = position

        async def release(self, group: str) -> None:
            kept["released"] = group

    expected = await told(service, uuid4())
    seen: list[str] = []

    async def handle(event: Event) -> None:
        seen.append(event.id)

    async with AsyncTokenkeep(api, key) as client:
        subscription = client.events.subscribe(group="billing", cursors=Table())
        async with subscription.running(handle):
            await until(lambda: len(seen) == 1)
    assert seen == expected
    assert kept["released"] == "billing"


async def test_a_store_that_fails_ends_the_subscription_with_its_own_error(
    service: Service, api: str, key: str
) -> None:
    class Full(MemoryCursorStore):
        def save(self, group: str, position: str) -> None:
            raise OSError(f"no space for {group} at {position}")

    await told(service, uuid4())
    seen: list[str] = []
    async with AsyncTokenkeep(api, key) as client:
        with pytest.raises(OSError, match="no space"):
            await client.events.subscribe(group="billing", cursors=Full()).run(asyncio.sleep)  # type: ignore[arg-type]
    assert seen == []


async def test_who_waits_stops_at_once_on_an_event_loop(service: Service, api: str, key: str) -> None:
    async with AsyncTokenkeep(api, key) as client, asyncio.timeout(15):
        subscription = client.events.subscribe(group="billing", cursors=MemoryCursorStore())
        task = asyncio.create_task(subscription.run(asyncio.sleep))  # type: ignore[arg-type]
        await come_to(1, service.wired.feed_readers)
        subscription.stop()
        await task


READER = """
import json, sys, time
from tokenkeep.client import FileCursorStore, Tokenkeep
url, key, directory, gate = sys.argv[1:]

def handle(event):
    with open(directory + "/handled", "a") as file:
        file.write(event.id + "\\n")
    while event.id == gate:
        time.sleep(0.01)

Tokenkeep(url, key).events.subscribe(group="billing", cursors=FileCursorStore(directory)).run(handle)
"""


async def test_a_reader_that_is_killed_is_told_only_the_event_under_way_again(
    service: Service, api: str, key: str, tmp_path: Path
) -> None:
    account = uuid4()
    expected = await told(service, *[account] * 5)

    def handled() -> list[str]:
        file = tmp_path / "handled"
        return file.read_text().split() if file.exists() else []

    words = [sys.executable, "-c", READER, api, key, str(tmp_path)]
    victim = await asyncio.create_subprocess_exec(*words, expected[2])
    await until(lambda: len(handled()) == 3)
    victim.send_signal(signal.SIGKILL)
    await victim.wait()
    successor = await asyncio.create_subprocess_exec(*words, "")
    await until(lambda: len(handled()) == 6)
    successor.kill()
    await successor.wait()
    assert handled() == [*expected[:3], *expected[2:]]
