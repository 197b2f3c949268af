"""Hints go through a real Valkey to dramatiq's own consumers."""

import time
from collections.abc import Iterator
from threading import get_ident
from uuid import uuid4

import pytest
import redis
from dramatiq import Message

from tokenkeep.adapters.redis.queue import DEMANDED, SCHEDULED, DramatiqRefreshQueue, RefreshHint, create_broker
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, SourceId

SOURCE = SourceId(uuid4())
HINTS = [
    (Trigger.PROBE, SOURCE, [AccountId(uuid4())]),
    *((Trigger.SCHEDULE, SOURCE, [AccountId(uuid4()) for _ in range(25)]),) * 149,
]


def test_a_hint_that_names_no_source_is_one_that_former_workers_understand() -> None:
    hint = RefreshHint((AccountId(uuid4()),), Trigger.DEMAND, "cor_1")
    assert set(hint.to_kwargs()) == {"account_ids", "trigger", "correlation_id"}
    assert RefreshHint.from_kwargs(**hint.to_kwargs()) == hint


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


def taken(client: "redis.Redis", queue: str) -> list[RefreshHint]:
    consumer = create_broker(client).consume(queue, prefetch=1_000, timeout=10)
    found: list[RefreshHint] = []
    while (message := next(consumer)) is not None:
        assert isinstance(message._message, Message)
        found.append(RefreshHint.from_kwargs(**message._message.kwargs))
        consumer.ack(message)
    return found


async def test_several_hints_given_at_once_each_arrive_once_and_in_order(client: "redis.Redis") -> None:
    queue = DramatiqRefreshQueue(create_broker(client))
    assert await queue.enqueue_all(HINTS, correlation_id="cor_1")
    assert await queue.enqueue_all(HINTS[:1], correlation_id="cor_2")
    hints = taken(client, SCHEDULED)
    assert [list(hint.account_ids) for hint in hints] == [ids for _, _, ids in HINTS[1:]]
    assert {(hint.source_id, hint.correlation_id) for hint in hints} == {(SOURCE, "cor_1")}
    assert [hint.correlation_id for hint in taken(client, DEMANDED)] == ["cor_1", "cor_2"]


async def test_it_says_when_not_all_of_them_were_given(client: "redis.Redis") -> None:
    nowhere = redis.Redis(unix_socket_path="/nowhere.sock")
    assert not await DramatiqRefreshQueue(create_broker(nowhere)).enqueue_all(HINTS, correlation_id="cor_1")
    queue = DramatiqRefreshQueue(create_broker(client))
    client.set("tokenkeep:queue:refresh.msgs", "not a hash")
    assert not await queue.enqueue_all(HINTS, correlation_id="cor_1")
    client.delete("tokenkeep:queue:refresh.msgs")
    assert await queue.enqueue_all(HINTS, correlation_id="cor_2"), "what failed is not sent along with what comes next"
    assert {hint.correlation_id for hint in taken(client, SCHEDULED)} == {"cor_2"}


@pytest.mark.parametrize(("told", "longest"), [(20, 0.02), (None, 5.0)])
def test_it_looks_into_its_queues_as_often_as_it_is_told_to(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, told: int | None, longest: float
) -> None:
    slept: list[float] = []
    ours, sleep = get_ident(), time.sleep

    def note(seconds: float) -> None:  # it is every thread's sleep
        if get_ident() == ours:
            slept.append(seconds)
        else:
            sleep(seconds)

    monkeypatch.setattr("dramatiq.brokers.redis.time.sleep", note)
    consumer = create_broker(client, look_every_ms=told).consume(SCHEDULED, timeout=5_000)
    assert [next(consumer) for _ in range(40)] == [None] * 40
    assert longest / 2 <= max(slept) <= longest
