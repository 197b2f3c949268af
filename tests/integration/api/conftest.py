"""One database for all tests of the API: each test has an environment of its own in it."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from api_service import Service, open_service
from token_server import TokenServer
from tokenkeep.adapters.postgres.engine import asyncpg_url
from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.domain.secret import Secret

_NAME = "of_the_api"


@pytest.fixture(scope="session")
def api_database_url(postgres_url: str) -> str:
    """A migrated database."""

    async def create() -> None:
        engine = create_async_engine(asyncpg_url(Secret(postgres_url)), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {_NAME}"))
        await engine.dispose()

    asyncio.run(create())
    url = asyncpg_url(Secret(postgres_url)).set(database=_NAME, drivername="postgresql")
    made = url.render_as_string(hide_password=False)
    migrate(Secret(made))
    return made


@pytest.fixture
async def service(api_database_url: str, redis_url: str) -> AsyncIterator[Service]:
    async with open_service(api_database_url, redis_url) as opened:
        yield opened


@pytest.fixture
async def admin(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client() as client:
        yield client


@pytest.fixture
async def server() -> AsyncIterator[TokenServer]:
    async with TokenServer() as started:
        yield started
