"""A database for the feed of events, and tails over it."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from databases import migrated_database
from feeding import Tails
from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.event_feed import PostgresEventFeed
from tokenkeep.adapters.postgres.event_log import OUTBOX_CHANNEL
from tokenkeep.adapters.postgres.event_tail import EventTail
from tokenkeep.adapters.postgres.notifications import Listener
from tokenkeep.domain.secret import Secret


@pytest.fixture(scope="session")
def feed_url(postgres_url: str) -> str:
    return migrated_database(postgres_url, "of_the_feed")


@pytest.fixture
async def database(feed_url: str) -> AsyncIterator[Database]:
    opened = Database(create_engine(Secret(feed_url), pool_size=20))
    yield opened
    await opened.close()


@pytest.fixture
async def tails(feed_url: str, database: Database) -> AsyncIterator[Tails]:
    """Starts tails, each as a process of its own would have it, with small bounds."""
    started: list[tuple[EventTail, Listener]] = []

    async def start() -> EventTail:
        tail = EventTail(PostgresEventFeed(database, scanned=10), pause_s=0.01, most=50, warn_after_s=0.1)
        listener = Listener(Secret(feed_url), OUTBOX_CHANNEL, tail.notify)
        tail.start_watching()
        listener.start()
        started.append((tail, listener))
        return tail

    yield start
    for tail, listener in started:
        await listener.stop()
        await tail.stop()


@pytest.fixture
def environment() -> str:
    return f"e{uuid4().hex[:12]}"
