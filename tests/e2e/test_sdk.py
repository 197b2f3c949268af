"""Requests to a provider whose tokens really expire, by the SDK, over real processes: the caller sees no 401."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from connections import Connected, StartProvider
from household import CALM, Household
from tokenkeep.adapters.demo_provider import ProviderOptions
from tokenkeep.client import AsyncTokenkeep, ReauthorizationRequired, Tokenkeep, TokenkeepAuth, TokenUnavailable

LIFETIME_S = 6


@dataclass
class Seen:
    """What a caller's requests came to."""

    statuses: Counter[int] = field(default_factory=Counter)
    tokens: set[str] = field(default_factory=set)
    renewed: int = 0

    def add(self, response: httpx.Response) -> None:
        self.statuses[response.status_code] += 1
        self.tokens.add(response.request.headers["Authorization"])
        self.renewed += [before.status_code for before in response.history] == [401]


async def prepared(
    household: Household, connected: Connected, api: httpx.AsyncClient, *users: str
) -> tuple[str, list[str]]:
    """A key that services have, made by the SDK, and these users' accounts."""
    async with AsyncTokenkeep(household.url, household.admin_key) as admin:
        source = await admin.sources.create(
            "generic-oauth2",
            "demo",
            client_id="demo-client",
            client_secret="demo-secret",
            options={
                "authorization_url": f"{connected.server.url}/authorize",
                "token_url": f"{connected.server.url}/token",
                "refresh_rotates": "yes",
                "reuse_detection": "revokes",
            },
        )
        scopes = ["credentials:read", "events:read", "events:write"]
        made = await admin.api_keys.create("billing", environment="default", scopes=scopes)
    assert made.key is not None
    return made.key, [await connected.connect(api, source.id, user) for user in users]


async def call_until(http: httpx.AsyncClient, url: str, seen: Seen, done: Any) -> None:
    async with asyncio.timeout(90):
        while not done():
            seen.add(await http.get(url))
            await asyncio.sleep(0.1)


async def test_requests_outlive_tokens_that_really_expire(household: Household, start_provider: StartProvider) -> None:
    household.changes = CALM
    connected = await start_provider(ProviderOptions(token_lifetime_s=LIFETIME_S))
    async with household, household.api() as api:
        key, [alice, bob] = await prepared(household, connected, api, "alice", "bob")
        me, seen, of_a_thread = f"{connected.server.url}/api/me", Seen(), Seen()

        def in_a_thread() -> None:
            with Tokenkeep(household.url, key) as client, httpx.Client(auth=TokenkeepAuth(client, bob)) as http:
                while len(of_a_thread.tokens) < 2:
                    of_a_thread.add(http.get(me))

        async with (
            AsyncTokenkeep(household.url, key) as client,
            httpx.AsyncClient(auth=TokenkeepAuth(client, alice)) as http,
        ):
            beside = asyncio.create_task(asyncio.to_thread(in_a_thread))
            await call_until(http, me, seen, lambda: len(seen.tokens) >= 4)
            await beside
        assert seen.statuses.keys() == of_a_thread.statuses.keys() == {200}
        assert connected.provider.counters().reuses == 0


async def test_a_token_that_expired_unnoticed_is_replaced_and_the_request_made_once_more(
    household: Household, start_provider: StartProvider
) -> None:
    household.changes = CALM
    connected = await start_provider(ProviderOptions(token_lifetime_s=LIFETIME_S))
    async with household, household.api() as api:
        key, [alice] = await prepared(household, connected, api, "alice")
        me, seen = f"{connected.server.url}/api/me", Seen()
        async with AsyncTokenkeep(household.url, key) as client:
            client.tokens._clock = lambda: 0.3 * time.monotonic()  # a machine that naps: tokens run out before it knows
            async with httpx.AsyncClient(auth=TokenkeepAuth(client, alice)) as http:
                await call_until(http, me, seen, lambda: seen.renewed >= 2)
                assert seen.statuses.keys() == {200}

            grant = connected.provider.active_grant("alice")
            assert grant is not None
            async with await client.tokens.follow_events():
                await client.token(alice)
                connected.provider.revoke_grant(grant.id)

                async def is_refused() -> bool:
                    try:
                        await client.token(alice)  # from memory, until what happened is told
                    except ReauthorizationRequired as refused:
                        return refused.reason == "revoked"
                    except TokenUnavailable:
                        pass
                    return False

                await household.until(is_refused)
        assert connected.provider.counters().reuses == 0
