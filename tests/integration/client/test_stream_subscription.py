"""What a subscription over the stream does with events, failures and a Redis that goes away, with both clients."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tokenkeep.adapters.embedded.valkey import start_valkey
from tokenkeep.client import AsyncTokenkeep, Event, NotAnEvent, Reject, Retry, RetryPolicy, StreamRefused, Tokenkeep
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.events import EventType
from told_events import STREAM, Teller, ids, until

DEAD = "tokenkeep:events:dead:billing"
QUICK = RetryPolicy(tries=3, first=0.01, longest=0.05)
Consuming = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture(params=["async", "blocking"])
def consuming(request: pytest.FixtureRequest, redis_url: str) -> Consuming:
    """Gives events to a plain function for as long as the block lasts."""

    @asynccontextmanager
    async def consume(
        handler: Callable[[Event], None], *, url: str = redis_url, environment: str | None = None, **options: Any
    ) -> AsyncIterator[None]:
        chosen = {"group": "billing", "lease": 2.0, "retry": QUICK, **options}
        if request.param == "async":

            async def handle(event: Event) -> None:
                handler(event)

            client = AsyncTokenkeep(redis=url, environment=environment)
            async with client.events.subscribe(**chosen).running(handle):
                yield
            return
        with Tokenkeep(redis=url, environment=environment).events.subscribe(**chosen).running(handler):
            yield

    return consume


class Handled:
    """A handler that remembers, and does as it is told for some events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.begun: list[str] = []
        self.faults: dict[str, list[BaseException]] = {}

    def __call__(self, event: Event) -> None:
        self.begun.append(event.id)
        if faults := self.faults.get(event.id):
            raise faults.pop(0)
        self.events.append(event)

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]


def dead(teller: Teller) -> list[dict[str, str]]:
    found: Any = teller.client.xrange(DEAD)
    return [fields for _, fields in found]


async def test_events_are_handled_in_order_and_acknowledged(teller: Teller, consuming: Consuming) -> None:
    teller.tell("a", "b", "a")
    handled = Handled()
    async with consuming(handled):
        await until(lambda: len(handled.events) == 3)
        teller.tell("b", "b")
        await until(lambda: len(handled.events) == 5)
        await until(lambda: teller.pending("billing") == 0)
    assert handled.ids == ids(teller.told)
    assert [event.sequence for event in handled.events] == [1, 1, 2, 2, 3]
    assert handled.events[0].document == teller.told[0]
    assert handled.events[0].account_id == teller.told[0]["data"]["account_id"]


async def test_a_new_group_begins_with_all_there_is_or_with_what_comes(teller: Teller, consuming: Consuming) -> None:
    teller.tell("a")
    old, new = Handled(), Handled()
    async with consuming(old), consuming(new, group="newcomer", start="new"):
        await until(lambda: len(old.events) == 1 and len(teller.client.xinfo_groups(STREAM)) == 2)
        [told] = teller.tell("a")
        await until(lambda: len(new.events) == 1 and len(old.events) == 2)
    assert new.ids == [told["id"]]


async def test_a_group_goes_on_where_it_was(teller: Teller, consuming: Consuming) -> None:
    handled = Handled()
    for _ in range(3):
        teller.tell("a", "b")
        async with consuming(handled, start="new" if handled.events else "beginning"):
            await until(lambda: len(handled.events) == len(teller.told))
    assert handled.ids == ids(teller.told)


async def test_types_and_environments_that_are_not_wanted_are_acknowledged_unhandled(
    teller: Teller, consuming: Consuming
) -> None:
    teller.tell("a", "a")
    [wanted] = teller.tell("a", kind=EventType.DISABLED)
    teller.tell("b", kind=EventType.DISABLED, environment="staging")
    teller.tell("a")
    handled = Handled()
    async with consuming(handled, types=["account.disabled"], environment="default"):
        await until(lambda: len(handled.events) == 1)
        await until(lambda: teller.pending("billing") == 0)
    assert handled.ids == [wanted["id"]]


