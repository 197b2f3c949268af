"""A client of the demo provider that behaves as RFC 6749 wants, and a clock that is moved by hand."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tokenkeep.adapters.demo_provider import DemoProvider

REDIRECT_URI = "http://127.0.0.1:1/callback"
BASIC = ("demo-client", "demo-secret")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Client:
    """Drives one provider over HTTP."""

    http: httpx.AsyncClient
    provider: DemoProvider

    async def authorize(self, user: str = "alice", *, decision: str = "allow", **changes: str) -> dict[str, str]:
        """Walks the browser's part; the parameters that come back on the redirect URI."""
        query = {
            "response_type": "code",
            "client_id": "demo-client",
            "redirect_uri": REDIRECT_URI,
            "state": "s-1",
            "user": user,
            **changes,
        }
        page = await self.http.get("/authorize", params=query)
        assert page.status_code == 200, page.text
        answer = await self.http.post("/authorize", params=query, data={"user": user, "decision": decision})
        assert answer.status_code == 302
        location = answer.headers["location"]
        assert location.startswith(f"{REDIRECT_URI}?")
        return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}

    async def connect(self, user: str = "alice", **changes: str) -> dict[str, Any]:
        """The whole authorization-code flow with PKCE; the token answer."""
        verifier = secrets.token_urlsafe(48)
        landed = await self.authorize(user, **challenge(verifier), **changes)
        answer = await self.redeem(landed["code"], verifier)
        assert answer.status_code == 200, answer.text
        token: dict[str, Any] = answer.json()
        return token

    async def redeem(self, code: str, verifier: str | None = None) -> httpx.Response:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
        return await self.http.post("/token", data=form | ({"code_verifier": verifier} if verifier else {}), auth=BASIC)

    async def refresh(self, refresh_token: str, *, auth: tuple[str, str] = BASIC, **more: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **more}
        return await self.http.post("/token", data=form, auth=auth)

    async def me(self, access_token: str) -> httpx.Response:
        return await self.http.get("/api/me", headers={"Authorization": f"Bearer {access_token}"})


def challenge(verifier: str) -> dict[str, str]:
    digest = hashlib.sha256(verifier.encode()).digest()
    return {
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }


async def until(condition: Callable[[], bool]) -> None:
    """Waits for the provider, which runs in the same loop."""
    while not condition():  # noqa: ASYNC110  # it sets no event
        await asyncio.sleep(0.005)


Start = Callable[..., Awaitable[Client]]
"""Starts a provider with the given options."""
