"""Sources, webhooks, keys, events and the audit trail in the console, in Chromium."""

from pathlib import Path

import pytest

from api_service import data
from connect_site import Site
from console_user import ConsoleUser
from page_looks import check_looks
from webdriver import Browser


@pytest.fixture
async def user(browser: Browser, site: Site) -> ConsoleUser:
    signed_in = ConsoleUser(browser, site)
    await signed_in.sign_in()
    return signed_in


async def test_a_source_is_made_from_the_catalogue_with_what_its_provider_takes(
    user: ConsoleUser, pictures: Path
) -> None:
    await user.open("/sources/new?q=generic")
    await user.check_accessible()
    await user.browser.click("a[href$='provider=generic-oauth2']")
    await user.browser.shows("h1", "New source of Generic OAuth 2.0")
    await check_looks(user.browser, "console-new-source", pictures)
    await user.check_accessible()
    await user.browser.write("#field-name", "Ledger")
    await user.browser.write("#field-client_id", "client-1")
    await user.browser.write("#field-client_secret", "canary-secret")
    await user.browser.write("#field-options-token_url", "http://10.0.0.1/token")
    await user.browser.click("main form button")
    await user.browser.shows("#field-options-token_url-complaint", "10.0.0.1 is not a public address.")
    assert await user.value("#field-client_secret") == ""
    await user.browser.write("#field-client_secret", "canary-secret")
    await user.browser.write("#field-options-token_url", f"{user.site.provider.url}/token")
    await user.browser.click("summary")
    await user.choose("#field-options-refresh_rotates", "yes")
    await user.browser.write("#field-options-token_params", "audience=books")
    await user.browser.click("main form button")
    await user.browser.shows("h1", "Ledger")
    made = data(await user.site.admin.get("/v1/sources"))[-1]
    assert made["options"] == {
        "token_url": f"{user.site.provider.url}/token",
        "refresh_rotates": "yes",
        "token_params": {"audience": "books"},
    }
    page = await user.browser.run("return document.documentElement.outerHTML")
    assert "canary-secret" not in page


async def test_a_source_is_paused_after_a_question_and_resumed_at_once(user: ConsoleUser, pictures: Path) -> None:
    source_id = user.site.source_id
    await user.open(f"/sources/{source_id}")
    await check_looks(user.browser, "console-source", pictures)
    await user.check_accessible()
    await user.browser.click("a[href*='/pause']")
    await user.browser.shows("h1", "Pause: Acme Books?")
    await user.browser.click("button.sure")
    await user.browser.shows("#standing .badge", "paused")
    await user.open("")
    await user.browser.shows("#sources tbody th", "Acme Books")
    await check_looks(user.browser, "console-overview-trouble", pictures)
    await user.check_accessible()
    await user.open(f"/sources/{source_id}")
    await user.browser.click("form[action$='/resume'] button")
    await user.browser.shows("#standing .badge", "active")


async def test_a_page_brings_itself_up_to_date(user: ConsoleUser) -> None:
    await user.open(f"/sources/{user.site.source_id}")
    await user.browser.shows("#standing .badge", "active")
    data(await user.site.admin.post(f"/v1/sources/{user.site.source_id}/pause"))
    await user.browser.shows("#standing .badge", "paused")


async def test_a_new_client_secret_is_tried_with_one_account_first(user: ConsoleUser) -> None:
    account = {"source_id": user.site.source_id, "properties": {"company": "acme"}}
    tokens = {"access_token": "at", "refresh_token": "rt", "expires_in": 3600}
    data(await user.site.admin.post("/v1/accounts", json={**account, "credentials": tokens}), 201)
    await user.open(f"/sources/{user.site.source_id}/secret")
    await user.check_accessible()
    await user.browser.write("#field-client_secret", "the-next-secret")
    await user.browser.click("main form button")
    await user.browser.shows("[role=status]", "Saved.")
    await user.browser.shows("#standing .badge", "being tried")
    await user.open(f"/sources/{user.site.source_id}/edit")
    await user.check_accessible()
    await user.browser.write("#field-name", "Acme Ledger")
    await user.browser.click("main form button")
    await user.browser.shows("h1", "Acme Ledger")


