"""Many sources with few accounts each: a worker carries as many accounts as one large source would have."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from loopback_server import LoopbackServer
from road import open_road
from road_processes import process

SOURCES = 12
HURRIED = {
    "worker_threads": "1",
    "provider_deadline_s": "20",
    "write_ahead_s": "10",
    "lease_s": "25",
    "quarantine_s": "35",
    "actor_time_limit_s": "60",
}
ANSWER = b'{"access_token":"new","token_type":"Bearer","expires_in":3600}'


@dataclass
class Gathering(LoopbackServer):
    """Answers nobody before all are there."""

    path = "/token"
    waiting: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(SOURCES))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        await reader.readexactly(length)
        await self.waiting.wait()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER) + ANSWER
        )
        await writer.drain()
        return True


@pytest.fixture
async def gathering() -> AsyncIterator[Gathering]:
    async with Gathering() as started:
        yield started


async def test_one_thread_carries_the_hints_of_many_small_sources_at_a_time(
    database_url: str, redis_url: str, gathering: Gathering
) -> None:
    """Waited for one by one, the first would be past their deadline before the last are there."""
    async with open_road(database_url, redis_url, **HURRIED) as road:
        await road.foundation.redis.flushall()
        for number in range(SOURCES):
            source_id = await road.source(gathering.url, refresh_rotates="no")
            await road.account(source_id, f"one{number}")
        async with process(road, "worker"), process(road, "scheduler"), asyncio.timeout(60):
            refreshed = 0
            while refreshed < SOURCES:
                await asyncio.sleep(0.1)
                [row] = await road.sql("SELECT count(*) AS refreshed FROM credentials WHERE generation > 1")
                refreshed = row["refreshed"]
        attempts = await road.sql("SELECT outcome FROM refresh_attempts")
        assert [row["outcome"] for row in attempts] == ["ok"] * SOURCES
