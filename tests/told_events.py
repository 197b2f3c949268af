"""Events on a Redis stream, as the relay appends them, and consumers of them in processes of their own."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import redis

from fakes import an_event
from tokenkeep.domain.events import Event as ServerEvent
from tokenkeep.domain.events import EventType, cloudevent
from tokenkeep.domain.ids import IdKind, format_id

STREAM = "tokenkeep:events"
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Teller:
    """Tells events of made-up accounts on a stream, each account's in order."""

    url: str
    subjects: dict[str, UUID] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    _sequences: dict[str, Iterator[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = redis.Redis.from_url(self.url, decode_responses=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def document(self, name: str, kind: EventType, environment: str) -> dict[str, Any]:
        """The next event of an account, as a CloudEvent."""
        subject = self.subjects.setdefault(name, uuid4())
        sequence = next(self._sequences.setdefault(name, count(1)))
        event: ServerEvent = replace(
            an_event(subject, sequence),
            type=kind,
            environment=environment,
            time=BEGIN + timedelta(seconds=len(self.told)),
            data={"account_id": format_id(IdKind.ACCOUNT, subject), "environment": environment, "state": "active"},
        )
        return cloudevent(event)

    def tell(
        self, *names: str, kind: EventType = EventType.REFRESHED, environment: str = "default"
    ) -> list[dict[str, Any]]:
        """One event for each name, in this order."""
        documents = [self.document(name, kind, environment) for name in names]
        self.told += documents
        self.append(documents)
        return documents

    def append(self, documents: list[dict[str, Any]]) -> None:
        """Append these, once more if they were told before."""
        with self.client.pipeline(transaction=False) as pipeline:
            for one in documents:
                fields: dict[Any, Any] = {name: one[name] for name in ("id", "type", "subject")}
                pipeline.xadd(STREAM, fields | {"event": json.dumps(one)})
            pipeline.execute()

    def pending(self, group: str) -> int:
        """How many entries the group was given and has not acknowledged."""
        found: Any = self.client.xpending(STREAM, group)
        return int(found["pending"])


def ids(documents: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in documents]


CONSUMER = """
import asyncio, json, os, signal, sys, time
from tokenkeep.client import AsyncTokenkeep, Tokenkeep
url, path, options, how = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])

def say(what, event):
    line = json.dumps([what, event.id, event.subject, event.sequence, os.getpid()]) + "\\n"
    with open(path, "ab", buffering=0) as file:
        file.write(line.encode())

def on_sync(event):
    say("begun", event)
    deadline = time.monotonic() + how["takes"]
    while os.path.exists(how["gate"]) if how["gate"] else time.monotonic() < deadline:
        time.sleep(0.005)
    say("done", event)

async def on_async(event):
    say("begun", event)
    deadline = time.monotonic() + how["takes"]
    while os.path.exists(how["gate"]) if how["gate"] else time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    say("done", event)

async def consume():
    subscription = AsyncTokenkeep(redis=url).events.subscribe(**options)
    def stop():
        subscription.stop()
        print("stopping", flush=True)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    print("ready", flush=True)
    await subscription.run(on_async)

if how["async"]:
    asyncio.run(consume())
else:
    subscription = Tokenkeep(redis=url).events.subscribe(**options)
    signal.signal(signal.SIGTERM, lambda *_: (subscription.stop(), os.write(1, b"stopping\\n")))
    print("ready", flush=True)
    subscription.run(on_sync)
"""


@dataclass(frozen=True)
class Line:
    """What a consumer's handler wrote down."""

    what: str
    id: str
    subject: str
    sequence: int
    pid: int


@dataclass
class Consumers:
    """Processes that consume, and the file in which their handlers write what they do, in order."""

    url: str
    directory: Path
    options: dict[str, Any]
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.directory / "handled.jsonl"

    def start(self, *, is_async: bool = True, takes: float = 0.0, gate: Path | None = None) -> "subprocess.Popen[str]":
        """One more consumer; its handler takes so long, or for as long as the file `gate` is there."""
        how = {"async": is_async, "takes": takes, "gate": None if gate is None else str(gate)}
        words = [self.url, str(self.file), json.dumps(self.options), json.dumps(how)]
        process = subprocess.Popen([sys.executable, "-c", CONSUMER, *words], stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def lines(self, what: str | None = None) -> list[Line]:
        """What was written down so far."""
        if not self.file.exists():
            return []
        whole, _, _ = self.file.read_text().rpartition("\n")
        found = [Line(*json.loads(line)) for line in whole.splitlines()]
        return [line for line in found if what in {None, line.what}]

    def end(self) -> None:
        """No process is left."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


async def until(holds: Callable[[], bool], within_s: float = 60) -> None:
    """Wait until something holds that nobody tells of."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.02)


def first_seen(lines: list[Line]) -> list[Line]:
    """What was handled, without repetitions."""
    seen: dict[str, Line] = {}
    for line in lines:
        seen.setdefault(line.id, line)
    return list(seen.values())


def disorder(lines: list[Line]) -> list[Line]:
    """Events that came for the first time after a later one of their subject."""
    last: dict[str, int] = {}
    wrong = []
    for line in first_seen(lines):
        if line.sequence <= last.get(line.subject, 0):
            wrong.append(line)
        last[line.subject] = max(line.sequence, last.get(line.subject, 0))
    return wrong
