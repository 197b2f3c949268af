"""OAuth 1.0a's three legs as people walk them, in Chromium."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlsplit

import pytest

from api_service import data
from connect_site import Site
from oauth1_server import CONSUMER, CONSUMER_SECRET, OAuth1Server, open_oauth1_server
from webdriver import Browser


@pytest.fixture
async def provider() -> AsyncIterator[OAuth1Server]:
    async with open_oauth1_server() as started:
        yield started


async def a_session(site: Site, provider: OAuth1Server, **body: str) -> str:
    """The address of a page at which an account of OAuth 1.0a is connected."""
    source = {
        "provider": "generic-oauth1",
        "name": "Acme Photos",
        "client_id": CONSUMER,
        "client_secret": CONSUMER_SECRET,
        "options": provider.options(userinfo_url=f"{provider.url}/me", external_id_path="sub"),
    }
    source_id = data(await site.admin.post("/v1/sources", json=source), 201)["id"]
    made = await site.admin.post("/v1/connect/sessions", json={"source_id": source_id, **body})
    return str(data(made, 201)["url"])


async def test_a_person_connects_an_account_of_oauth1_and_is_sent_back(
    site: Site, browser: Browser, provider: OAuth1Server
) -> None:
    await browser.open(await a_session(site, provider, return_url=f"{provider.url}/done"))
    await browser.shows("h1", f"Connect {urlsplit(provider.url).netloc}")
    await browser.click("button")
    await browser.shows("h1", "Allow access?")
    await browser.click("button[value=allow]")
    landed = urlsplit(await browser.arrives(f"{provider.url}/done?"))
    answer = dict(parse_qsl(landed.query))
    assert answer["status"] == "connected"
    account = data(await site.admin.get(f"/v1/accounts/{answer['account_id']}"))
    assert (account["auth_type"], account["state"], account["external_id"]) == ("oauth1", "active", "alice")
    complaints = [one for one in await browser.complaints() if "favicon.ico" not in one]
    assert complaints == []


async def test_a_person_who_declines_may_try_again(site: Site, browser: Browser, provider: OAuth1Server) -> None:
    provider.denies_by = "denied"
    await browser.open(await a_session(site, provider))
    await browser.click("button")
    await browser.shows("h1", "Allow access?")
    await browser.click("button[value=deny]")
    await browser.shows("h1", "You declined")
    await browser.click("a.button")
    await browser.shows("h1", f"Connect {urlsplit(provider.url).netloc}")
    await browser.click("button")
    await browser.shows("h1", "Allow access?")
    await browser.click("button[value=allow]")
    await browser.shows("h1", "You are connected")
