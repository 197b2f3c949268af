"""One database for all tests of the API: each test has an environment of its own in it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from api_service import Service, open_service
from databases import forget_grants, migrated_database
from event_schemas import check_emitted
from token_server import TokenServer


@pytest.fixture(scope="session")
def api_database_url(postgres_url: str) -> Iterator[str]:
    """A migrated database. Whatever was told in it is held to the schemas of events in the end."""
    url = migrated_database(postgres_url, "of_the_api")
    yield url
    asyncio.run(check_emitted(url))


@pytest.fixture(autouse=True)
def _others_grants_are_forgotten(request: pytest.FixtureRequest) -> None:
    """A client's grants are known in all environments, and many tests bring the same ones for the same client."""
    if "api_database_url" in request.fixturenames:
        forget_grants(request.getfixturevalue("api_database_url"))


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
