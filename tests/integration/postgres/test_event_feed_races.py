"""Many writers and several readers of the feed, at random."""

import asyncio
import random
from collections import defaultdict
from uuid import UUID, uuid4

from sqlalchemy import text

from databases import UNHURRIED
from feeding import Tails, happened
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import append_events
from tokenkeep.adapters.postgres.event_tail import EventTail
from tokenkeep.domain.event_feed import FeedFilter, Place
from tokenkeep.domain.events import Event

WRITERS, TRANSACTIONS, SUBJECTS = 12, 40, 8
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:subject, 0))")


class Race:
    """Writers whose transactions overlap and are now and then taken back, and readers who see what commits."""

    def __init__(self, database: Database, environment: str) -> None:
        self.seed = random.randrange(2**32)  # noqa: S311 - it shuffles a test
        self.dice = random.Random(self.seed)  # noqa: S311 - as above
        self.database = database
        self.environment = environment
        self.subjects = [uuid4() for _ in range(SUBJECTS)]
        self.numbers: dict[UUID, int] = defaultdict(int)
        self.committed: list[UUID] = []
        self.written = asyncio.Event()

    async def write(self) -> None:
        for _ in range(TRANSACTIONS):
            chosen = sorted(self.dice.sample(self.subjects, self.dice.randint(1, 3)))
            async with self.database._engine.connect() as connection:
                await connection.execute(UNHURRIED)
                for subject in chosen:  # as the subjects' rows are locked
                    await connection.execute(LOCK, {"subject": str(subject)})
                told: list[Event] = []
                for subject in chosen:
                    count = self.dice.randint(1, 2)
                    new = [happened(self.environment, self.numbers[subject] + 1 + n, subject) for n in range(count)]
                    await append_events(connection, new)
                    told += new
                    await asyncio.sleep(self.dice.random() * 0.01)
                if self.dice.random() < 0.15:
                    await connection.rollback()
                    continue
                for event in told:
                    self.numbers[event.subject] = event.sequence
                await connection.commit()
                self.committed += [event.id for event in told]

    async def follow(self, tail: EventTail, limit: int) -> list[Event]:
        """As a stream."""
        seen: list[Event] = []
        with tail.following(FeedFilter(self.environment), None) as follower:
            while True:
                over = self.written.is_set()
                found = await follower.read(limit)
                seen += [one.event for one in found]
                if over and not found and not follower.behind:
                    return seen
                await follower.wait(0.2)

    async def page_by_page(self, tails: list[EventTail]) -> list[Event]:
        """As a client that keeps a cursor and is served by one process or another."""
        seen: list[Event] = []
        place: Place | None = None
        while True:
            over = self.written.is_set()
            with self.dice.choice(tails).following(FeedFilter(self.environment), place) as follower:
                found = await follower.read(7)
                seen += [one.event for one in found]
                place = follower.place
                if over and not found and not follower.behind:
                    return seen
                await follower.wait(0.05)

    def judge(self, seen: list[Event]) -> None:
        assert len(seen) == len({event.id for event in seen}), self.seed
        assert {event.id for event in seen} == set(self.committed), self.seed
        for subject in self.subjects:
            counted = [event.sequence for event in seen if event.subject == subject]
            assert counted == list(range(1, self.numbers[subject] + 1)), self.seed


async def test_nothing_is_missed_told_twice_or_told_out_of_order(
    database: Database, tails: Tails, environment: str
) -> None:
    race = Race(database, environment)
    both = [await tails(), await tails()]
    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        readers = [
            group.create_task(race.follow(both[0], 3)),
            group.create_task(race.follow(both[0], 100)),
            group.create_task(race.follow(both[1], 10)),
            group.create_task(race.page_by_page(both)),
            group.create_task(race.page_by_page(both)),
        ]
        async with asyncio.TaskGroup() as writing:
            for _ in range(WRITERS):
                writing.create_task(race.write())
        for tail in both:
            await tail.look()
        race.written.set()
    assert len(race.committed) > WRITERS * TRANSACTIONS
    for reader in readers:
        race.judge(reader.result())
