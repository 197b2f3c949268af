"""Accounts in the console: found, understood, acted on, created, in Chromium, at a provider that answers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api_service import data
from connect_browser import ConnectBrowser, a_source, connected
from connect_site import Site
from console_user import ConsoleUser
from page_looks import check_looks
from webdriver import Browser


@pytest.fixture
async def user(browser: Browser, site: Site) -> ConsoleUser:
    signed_in = ConsoleUser(browser, site)
    await signed_in.sign_in()
    return signed_in


@pytest.fixture
async def end_user() -> AsyncIterator[ConnectBrowser]:
    async with httpx.AsyncClient(trust_env=False) as http:
        yield ConnectBrowser(http)


@pytest.fixture
async def source_id(site: Site) -> str:
    return await a_source(site.admin, site.provider)


async def test_a_refresh_that_is_asked_for_shows_up_in_the_timeline_by_itself(
    user: ConsoleUser, end_user: ConnectBrowser, source_id: str, pictures: Path
) -> None:
    account_id = await connected(user.site.admin, end_user, source_id)
    await user.open(f"/accounts/{account_id}")
    assert "All is well." in await user.text("#standing")
    await user.browser.click(f"form[action$='/{account_id}/refresh'] button")
    await user.browser.shows("[role=status]", "A refresh was asked for. It shows up in the timeline when it is done.")
    await user.browser.shows("#timeline li > div", "Refreshed. Tried because somebody asked for it.")
    await check_looks(user.browser, "console-account", pictures)
    await user.check_accessible()


async def test_an_account_whose_grant_is_dead_says_so_in_plain_words(
    user: ConsoleUser, source_id: str, pictures: Path
) -> None:
    account_id = await user.site.service.account(source_id, "dead", expires_in=3)
    await user.open(f"/accounts/{account_id}")
    await user.browser.click(f"form[action$='/{account_id}/refresh'] button")
    await user.browser.shows("#standing .badge", "disabled")
    standing = await user.text("#standing")
    assert "The provider says that the grant is dead" in standing
    assert "the provider refused the grant (HTTP 400)" in standing
    await user.browser.shows("#acts button", "Enable")
    assert not await user.has("form[action$='/refresh']")
    await check_looks(user.browser, "console-account-disabled", pictures)
    await user.check_accessible()


async def test_what_can_not_be_undone_asks_before_it_is_done(user: ConsoleUser, source_id: str, pictures: Path) -> None:
    account_id = await user.site.service.account(source_id, "gone")
    await user.open(f"/accounts/{account_id}")
    await user.browser.click("a[href*='/delete']")
    await user.browser.shows("h1", f"Delete: {account_id}?")
    await check_looks(user.browser, "console-ask", pictures)
    await user.check_accessible()
    assert (await user.site.admin.get(f"/v1/accounts/{account_id}")).status_code == 200
    await user.browser.click("button.sure")
    await user.browser.shows("h1", "Accounts")
    assert (await user.site.admin.get(f"/v1/accounts/{account_id}")).status_code == 404
    actions = [it["action"] for it in data(await user.site.admin.get("/v1/audit"))]
    assert actions[0] == "account.delete"
    assert "console.sign_in" in actions


async def test_accounts_are_found_by_external_id_by_metadata_and_by_state(
    user: ConsoleUser, source_id: str, pictures: Path
) -> None:
    for name in ("ann", "bob"):
        body = {"source_id": source_id, "external_id": name, "metadata": {"plan": f"plan-{name}"}}
        tokens = {"access_token": f"at-{name}", "refresh_token": f"rt-{name}", "expires_in": 3600}
        data(await user.site.admin.post("/v1/accounts", json={**body, "credentials": tokens}), 201)
    data(await user.site.admin.post("/v1/accounts", json={"source_id": source_id, "external_id": "new"}), 201)
    await user.open("/accounts")
    assert [await user.text(f"tbody tr:nth-child({row}) th") for row in (1, 2, 3)] == ["ann", "bob", "new"]
    await check_looks(user.browser, "console-accounts", pictures)
    await user.check_accessible()
    for query, found in (("q=bob", "bob"), ("q=plan=plan-ann", "ann"), ("state=pending", "new")):
        await user.open(f"/accounts?{query}")
        assert await user.browser.run("return document.querySelectorAll('tbody tr').length") == 1, query
        assert await user.text("tbody th") == found
    await user.open("/accounts?q=nobody")
    assert await user.text("main section:last-of-type") == "No account fits."


async def test_an_account_is_created_with_what_its_source_says_it_needs(
    user: ConsoleUser, source_id: str, pictures: Path
) -> None:
    await user.open("/accounts/new")
    await user.browser.click(f"a[href*='{source_id}']")
    await user.browser.shows("h1", "New account at Acme Books")
    await check_looks(user.browser, "console-new-account", pictures)
    await user.check_accessible()
    await user.browser.write("#field-credentials-access_token", "an-access-token")
    await user.browser.write("#field-credentials-expires_at", "tomorrow")
    await user.browser.write("#field-external_id", "carol")
    await user.browser.write("#field-metadata", "plan=team")
    await user.browser.click("main form button")
    await user.browser.shows(
        "#field-credentials-expires_at-complaint", "Should be a time such as 2030-01-31T12:00:00Z."
    )
    assert await user.value("#field-credentials-access_token") == ""
    assert await user.value("#field-external_id") == "carol"
    await user.browser.write("#field-credentials-access_token", "an-access-token")
    await user.browser.write("#field-credentials-expires_at", "2030-01-31T12:00:00Z")
    await user.browser.click("main form button")
    await user.browser.shows("h1", "carol")
    [account] = data(await user.site.admin.get("/v1/accounts"))
    assert account["metadata"] == {"plan": "team"}
    assert account["expires_at"] == "2030-01-31T12:00:00.000Z"


async def test_metadata_that_is_taken_out_of_the_form_is_taken_away(user: ConsoleUser, source_id: str) -> None:
    body = {"source_id": source_id, "metadata": {"plan": "team", "region": "eu"}}
    account_id = data(await user.site.admin.post("/v1/accounts", json=body), 201)["id"]
    await user.open(f"/accounts/{account_id}/edit")
    assert await user.value("#field-metadata") == "plan=team\nregion=eu"
    await user.check_accessible()
    await user.browser.write("#field-metadata", "plan=solo")
    await user.browser.click("main form button")
    await user.browser.shows("[role=status]", "Saved.")
    assert data(await user.site.admin.get(f"/v1/accounts/{account_id}"))["metadata"] == {"plan": "solo"}


async def test_a_connect_link_leads_an_end_user_to_the_provider(
    user: ConsoleUser, end_user: ConnectBrowser, source_id: str, pictures: Path
) -> None:
    await user.open(f"/accounts/new?source_id={source_id}&kind=link")
    await user.browser.write("#field-external_id", "dora")
    await user.browser.click("main form button")
    await user.browser.shows("h1", "Connect link")
    await check_looks(user.browser, "console-link", pictures)
    await user.check_accessible()
    link = await user.value("#link")
    assert (await end_user.connect(link)).status_code == 200
    [account] = data(await user.site.admin.get("/v1/accounts"))
    assert (account["external_id"], account["state"]) == ("dora", "active")


async def test_a_released_token_is_shown_until_it_is_confirmed(user: ConsoleUser, source_id: str) -> None:
    account_id = await user.site.service.account(source_id, "mine")
    await user.open(f"/accounts/{account_id}")
    await user.browser.click("a[href$='/release']")
    await user.browser.shows("h1", f"Release: {account_id}?")
    await user.check_accessible()
    await user.browser.click("button.sure")
    await user.browser.shows("h1", "Released")
    assert await user.value("#refresh-token") == "mine.1"
    await user.check_accessible()
    await user.browser.click("a[href$='/confirm-release']")
    await user.browser.shows("h1", f"Erase the credentials here: {account_id}?")
    await user.browser.click("button.sure")
    await user.browser.shows("[role=status]", "Confirmed. The credentials are erased here.")
    again = await user.site.admin.post(f"/v1/accounts/{account_id}/release")
    assert again.json()["code"] == "credentials_erased"


async def test_a_key_is_offered_what_it_may_do_and_refused_the_rest(user: ConsoleUser, source_id: str) -> None:
    account_id = await user.site.service.account(source_id, "looked-at")
    await user.browser.click(".who button")
    await user.browser.shows("h1", "Sign in to tokenkeep")
    await user.sign_in(await user.site.service.key("accounts:read"))
    places = await user.browser.run("return [...document.querySelectorAll('header nav a')].map(it => it.innerText)")
    assert places == ["Overview", "Accounts"]
    await user.open(f"/accounts/{account_id}")
    assert not await user.has("main form")
    key = await user.browser.run("return document.querySelector('.who input').value")
    for path in (f"accounts/{account_id}/disable", f"accounts/{account_id}/delete"):
        said = await user.browser.call(
            "POST",
            "execute/async",
            {
                "script": "const done = arguments[2]; fetch(`/console/${arguments[0]}`, {method: 'POST', body:"
                " new URLSearchParams({form: arguments[1]})}).then(async it => done([it.status, await it.text()]))",
                "args": [path, key],
            },
        )
        assert said[0] == 403, json.dumps(said)
        assert "accounts:write" in said[1]
    for path in ("sources", "events", "webhooks", "keys", "audit"):
        await user.open(f"/{path}")
        await user.browser.shows("h1", "Your key may not do that")
    account = data(await user.site.admin.get(f"/v1/accounts/{account_id}"))
    assert account["state"] == "active"
    await user.site.service.flush()
    refused = [it for it in data(await user.site.admin.get("/v1/audit")) if it["result"] == "missing_scope"]
    assert {it["action"] for it in refused} >= {"account.disable", "account.delete"}