async def test_a_type_that_is_never_told_is_refused(redis_url: str) -> None:
    for client in (Tokenkeep(redis=redis_url), AsyncTokenkeep(redis=redis_url)):
        with pytest.raises(InvalidInput):
            client.events.subscribe(types=["account.disabeld"], group="billing")


async def test_a_failing_event_holds_back_only_its_subject(teller: Teller, consuming: Consuming) -> None:
    failing, _, _, _ = teller.tell("a", "b", "a", "b")
    handled = Handled()
    handled.faults[failing["id"]] = [OSError("the database is away"), OSError("the database is away")]
    async with consuming(handled, retry=RetryPolicy(first=0.2)):
        await until(lambda: len(handled.events) == 4)
    a, b = teller.subjects["a"].hex, teller.subjects["b"].hex
    assert [event.subject[4:] for event in handled.events] == [b, b, a, a]
    assert [event.sequence for event in handled.events] == [1, 2, 1, 2]
    assert handled.begun.count(failing["id"]) == 3
    assert dead(teller) == []
    assert not teller.client.exists("tokenkeep:events:tries:billing")


async def test_an_event_that_fails_too_often_becomes_a_dead_letter_with_the_reason(
    teller: Teller, consuming: Consuming
) -> None:
    failing, after = teller.tell("a", "a")
    handled = Handled()
    handled.faults[failing["id"]] = [ValueError(f"no customer\n {n}") for n in range(9)]
    async with consuming(handled):
        await until(lambda: len(handled.events) == 1)
        await until(lambda: teller.pending("billing") == 0)
    assert handled.ids == [after["id"]]
    [letter] = dead(teller)
    assert json.loads(letter["event"]) == failing
    assert (letter["id"], letter["type"], letter["subject"]) == (failing["id"], failing["type"], failing["subject"])
    assert (letter["reason"], letter["tries"]) == ("ValueError: no customer 2", "3")
    assert not teller.client.exists("tokenkeep:events:tries:billing")


async def test_what_is_told_of_an_exception_can_be_chosen(teller: Teller, consuming: Consuming) -> None:
    [failing] = teller.tell("a")
    handled = Handled()
    handled.faults[failing["id"]] = [ValueError("canary-secret")] * 9
    async with consuming(handled, describe=lambda error: type(error).__name__):
        await until(lambda: len(dead(teller)) == 1)
    assert dead(teller)[0]["reason"] == "ValueError"


async def test_a_handler_can_reject_an_event_at_once_or_have_it_again_without_a_failure(
    teller: Teller, consuming: Consuming
) -> None:
    rejected, postponed = teller.tell("a", "b")
    handled = Handled()
    handled.faults[rejected["id"]] = [Reject("not ours")]
    handled.faults[postponed["id"]] = [Retry(after=0.01) for _ in range(8)]
    async with consuming(handled):
        await until(lambda: len(handled.events) == 1)
    assert handled.ids == [postponed["id"]]
    [letter] = dead(teller)
    assert (letter["id"], letter["reason"], letter["tries"]) == (rejected["id"], "not ours", "1")


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "shared"])
async def test_failures_and_waits_are_remembered_across_consumers(
    teller: Teller, consuming: Consuming, *, ordered: bool
) -> None:
    [failing] = teller.tell("a")
    handled = Handled()
    handled.faults[failing["id"]] = [ValueError("no") for _ in range(9)]
    patient = RetryPolicy(tries=2, first=1.0)
    # Out of order, what a consumer leaves is taken over when it was idle for as long as a lease.
    options = {"ordered": ordered, "retry": patient, "lease": 5.0 if ordered else 0.5}
    async with consuming(handled, **options):
        await until(lambda: len(handled.begun) == 1)
    async with consuming(handled, **options):
        await until(lambda: len(dead(teller)) == 1)
    assert len(handled.begun) == 2


