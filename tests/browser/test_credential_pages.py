"""The pages on which people fill in keys and passwords, in Chromium, before a server that knows which are right."""

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from api_service import data
from connect_site import Site, open_site
from page_looks import check_looks
from webdriver import Browser
from whoami_server import WhoamiServer

SHOP = """\
name: Shop X
auth_type: api_key
key_placement: "header x-api-key: {{key}}"
credentials_help: "You find the key in Shop X, under Settings, API keys. It needs the right to read orders."
verify: {{url: "{url}", external_id: sub}}
docs: [https://docs.example]
confidence: documented
"""
DESK = """\
name: Helpdesk
auth_type: basic
verify: {{url: "{url}", external_id: sub}}
docs: [https://docs.example]
confidence: documented
"""
VAULTED = """\
name: Vaulted
auth_type: custom
credentials:
  account: {title: Account identifier, secret: false, help: "Such as acme-eu1, from the address of your console."}
  private_key: {title: Private key, lines: true, help: "The whole file, from BEGIN to END."}
  passphrase: {title: Passphrase, required: false}
  role: {title: Role, secret: false, required: false}
placeholders:
  region: {title: Region, pattern: "[a-z]{2}", example: eu}
"""
KEY = "-----BEGIN KEY-----\ncanary\n-----END KEY-----"


@pytest.fixture
async def whoami() -> AsyncIterator[WhoamiServer]:
    pair = b64encode(b"ann@acme.example:right").decode()
    async with WhoamiServer({"right-key": "acme", "second-key": "acme", "foreign-key": "other", pair: "ann"}) as it:
        yield it


@pytest.fixture
async def site(browser_database_url: str, redis_url: str, tmp_path: Path, whoami: WhoamiServer) -> AsyncIterator[Site]:
    for slug, entry in (("shop-x", SHOP.format(url=whoami.url)), ("helpdesk", DESK.format(url=whoami.url))):
        (tmp_path / f"{slug}.yaml").write_text(entry)
    (tmp_path / "vaulted.yaml").write_text(VAULTED)
    async with open_site(browser_database_url, redis_url, tmp_path) as opened:
        yield opened


async def a_source(site: Site, provider: str) -> str:
    body = {"provider": provider, "name": "Acme Books"}
    return str(data(await site.admin.post("/v1/sources", json=body), 201)["id"])


async def the_account(site: Site) -> dict[str, Any]:
    [account] = data(await site.admin.get("/v1/accounts"))
    found: dict[str, Any] = account
    return found


async def credentials_of(site: Site, account_id: str) -> dict[str, str]:
    account = data(await site.admin.get(f"/v1/accounts/{account_id}", params={"include_credentials": "1"}))
    found: dict[str, str] = account["credentials"]
    return found


async def value_of(browser: Browser, selector: str) -> str:
    return str(await browser.run(f"return document.querySelector({selector!r}).value"))


async def check_labels(browser: Browser) -> None:
    """Every field has a label of its own, and what explains it is tied to it."""
    lost = await browser.run(
        "return [...document.querySelectorAll('input:not([type=hidden]), textarea')].filter(it => it.labels.length !== 1"
        " || (it.getAttribute('aria-describedby') ?? '').split(' ').some(id => id && !document.getElementById(id))).length"
    )
    assert lost == 0


async def test_a_person_brings_a_wrong_key_and_then_the_right_one(
    site: Site, browser: Browser, whoami: WhoamiServer, pictures: Path
) -> None:
    await browser.open(await site.session(source_id=await a_source(site, "shop-x")))
    await browser.shows("h1", "Connect Shop X")
    await browser.shows("label", "API key")
    await check_labels(browser)
    await check_looks(browser, "key", pictures)
    await browser.write("input[type=password]", "wrong-key")
    await browser.click("button")
    await browser.shows(".notice", "Shop X does not accept this key. Please check it, and enter it again.")
    assert await value_of(browser, "input[type=password]") == ""
    await check_looks(browser, "key-refused", pictures)
    await browser.write("input[type=password]", "right-key")
    await browser.click("button")
    await browser.shows("h1", "You are connected")
    assert whoami.asked == ["wrong-key", "right-key"]
    account = await the_account(site)
    assert (account["external_id"], account["external_id_verified"]) == ("acme", True)
    assert await credentials_of(site, account["id"]) == {"api_key": "right-key"}
    complaints = [one for one in await browser.complaints() if "favicon.ico" not in one and "422" not in one]
    assert complaints == []


