"""One database for all tests of webhooks; each test begins without any."""

from collections.abc import AsyncIterator

import pytest

from api_service import Service, open_service
from databases import migrated_database
from webhook_house import Hooks
from webhook_receiver import Receiver


@pytest.fixture(scope="session")
def webhooks_url(postgres_url: str) -> str:
    return migrated_database(postgres_url, "of_the_webhooks")


@pytest.fixture
async def service(webhooks_url: str, redis_url: str) -> AsyncIterator[Service]:
    async with open_service(webhooks_url, redis_url) as opened:
        for table in ("webhooks", "webhook_lanes", "webhook_deliveries"):
            await opened.sql(f"DELETE FROM {table}")  # noqa: S608 - one of our own
        yield opened


@pytest.fixture
def hooks(service: Service) -> Hooks:
    return Hooks(service)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as started:
        yield started
