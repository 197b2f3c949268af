"""Accounts connected through a real provider's authorization-code flow, over the API."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from household import data
from provider_client import REDIRECT_URI, Client, challenge
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer


@dataclass
class Connected:
    """A provider that runs, and how the API's users come to it."""

    server: ProviderServer

    @property
    def provider(self) -> DemoProvider:
        return self.server.provider

    async def create_source(self, api: httpx.AsyncClient, **options: Any) -> str:
        body = {
            "provider": "generic-oauth2",
            "name": "demo",
            "client_id": "demo-client",
            "client_secret": "demo-secret",
            "options": {
                "authorization_url": f"{self.server.url}/authorize",
                "token_url": f"{self.server.url}/token",
                "refresh_rotates": "yes",
                **options,
            },
        }
        source_id: str = (await data(await api.post("/v1/sources", json=body)))["id"]
        return source_id

    async def connect(self, api: httpx.AsyncClient, source_id: str, user: str) -> str:
        """The user consents; the code goes to the API, which exchanges it."""
        verifier = secrets.token_urlsafe(48)
        async with httpx.AsyncClient(base_url=self.server.url) as browser:
            landed = await Client(browser, self.provider).authorize(user, **challenge(verifier))
        body = {
            "source_id": source_id,
            "external_id": user,
            "credentials": {
                "authorization_code": landed["code"],
                "redirect_uri": REDIRECT_URI,
                "code_verifier": verifier,
            },
        }
        account_id: str = (await data(await api.post("/v1/accounts", json=body)))["id"]
        return account_id

    async def works(self, access_token: str) -> bool:
        """Whether the provider's resource takes this token now."""
        async with httpx.AsyncClient(base_url=self.server.url) as client:
            answer = await client.get("/api/me", headers={"Authorization": f"Bearer {access_token}"})
        return answer.status_code == 200


StartProvider = Callable[[ProviderOptions], Awaitable[Connected]]
"""Starts a provider with these rules."""
