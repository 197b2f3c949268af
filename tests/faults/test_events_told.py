"""Twenty thousand changes of state, while those who tell them are killed at random: everyone hears everything, in order."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from redis.asyncio import Redis

from databases import migrated_database
from faults.hearing import Hearing, Told, as_table
from faults.killing import Victims
from faults.services import Nursery
from faults.terms import HURRIED
from road import Road, open_road
from storm.listener import Listener
from tokenkeep.cli.bench.installation import Installation
from tokenkeep.cli.bench.transitions import open_transitions
from tokenkeep.domain.ids import IdKind, format_id

TRANSITIONS = 20_000
ACCOUNTS = 256
SEED = 4711
_LEAST_KILLS = 5
_ALL_HEARD_S = 120.0


async def what_there_was_to_tell(road: Road) -> Told:
    rows = await road.sql("SELECT id, subject, subject_kind, sequence FROM events")
    return {
        (format_id(IdKind(row["subject_kind"]), row["subject"]), int(row["sequence"])): format_id(
            IdKind.EVENT, row["id"]
        )
        for row in rows
    }


async def until_all_have_heard(listeners: Sequence[Hearing], count: int) -> None:
    async with asyncio.timeout(_ALL_HEARD_S):
        while any(one.known < count for one in listeners):  # noqa: ASYNC110 - other processes tell them
            await asyncio.sleep(0.1)


@pytest.mark.timeout(400)
async def test_whoever_is_killed_everything_is_told_in_order(
    postgres_url: str, redis_url: str, nursery: Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database_url = await asyncio.to_thread(migrated_database, postgres_url, "told")
    async with Redis.from_url(redis_url) as client:
        await client.flushall()
    async with open_road(database_url, redis_url, **HURRIED, data_dir=str(tmp_path)) as road:
        environment = {
            f"TOKENKEEP_{name.upper()}": value
            for name, value in {
                **HURRIED,
                "database_url": database_url,
                "redis_url": redis_url,
                "keyring": road.keyring.reveal(),
                "data_dir": str(tmp_path),
                "allow_private_hosts": "127.0.0.1/32",
            }.items()
        }
        victims = Victims(nursery, tmp_path, environment, random.Random(SEED))  # noqa: S311 - it shuffles a test
        changes = await open_transitions(Installation(road.foundation, road.keyring), accounts=ACCOUNTS)
        listener = Listener(redis_url)
        try:
            for name in ("scheduler-1", "scheduler-2", "worker-1", "worker-2"):
                await victims.start(name)
            listening = asyncio.create_task(listener.run())
            harassing = asyncio.create_task(victims.harass())
            await changes.make_many(TRANSITIONS)
            told = await what_there_was_to_tell(road)
            stream = Hearing("stream", listener.subjects)
            await until_all_have_heard([stream], len(told))
            assert not harassing.done(), harassing.exception()
            harassing.cancel()
            listening.cancel()
            await asyncio.gather(harassing, listening, return_exceptions=True)
        finally:
            victims.end()
    stream.repeated = listener.replayed
    verdicts = {one.name: one.verdict(told) for one in (stream,)}
    with capsys.disabled():
        print(f"\n{TRANSITIONS:,} changes; killed: {dict(victims.killed)}\n{as_table(verdicts)}")  # noqa: T201
    assert len(told) >= TRANSITIONS
    assert min(victims.killed.values()) >= _LEAST_KILLS
    assert len(victims.killed) == 2
    for name, figures in verdicts.items():
        wrong = {what: figures[what] for what in ("missed", "made up", "out of order", "other ids") if figures[what]}
        assert not wrong, (name, wrong)
