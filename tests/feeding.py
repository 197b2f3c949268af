"""Events of tests' own in the table, and tails that follow them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID, uuid4

from fakes import an_event
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import append_events
from tokenkeep.adapters.postgres.event_tail import EventTail
from tokenkeep.domain.events import Event
from tokenkeep_api.feed_readers import FeedReaders

Tails = Callable[[], Awaitable[EventTail]]
"""Starts a tail, as a process of its own would have it."""


def happened(environment: str, sequence: int = 1, subject: UUID | None = None) -> Event:
    return replace(an_event(subject or uuid4(), sequence), environment=environment)


async def tell(database: Database, *events: Event) -> None:
    async with database.transaction() as connection:
        await append_events(connection, events)


async def come_to(count: int, readers: FeedReaders) -> None:
    """Wait until there are so many readers."""
    while len(readers) != count:  # noqa: ASYNC110 - the count tells nobody
        await asyncio.sleep(0.01)
