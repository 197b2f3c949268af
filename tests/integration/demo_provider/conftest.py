"""Providers, in this process or at ports of their own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from provider_client import Client, Clock, Start
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def start(clock: Clock) -> AsyncIterator[Start]:
    """Starts a provider with the given options, at a port of its own if `served`; it is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def with_options(*, served: bool = False, **options: Any) -> Client:
            provider = DemoProvider(ProviderOptions(**options), clock=clock)
            if served:
                url = (await stack.enter_async_context(ProviderServer(provider))).url
                http = httpx.AsyncClient(base_url=url, trust_env=False)
            else:
                app = httpx.ASGITransport(provider.app)
                http = httpx.AsyncClient(base_url="http://127.0.0.1", transport=app)
            return Client(await stack.enter_async_context(http), provider)

        yield with_options