async def test_a_person_brings_a_user_name_and_a_password_and_is_sent_back(
    site: Site, browser: Browser, pictures: Path
) -> None:
    back = f"{site.provider.url}/api/me"
    await browser.open(await site.session(source_id=await a_source(site, "helpdesk"), return_url=back))
    await browser.shows("h1", "Connect Helpdesk")
    await check_labels(browser)
    await check_looks(browser, "basic", pictures)
    await browser.write("input[type=text]", "ann@acme.example")
    await browser.write("input[type=password]", "wrong")
    await browser.click("button")
    await browser.shows(".notice", "Helpdesk does not accept this combination. Please check it, and enter it again.")
    assert await value_of(browser, "input[type=text]") == "ann@acme.example"
    assert await value_of(browser, "input[type=password]") == ""
    await browser.write("input[type=password]", "right")
    await browser.click("button")
    landed = dict(parse_qsl(urlsplit(await browser.arrives(f"{back}?")).query))
    assert landed["status"] == "connected"
    assert await credentials_of(site, landed["account_id"]) == {"username": "ann@acme.example", "password": "right"}


async def test_a_person_fills_in_a_form_of_several_fields(site: Site, browser: Browser, pictures: Path) -> None:
    await browser.open(await site.session(source_id=await a_source(site, "vaulted")))
    await browser.shows("h1", "Connect Vaulted")
    await check_labels(browser)
    await check_looks(browser, "several", pictures)
    await browser.click("summary")
    await browser.write("[name='credentials.role']", "reader")
    await browser.write("[name='properties.region']", "Europe")
    await browser.write("[name='credentials.account']", "acme-eu1")
    await browser.run(f"document.querySelector('textarea').value = {KEY!r}")
    await browser.click("button")
    await browser.shows(".complaint", "This does not look right. Please check it for slips.")
    assert await value_of(browser, "[name='credentials.role']") == "reader"
    assert await value_of(browser, "textarea") == ""
    await check_labels(browser)
    await check_looks(browser, "several-marked", pictures)
    await browser.write("[name='properties.region']", "eu")
    await browser.run(f"document.querySelector('textarea').value = {KEY!r}")
    await browser.click("button")
    await browser.shows("h1", "You are connected")
    account = await the_account(site)
    assert account["properties"] == {"region": "eu"}
    assert await credentials_of(site, account["id"]) == {"account": "acme-eu1", "private_key": KEY, "role": "reader"}


async def test_a_person_renews_a_key_in_place(site: Site, browser: Browser, pictures: Path) -> None:
    body = {"source_id": await a_source(site, "shop-x"), "credentials": {"api_key": "right-key"}}
    account_id = data(await site.admin.post("/v1/accounts", json=body), 201)["id"]
    made = await site.admin.post("/v1/connect/sessions", json={"account_id": account_id})
    await browser.open(data(made, 201)["url"])
    await browser.shows("h1", "Reconnect Shop X")
    await check_looks(browser, "reconnect", pictures)
    await browser.write("input[type=password]", "foreign-key")
    await browser.click("button")
    await browser.shows(
        ".notice",
        "That belongs to another Shop X account than the one that Acme Books expects. Please use that one.",
    )
    await browser.write("input[type=password]", "second-key")
    await browser.click("button")
    await browser.shows("h1", "You are connected")
    assert (await the_account(site))["id"] == account_id
    assert await credentials_of(site, account_id) == {"api_key": "second-key"}
