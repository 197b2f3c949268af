"""Twenty thousand changes of state, while those who tell them are killed at random: everyone hears everything, in order."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cancelled import cancelled
from databases import migrated_database
from faults.hearing import Hearing, Told, as_table
from faults.killing import Victims
from faults.services import Nursery
from faults.terms import HURRIED
from road import CALLER, Road, open_road
from storm.listener import Listener
from token_server import Said
from tokenkeep.application.manage_webhooks import CreateWebhook, NewWebhook
from tokenkeep.cli.bench.events.transitions import open_transitions
from tokenkeep.cli.bench.installation import Installation
from tokenkeep.domain.ids import IdKind, format_id
from webhook_receiver import Received, Receiver

TRANSITIONS = 20_000
ACCOUNTS = 256
SEED = 4711
PAUSES = {"scheduler": (0.4, 3.0), "consumer": (0.4, 3.0), "worker": (2.0, 10.0)}
"""A worker that is killed while it delivers to an endpoint keeps others from it until its lease is over."""
LEAST_KILLS = {"scheduler": 10, "consumer": 10, "worker": 3}
_ALL_HEARD_S = 240.0


@dataclass
class Audience:
    """Whoever is told: a reader of the stream, a group of consumers, an endpoint that wants order."""

    told_file: Path
    listener: Listener
    stream: Hearing = field(default_factory=lambda: Hearing("stream"))
    consumers: Hearing = field(default_factory=lambda: Hearing("consumers"))
    webhook: Hearing = field(default_factory=lambda: Hearing("webhook"))
    _read: int = 0

    @property
    def everyone(self) -> tuple[Hearing, ...]:
        return self.stream, self.consumers, self.webhook

    async def deliver(self, message: Received) -> Said:
        """What the endpoint does with a message."""
        self.webhook.note(message.event)
        return Said(204, headers=())

    def listen(self) -> None:
        """Take note of what the others have written down."""
        self.stream.subjects, self.stream.repeated = self.listener.subjects, self.listener.replayed
        self._read = self.consumers.read(self.told_file, self._read)

    async def until_all_is_heard(self, count: int) -> None:
        try:
            async with asyncio.timeout(_ALL_HEARD_S):
                while any(one.known < count for one in self.everyone):
                    await asyncio.sleep(0.2)
                    self.listen()
        except TimeoutError:
            so_far = {one.name: one.known for one in self.everyone}
            raise AssertionError(f"of {count} events, after {_ALL_HEARD_S:g} s: {so_far}") from None


async def what_there_was_to_tell(road: Road) -> Told:
    rows = await road.sql("SELECT id, subject, subject_kind, sequence FROM events")
    return {
        (format_id(IdKind(row["subject_kind"]), row["subject"]), int(row["sequence"])): format_id(
            IdKind.EVENT, row["id"]
        )
        for row in rows
    }


def environment_of(settings: Mapping[str, object]) -> dict[str, str]:
    return {f"TOKENKEEP_{name.upper()}": str(value) for name, value in settings.items()}


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[None]:
    task = asyncio.create_task(listener.run())
    try:
        yield
    finally:
        await cancelled(task)


@asynccontextmanager
async def harassed(victims: Victims, *names: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """These processes are killed time and again. Yields what sees that they still are, and ends it."""
    for name in names:
        await victims.start(name)
    task = asyncio.create_task(victims.harass())

    async def stop() -> None:
        assert not task.done(), task.exception()
        await cancelled(task)

    try:
        yield stop
    finally:
        await cancelled(task)
        victims.end()


@pytest.mark.timeout(1200)
async def test_whoever_is_killed_everything_is_told_in_order(
    postgres_url: str, redis_url: str, nursery: Nursery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database_url = await asyncio.to_thread(migrated_database, postgres_url, "told")
    async with Redis.from_url(redis_url) as client:
        await client.flushall()
    audience = Audience(tmp_path / "told.jsonl", Listener(redis_url))
    audience.told_file.touch()
    given = {
        **HURRIED,
        "webhook_deadline_s": 3,
        "data_dir": tmp_path,
        "allow_private_hosts": "127.0.0.1/32",
    }
    async with (
        Receiver(answer=audience.deliver) as endpoint,
        open_road(database_url, redis_url, **(given | {"database_pool_size": 16})) as road,  # one for each writer
        listening(audience.listener),
    ):
        async with road.works() as work:
            wanted = NewWebhook(endpoint.url, None, None, ordered=True)
            await CreateWebhook(road.sealer.vault)(work, CALLER, wanted, heard_from=0)
        environment = environment_of(
            {**given, "database_url": database_url, "redis_url": redis_url, "keyring": road.keyring.reveal()}
        )
        victims = Victims(
            nursery,
            tmp_path,
            {**environment, "TOLD_FILE": str(audience.told_file)},
            PAUSES,
            random.Random(SEED),  # noqa: S311 - it shuffles a test
        )
        changes = await open_transitions(Installation(road.foundation, road.keyring), accounts=ACCOUNTS)
        names = [f"{service}-{number}" for service in PAUSES for number in (1, 2)]
        async with harassed(victims, *names) as stop:
            await changes.make_many(TRANSITIONS)
            told = await what_there_was_to_tell(road)
            await audience.until_all_is_heard(len(told))
            await stop()
        audience.listen()
    verdicts = {one.name: one.verdict(told) for one in audience.everyone}
    with capsys.disabled():
        killed = ", ".join(f"{count} x {service}" for service, count in sorted(victims.killed.items()))
        print(f"\n{TRANSITIONS:,} changes; killed: {killed}\n{as_table(verdicts)}")  # noqa: T201
    assert len(told) >= TRANSITIONS
    for service, least in LEAST_KILLS.items():
        assert victims.killed[service] >= least
    for name, figures in verdicts.items():
        wrong = {what: figures[what] for what in ("missed", "made up", "out of order", "other ids") if figures[what]}
        assert not wrong, (name, wrong)
