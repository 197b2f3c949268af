"""Fixtures: a database of the test's own, and a whole tokenkeep over it."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from event_schemas import check_emitted
from road import Road, open_road
from token_server import TokenServer
from tokenkeep.adapters.postgres.address import asyncpg_url
from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.adapters.redis.connection import connect_blocking
from tokenkeep.adapters.redis.queue import DramatiqRefreshQueue, create_broker
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import require_redis
from tokenkeep_worker.inbox import wire_inbox
from tokenkeep_worker.main import Worker
from tokenkeep_worker.webhooks import wire_webhooks


@pytest.fixture(scope="session")
def database_template(postgres_url: str) -> str:
    """The URL of a database at the present schema."""
    migrate(Secret(postgres_url))
    return postgres_url


@pytest.fixture
async def database_url(database_template: str) -> AsyncIterator[str]:
    """A database of the test's own, copied from the migrated one. What was told in it is held to the schemas of events."""
    name = f"t{uuid4().hex}"
    admin = asyncpg_url(Secret(database_template)).set(database="postgres")
    engine = create_async_engine(admin, isolation_level="AUTOCOMMIT")
    source = asyncpg_url(Secret(database_template)).database
    async with engine.connect() as connection:
        await connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{source}"'))
    url = (
        asyncpg_url(Secret(database_template))
        .set(database=name)
        .render_as_string(hide_password=False)
        .replace("postgresql+asyncpg", "postgresql")
    )
    yield url
    await check_emitted(url)
    async with engine.connect() as connection:
        await connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    await engine.dispose()


@pytest.fixture
async def road(database_url: str, redis_url: str) -> AsyncIterator[Road]:
    async with open_road(database_url, redis_url) as opened:
        await opened.foundation.redis.flushall()
        yield opened


@pytest.fixture
def worker(road: Road) -> Worker:
    queue = DramatiqRefreshQueue(create_broker(connect_blocking(require_redis(road.foundation.settings))))
    inbox = wire_inbox(road.foundation, queue, road.refreshing.stores, road.refreshing.sealer)
    return Worker(road.foundation, road.refreshing, inbox, wire_webhooks(road.foundation, road.refreshing.sealer.vault))


@pytest.fixture
async def server() -> AsyncIterator[TokenServer]:
    async with TokenServer() as started:
        yield started


SHORT = {
    "provider_deadline_s": "0.5",
    "write_ahead_s": "0.2",
    "lease_s": "1",
    "quarantine_s": "1",
    "actor_time_limit_s": "5",
}
"""Settings under which quarantines end within a test."""


@pytest.fixture
async def short_road(database_url: str, redis_url: str) -> AsyncIterator[Road]:
    async with open_road(database_url, redis_url, **SHORT) as opened:
        await opened.foundation.redis.flushall()
        yield opened