async def test_what_is_no_event_is_a_dead_letter(teller: Teller, consuming: Consuming) -> None:
    wrong: list[dict[Any, Any]] = [{"n": "1"}, {"event": "{"}, {"event": "[]"}, {"event": '{"id": "evt_1"}'}]
    for fields in wrong:
        teller.client.xadd(STREAM, fields)
    [good] = teller.tell("a")
    handled = Handled()
    async with consuming(handled):
        await until(lambda: handled.ids == [good["id"]])
        await until(lambda: teller.pending("billing") == 0)
    assert [letter["reason"] for letter in dead(teller)] == [
        "not an event: the entry has no field `event`",
        "not an event: it is no JSON",
        "not an event: it is no JSON object",
        "not an event: it has no type",
    ]


async def test_repetitions_are_not_handled_again_but_what_follows_a_restore_is(
    teller: Teller, consuming: Consuming
) -> None:
    first, second = teller.tell("a", "a")
    handled = Handled()
    async with consuming(handled):
        await until(lambda: len(handled.events) == 2)
        teller.append([first, second])
        set_back = {**second, "id": "evt_" + "0" * 32, "time": "2031-01-01T00:00:00.000Z"}
        teller.append([set_back])
        await until(lambda: len(handled.events) == 3)
    assert handled.ids == [first["id"], second["id"], set_back["id"]]


async def test_after_a_flush_everything_that_is_told_again_is_read_from_its_beginning(
    teller: Teller, consuming: Consuming
) -> None:
    told = teller.tell("a", "b", "a")
    handled = Handled()
    async with consuming(handled, start="new"):
        await until(lambda: bool(teller.client.exists(STREAM)) and len(teller.client.xinfo_groups(STREAM)) == 1)
        told = teller.tell("a", "b")
        await until(lambda: len(handled.events) == 2)
        teller.client.flushall()
        teller.append(told)
        more = teller.tell("a", "b", "c")
        await until(lambda: len(handled.events) == 5)
        await until(lambda: teller.pending("billing") == 0)
    assert handled.ids == ids([*told, *more])


async def test_a_redis_that_goes_away_and_comes_back_loses_nothing(
    short_dir: Path, consuming: Consuming, caplog: pytest.LogCaptureFixture
) -> None:
    server = start_valkey(short_dir)
    handled = Handled()
    caplog.set_level(logging.WARNING, "tokenkeep.client")
    try:
        with Teller(server.url) as teller:
            async with consuming(handled, url=server.url):
                teller.tell("a", "b")
                await until(lambda: len(handled.events) == 2)
                server.stop()
                await until(lambda: "redis_unreachable" in caplog.text)
                server = start_valkey(short_dir)
                told = teller.tell("a", "b")
                await until(lambda: ids(told) == handled.ids[-2:])
                await until(lambda: teller.pending("billing") == 0)
    finally:
        server.stop()


async def test_a_wrong_password_is_told_at_once(redis_url: str) -> None:
    with_password = redis_url.replace("unix://", "unix://user:wrong@")
    with pytest.raises(StreamRefused):
        Tokenkeep(redis=with_password).events.subscribe(group="billing").run(Handled())
    subscription = AsyncTokenkeep(redis=with_password).events.subscribe(group="billing")
    with pytest.raises(StreamRefused):
        await subscription.run(asyncio.sleep)  # type: ignore[arg-type]


async def test_a_cancelled_task_lets_the_handler_end_and_acknowledges(teller: Teller, redis_url: str) -> None:
    teller.tell("a", "a")
    begun, go = asyncio.Event(), asyncio.Event()
    done: list[int] = []

    async def handle(event: Event) -> None:
        begun.set()
        await go.wait()
        done.append(event.sequence)

    task = asyncio.create_task(AsyncTokenkeep(redis=redis_url).events.subscribe(group="billing").run(handle))
    async with asyncio.timeout(30):
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert done == [1]
    assert teller.pending("billing") == 1
    assert not teller.client.exists("tokenkeep:events:lease:billing")


async def test_a_second_cancellation_ends_at_once_and_the_event_is_told_again(teller: Teller, redis_url: str) -> None:
    teller.tell("a")
    begun = asyncio.Event()

    async def handle(_event: Event) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(AsyncTokenkeep(redis=redis_url).events.subscribe(group="billing", lease=0.3).run(handle))
    async with asyncio.timeout(30):
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    handled: list[Event] = []
    with Tokenkeep(redis=redis_url).events.subscribe(group="billing").running(handled.append):
        await until(lambda: len(handled) == 1)


