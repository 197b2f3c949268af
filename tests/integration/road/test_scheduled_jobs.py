"""What a scheduler does now and then, where the database lets it down."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from databases import UNHURRIED
from road import Road
from tokenkeep_scheduler.main import Scheduler


@asynccontextmanager
async def locked(road: Road, table: str) -> AsyncIterator[None]:
    """Whoever wants the table waits for as long as a lock is waited for, and fails."""
    async with road.foundation.database.transaction() as other:
        await other.execute(UNHURRIED)
        await other.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        yield


async def test_figures_whose_count_was_broken_off_are_not_counted_again_at_once(road: Road) -> None:
    """Each count reads whole tables, whether it comes to its end or not."""
    scheduler = Scheduler(road.foundation, road.jobs)
    async with locked(road, "accounts"):
        with pytest.raises(DBAPIError, match="lock timeout"):
            await scheduler._count()

        await scheduler._count()  # asks nobody: it would fail as well


class RecordingInbox:
    """An inbox that knows whether it was tidied up."""

    def __init__(self) -> None:
        self.tidied = 0

    async def forget_consumers(self, _idle: timedelta) -> int:
        self.tidied += 1
        return 0


async def test_redis_is_tidied_up_though_the_database_is_not(road: Road) -> None:
    inbox: Any = RecordingInbox()
    scheduler = Scheduler(road.foundation, replace(road.jobs, inbox=inbox))
    async with locked(road, "refresh_attempts"):
        with pytest.raises(DBAPIError, match="lock timeout"):
            await scheduler._keep_house()

    assert inbox.tidied == 1
