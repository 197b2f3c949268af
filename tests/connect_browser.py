"""An end user at a browser: follows a connect link to the provider and back, with cookies, one step at a time."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape

import httpx
from starlette.types import ASGIApp

from api_service import data
from tokenkeep.adapters.demo_provider import ProviderServer

PUBLIC_URL = "http://api.test"
_FORM_KEY = re.compile(r'name="form" value="([0-9a-f]{64})"')


class ConnectBrowser:
    """Nothing is followed by itself, so that a test can stop anywhere."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def look(self, url: str) -> httpx.Response:
        return await self.http.get(url)

    async def form_key(self, url: str) -> str:
        """What the page's form brings along, that no other page knows."""
        page = await self.look(url)
        found = _FORM_KEY.search(page.text)
        assert found is not None, f"{page.status_code} {page.text}"
        return found[1]

    async def fill_in(self, url: str, **given: str) -> httpx.Response:
        """Open the page with the form for credentials, fill it in, send it. A double underscore stands for a dot."""
        named = {name.replace("__", "."): value for name, value in given.items()}
        return await self.http.post(url, data={"form": await self.form_key(url), **named})

    async def press(self, url: str, **filled: str) -> httpx.Response:
        """Open the page, fill in its form, press the button."""
        given = {f"property.{name}": value for name, value in filled.items()}
        return await self.http.post(url, data={"form": await self.form_key(url), **given})

    async def begin(self, url: str, **filled: str) -> str:
        """Press the button; the address at the provider that it leads to."""
        sent = await self.press(url, **filled)
        assert sent.status_code == 303, f"{sent.status_code} {sent.text}"
        return sent.headers["location"]

    async def consent(self, address: str, user: str = "alice", *, decision: str = "allow") -> str:
        """Decide at the provider; the address that it sends the browser back to."""
        assert (await self.http.get(address)).status_code == 200
        answer = await self.http.post(address, data={"user": user, "decision": decision})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def connect(self, url: str, user: str = "alice", **filled: str) -> httpx.Response:
        """The whole way; the answer on landing."""
        return await self.look(await self.consent(await self.begin(url, **filled), user))


@asynccontextmanager
async def open_browser(app: ASGIApp) -> AsyncIterator[ConnectBrowser]:
    """A browser without a cookie. The API is in this process, everything else behind the network."""
    here = httpx.ASGITransport(app, client=("192.0.2.99", 4712))
    async with httpx.AsyncClient(mounts={PUBLIC_URL: here}, trust_env=False) as http:
        yield ConnectBrowser(http)


def heading(page: httpx.Response) -> str:
    """What the page says first."""
    assert page.headers["content-type"] == "text/html; charset=utf-8", page.text
    found = re.search(r"<h1>(.*?)</h1>", page.text, re.DOTALL)
    assert found is not None, page.text
    return unescape(found[1])


async def a_source(admin: httpx.AsyncClient, server: ProviderServer) -> str:
    """A source of this provider, to which users can be sent."""
    body = {
        "provider": "generic-oauth2",
        "name": "Acme Books",
        "client_id": "demo-client",
        "client_secret": "demo-secret",
        "options": {
            "authorization_url": f"{server.url}/authorize",
            "token_url": f"{server.url}/token",
            "refresh_rotates": "yes",
        },
    }
    return str(data(await admin.post("/v1/sources", json=body), 201)["id"])


async def connected(admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str) -> str:
    """An account whose user has consented."""
    session = data(await admin.post("/v1/connect/sessions", json={"source_id": source_id}), 201)
    assert heading(await browser.connect(session["url"])) == "You are connected"
    return str(data(await admin.get(f"/v1/connect/sessions/{session['id']}"))["account_id"])
