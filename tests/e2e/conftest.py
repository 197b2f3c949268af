"""A directory with a short path for each household, and a real provider beside it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from connections import Connected, StartProvider
from household import Household
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer


@pytest.fixture
def household(short_dir: Path) -> Household:
    return Household(short_dir)


@pytest.fixture
async def start_provider() -> AsyncIterator[StartProvider]:
    """Starts real OAuth 2 providers, and stops them afterwards."""
    async with AsyncExitStack() as stack:

        async def start(options: ProviderOptions) -> Connected:
            server = ProviderServer(DemoProvider(options))
            await server.start()
            stack.push_async_callback(server.stop)
            return Connected(server)

        yield start