async def test_a_new_key_is_shown_once_and_stops_its_sessions_when_it_is_withdrawn(
    user: ConsoleUser, pictures: Path
) -> None:
    await user.open("/keys")
    await check_looks(user.browser, "console-keys", pictures)
    await user.check_accessible()
    await user.browser.write("#field-name", "a helper of mine")
    await user.browser.click("input[name='scope:accounts:read']")
    await user.browser.click("main form button")
    await user.browser.shows("h1", "a helper of mine")
    key = await user.value("#secret")
    assert key.startswith("tk_")
    await user.check_accessible()
    async with user.site.service.client(key) as client:
        assert (await client.get("/v1/accounts")).status_code == 200
    await user.open("/keys")
    assert key not in await user.browser.run("return document.documentElement.outerHTML")
    [made] = data(await user.site.admin.get("/v1/api-keys"))
    assert made["scopes"] == ["accounts:read"]

    await user.browser.click(".who button")
    await user.browser.shows("h1", "Sign in to tokenkeep")
    await user.sign_in(key)
    assert (await user.site.admin.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
    await user.open("/accounts")
    await user.browser.shows("h1", "Sign in to tokenkeep")


async def test_a_webhook_is_made_tried_and_its_lost_deliveries_sent_again(user: ConsoleUser, pictures: Path) -> None:
    await user.open("/webhooks/new")
    await user.check_accessible()
    await user.browser.write("#field-url", f"{user.site.provider.url}/no-such-hook")
    await user.browser.write("#field-types", "account.created")
    await user.browser.click("main form button")
    await user.browser.shows(
        "main p",
        "This is its secret. It is shown now and never again: put it where it belongs before you leave this page.",
    )
    assert (await user.value("#secret")).startswith("whsec_")
    await user.browser.click("main .card a")
    await user.browser.shows("#standing .badge", "active")
    await check_looks(user.browser, "console-webhook", pictures)
    await user.check_accessible()
    await user.browser.click("form[action$='/test'] button")
    await user.browser.shows("h1", "It did not arrive")
    await user.check_accessible()
    await user.browser.click("main .card a")
    await user.browser.shows("h1", f"{user.site.provider.url}/no-such-hook")
    await user.browser.click("a[href$='/edit']")
    await user.browser.shows("h1", "Edit")
    await user.choose("#field-enabled", "false")
    await user.browser.write("#field-types", "")
    await user.browser.click("main form button")
    await user.browser.shows("#standing .badge", "disabled")
    [webhook] = data(await user.site.admin.get("/v1/webhooks"))
    assert (webhook["enabled"], webhook["types"]) == (False, None)
    await user.open("/webhooks")
    await user.check_accessible()


async def test_events_and_the_trail_are_told_the_latest_first(user: ConsoleUser, pictures: Path) -> None:
    body = {"source_id": user.site.source_id, "external_id": "ann"}
    account_id = data(await user.site.admin.post("/v1/accounts", json=body), 201)["id"]
    assert (await user.site.admin.delete(f"/v1/accounts/{account_id}")).status_code == 204
    await user.open("/events")
    assert (await user.text(".timeline li:nth-child(1) > div")).startswith("Account deleted.")
    assert (await user.text(".timeline li:nth-child(2) > div")).startswith("Account created.")
    await check_looks(user.browser, "console-events", pictures)
    await user.check_accessible()
    await user.open("/audit?action=account.delete")
    assert await user.text("tbody tr td:nth-child(3)") == "account.delete"
    assert await user.browser.run("return document.querySelectorAll('tbody tr').length") == 1
    await check_looks(user.browser, "console-audit", pictures)
    await user.check_accessible()