async def test_what_ends_a_block_is_raised_and_the_consumer_leaves(teller: Teller, redis_url: str) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handle(_event: Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def consume() -> None:
        async with AsyncTokenkeep(redis=redis_url).events.subscribe(group="billing").running(handle):
            await begun.wait()
            raise LookupError

    teller.tell("a")
    task = asyncio.create_task(consume())
    async with asyncio.timeout(30):
        await begun.wait()
        await asyncio.sleep(0.05)
        assert not task.done(), "the handler under way may end first"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ended.is_set()
    blocking = Tokenkeep(redis=redis_url).events.subscribe(group="billing")
    with pytest.raises(LookupError), blocking.running(lambda _: None):
        raise LookupError


async def test_what_ended_a_consumer_early_is_raised_where_its_block_ends(
    consuming: Consuming, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def block() -> None:
        async with consuming(Handled(), url=redis_url.replace("unix://", "unix://user:wrong@")):
            await until(lambda: "left_without_a_word" in caplog.text)

    with pytest.raises(StreamRefused):
        await block()


async def test_a_handler_that_takes_too_long_is_cancelled_and_has_failed(teller: Teller, redis_url: str) -> None:
    teller.tell("a")

    async def handle(_event: Event) -> None:
        await asyncio.Event().wait()

    subscription = AsyncTokenkeep(redis=redis_url).events.subscribe(
        group="billing", handler_timeout=0.05, retry=RetryPolicy(tries=2, first=0.01)
    )
    async with subscription.running(handle):
        await until(lambda: len(dead(teller)) == 1)
    assert dead(teller)[0]["reason"] == "TimeoutError"


async def test_consumers_that_share_a_group_share_its_events(teller: Teller, consuming: Consuming) -> None:
    first, second = Handled(), Handled()
    options = {"ordered": False, "lease": 5.0}
    async with consuming(first, **options), consuming(second, **options):
        await until(lambda: bool(teller.client.exists(STREAM)))
        while not (first.events and second.events):
            told = len(teller.told) + 20
            teller.tell(*[f"account-{n}" for n in range(20)])
            await until(lambda told=told: len(first.events) + len(second.events) == told)  # type: ignore[misc]
    assert sorted(first.ids + second.ids) == sorted(ids(teller.told))


async def test_a_subscription_runs_once(teller: Teller, redis_url: str) -> None:
    subscription = Tokenkeep(redis=redis_url).events.subscribe(group="billing")
    subscription.stop()
    subscription.run(Handled())
    with pytest.raises(RuntimeError):
        subscription.run(Handled())
    assert teller.told == []


async def test_dead_letters_are_listed_handled_anew_and_forgotten(teller: Teller, redis_url: str) -> None:
    first, second, third = teller.tell("a", "b", "c")
    teller.client.xadd(STREAM, {"event": "{", "reason": "a field of its own", "tries": "many"})

    def handle(_event: Event) -> None:
        raise ValueError("no")

    client = Tokenkeep(redis=redis_url)
    with client.events.subscribe(group="billing", retry=RetryPolicy(tries=1)).running(handle):
        await until(lambda: len(dead(teller)) == 4)
    letters = {
        letter.event.id if letter.event else "": letter for letter in client.events.dead_letters("billing").list()
    }
    assert set(letters) == {first["id"], second["id"], third["id"], ""}
    assert (letters[first["id"]].reason, letters[first["id"]].tries) == ("ValueError: no", 1)
    assert letters[""].reason == "not an event: it is no JSON"
    box = client.events.dead_letters("billing")
    with pytest.raises(ValueError, match="no"):
        box.retry(letters[first["id"]].id, handle)
    seen: list[Event] = []
    assert box.retry(letters[first["id"]].id, seen.append)
    assert not box.retry(letters[first["id"]].id, seen.append)
    with pytest.raises(NotAnEvent):
        box.retry(letters[""].id, seen.append)
    others = AsyncTokenkeep(redis=redis_url).events.dead_letters("billing")

    async def note(event: Event) -> None:
        seen.append(event)

    wrong: Any = note
    with pytest.raises(TypeError, match="AsyncTokenkeep"):
        box.retry(letters[second["id"]].id, wrong)
    assert await others.retry(letters[second["id"]].id, note)
    assert await others.discard(letters[third["id"]].id)
    assert [letter.event for letter in await others.list()] == [None]
    assert [event.document for event in seen] == [first, second]


async def test_a_handler_of_the_wrong_kind_ends_the_subscription_and_its_event_is_told_again(
    teller: Teller, redis_url: str
) -> None:
    teller.tell("a")

    async def handle(_event: Event) -> None:
        raise AssertionError

    blocking: Any = Tokenkeep(redis=redis_url).events.subscribe(group="billing")
    with pytest.raises(TypeError, match="AsyncTokenkeep"):
        blocking.run(handle)
    on_a_loop: Any = AsyncTokenkeep(redis=redis_url).events.subscribe(group="billing")
    with pytest.raises(TypeError, match="coroutine function"):
        await on_a_loop.run(lambda _event: None)
    handled = Handled()
    with Tokenkeep(redis=redis_url).events.subscribe(group="billing").running(handled):
        await until(lambda: len(handled.events) == 1)
    assert dead(teller) == []


async def test_what_a_handler_raises_ends_no_subscription_even_if_it_cannot_be_sent(
    consuming: Consuming, teller: Teller
) -> None:
    [bad, good] = teller.tell("a", "b")
    handled = Handled()
    handled.faults[bad["id"]] = [ValueError("no file \udcff")] * 3
    async with consuming(handled):
        await until(lambda: bool(handled.events) and bool(teller.client.xlen(DEAD)))
    assert ids([good]) == [event.id for event in handled.events]
    letters: Any = teller.client.xrange(DEAD)
    [(_, letter)] = letters
    assert letter["reason"] == "ValueError: no file ?"


async def test_what_was_cancelled_within_a_handler_ends_no_subscription(consuming: Consuming, teller: Teller) -> None:
    [first, second] = teller.tell("a", "b")
    handled = Handled()
    handled.faults[first["id"]] = [asyncio.CancelledError()]
    async with consuming(handled):
        await until(lambda: len(handled.events) == 2)
    assert sorted(handled.ids) == sorted(ids([first, second]))


@pytest.mark.parametrize("lease", [0.1, float("inf"), float("nan")])
def test_a_lease_that_cannot_be_meant_is_refused(lease: float) -> None:
    with pytest.raises(ValueError, match="a lease lasts"):
        Tokenkeep(redis="redis://localhost").events.subscribe(group="billing", lease=lease)


async def test_an_event_that_is_put_off_for_much_too_long_keeps_nobody_else_waiting(
    consuming: Consuming, teller: Teller
) -> None:
    [put_off] = teller.tell("a")
    first, second = Handled(), Handled()
    first.faults[put_off["id"]] = [Retry(after=1.8e15)]
    async with consuming(first):
        await until(lambda: bool(teller.client.exists("tokenkeep:events:tries:billing")))
    [other] = teller.tell("b")
    async with consuming(second):
        await until(lambda: bool(second.events))
    assert ids([other]) == [event.id for event in second.events]


async def test_a_record_that_nobody_can_read_keeps_nobody_from_the_stream(consuming: Consuming, teller: Teller) -> None:
    [first] = teller.tell("a")
    handled = Handled()
    handled.faults[first["id"]] = [Retry(after=600)]
    async with consuming(handled):
        await until(lambda: bool(teller.client.exists("tokenkeep:events:tries:billing")))
    [key] = teller.client.hkeys("tokenkeep:events:tries:billing")
    teller.client.hset("tokenkeep:events:tries:billing", key, "0 1 1.7975e+15")
    async with consuming(handled):
        await until(lambda: bool(handled.events))
    assert ids([first]) == [event.id for event in handled.events]
