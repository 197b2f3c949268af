"""While Redis is away dramatiq's consumers try again without an end; a worker's log has a line a minute of it."""

import io
import json
import logging
from collections.abc import Iterator
from queue import PriorityQueue
from typing import Any

import dramatiq.worker
import pytest
import redis
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.worker import ConsumerThread

from tokenkeep.adapters.telemetry import consumer_noise
from tokenkeep.adapters.telemetry.consumer_noise import ConsumerNoise
from tokenkeep.adapters.telemetry.logs import configure_logging

TRIES = 7
REFUSED: Exception = ConnectionClosed("refused")  # type: ignore[no-untyped-call]  # dramatiq leaves it untyped


class AwayBroker(StubBroker):
    """A broker that can't be had; the last try ends the thread."""

    def __init__(self, faults: list[Exception]) -> None:
        super().__init__()
        self.faults = faults
        self.thread: ConsumerThread | None = None

    def consume(self, *_: Any, **__: Any) -> Any:
        fault = self.faults.pop(0)
        if not self.faults and self.thread is not None:
            self.thread.running = False
        raise fault


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.0)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    its_level = logging.getLogger("dramatiq").level
    written = io.StringIO()
    configure_logging("info", "json", "worker", stream=written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("dramatiq").setLevel(its_level)


def consume(faults: list[Exception]) -> None:
    """What a consumer does that meets these faults one after the other."""
    broker = AwayBroker(faults)
    broker.thread = ConsumerThread(
        broker=broker, queue_name="refresh", prefetch=1, work_queue=PriorityQueue(), worker_timeout=1
    )
    broker.thread.run()


def told(stream: io.StringIO) -> list[tuple[str, str]]:
    return [(line["level"], line["message"]) for line in map(json.loads, stream.getvalue().splitlines())]


@pytest.mark.parametrize(
    "fault",
    [REFUSED, redis.TimeoutError("too late"), redis.BusyLoadingError()],
)
def test_an_absent_redis_is_told_once(stream: io.StringIO, fault: Exception) -> None:
    consume([fault] * TRIES)
    ((level, message),) = told(stream)
    assert level == "warning"
    assert message.startswith("Consumer encountered a")


def test_who_wants_errors_only_is_not_warned(stream: io.StringIO) -> None:
    configure_logging("error", "json", "worker", stream=stream)
    consume([REFUSED] * TRIES)
    assert told(stream) == []


@pytest.mark.parametrize("fault", [ValueError("a bug"), redis.ResponseError("WRONGTYPE")])
def test_a_fault_of_ours_is_told_each_time_and_as_loud(stream: io.StringIO, fault: Exception) -> None:
    consume([fault] * TRIES)
    assert [level for level, _ in told(stream)] == ["critical"] * TRIES


def test_it_is_told_anew_after_a_minute() -> None:
    now = 0.0
    noise = ConsumerNoise(now=lambda: now)

    def passes() -> bool:
        record = logging.LogRecord(
            "dramatiq.worker.ConsumerThread(refresh)",
            logging.CRITICAL,
            "worker.py",
            1,
            "Consumer encountered a connection error: %s",
            ("refused",),
            None,
        )
        return noise.filter(record)

    assert [passes(), passes()] == [True, False]
    now = consumer_noise.EVERY_S
    assert [passes(), passes()] == [True, False]
