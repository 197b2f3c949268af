"""The console in Chromium: signing in and out, and how everything stands."""

from pathlib import Path

import pytest

from api_service import ADMIN_KEY, data
from connect_browser import a_source
from connect_site import Site
from console_user import ConsoleUser
from page_looks import check_looks
from webdriver import Browser


@pytest.fixture
async def user(browser: Browser, site: Site) -> ConsoleUser:
    return ConsoleUser(browser, site)


async def test_a_key_signs_in_and_the_session_ends_for_good_when_its_user_signs_out(
    user: ConsoleUser, pictures: Path
) -> None:
    browser = user.browser
    await browser.open(f"{user.url}/accounts?state=active")
    await browser.shows("h1", "Sign in to tokenkeep")
    await check_looks(browser, "console-sign-in", pictures)
    await user.check_accessible()

    await browser.write("#key", "tk_not-a-key")
    await browser.click("button[type=submit]")
    await browser.shows("[role=alert]", "This key is not known here. It may have been withdrawn, or have run out.")
    assert await user.value("#key") == ""

    await user.sign_in()
    [cookie] = [it for it in await browser.call("GET", "cookie") if it["name"] == "tokenkeep_console"]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    await check_looks(browser, "console-overview-empty", pictures)
    await user.check_accessible()

    await browser.click(".who button")
    await browser.shows("h1", "Sign in to tokenkeep")
    await browser.call("POST", "cookie", {"cookie": cookie})
    await user.open("")
    await browser.shows("h1", "Sign in to tokenkeep")
    assert [line for line in await browser.complaints() if "Security Policy" in line] == []


async def test_the_overview_tells_who_is_well_who_is_not_and_what_is_coming(user: ConsoleUser, pictures: Path) -> None:
    service, admin = user.site.service, user.site.admin
    source_id = await a_source(admin, user.site.provider)
    for number in range(24):
        body = {"source_id": source_id, "external_id": f"customer-{number + 1}"}
        tokens = {"access_token": f"at-{number}", "refresh_token": f"rt-{number}", "expires_in": 300 + 260 * number}
        data(await admin.post("/v1/accounts", json={**body, "credentials": tokens}), 201)
    data(await admin.post("/v1/accounts", json={"source_id": source_id, "external_id": "to-come"}), 201)
    accounts = data(await admin.get("/v1/accounts"))
    for account in accounts[:2]:
        await admin.post(f"/v1/accounts/{account['id']}/refresh")
    await service.queue.drain()
    expired = accounts[3]["id"].removeprefix("acc_")
    await service.sql(
        "UPDATE credentials SET expires_at = now() - interval '1 minute' WHERE account_id = CAST(:id AS uuid)",
        id=expired,
    )
    await service.sql(
        "UPDATE leases SET next_refresh_at = now() - interval '7 minutes' WHERE account_id = CAST(:id AS uuid)",
        id=expired,
    )
    data(await admin.post(f"/v1/sources/{user.site.source_id}/pause"))

    await user.sign_in()
    figures = {
        name: await user.text(f"[data-value={name}]")
        for name in ("expired", "overdue", "active", "failing", "disabled", "pending")
    }
    assert figures == {"expired": "1", "overdue": "1", "active": "22", "failing": "0", "disabled": "2", "pending": "1"}
    assert "the latest by 7 min" in await user.text("#figures")
    assert "2 must connect again" in await user.text("#figures")
    assert await user.text("#sources tbody th") == "Acme Books"
    await user.browser.click("[data-value=expired] a")
    await user.browser.shows("h1", "Accounts")
    assert await user.text("tbody th") == accounts[3]["external_id"]
    assert await user.browser.run("return document.querySelectorAll('tbody tr').length") == 1
    await user.open("/no-such-page")
    await user.browser.shows("h1", "There is nothing here")
    await user.browser.click("nav a")
    await user.browser.shows("h1", "Overview")
    planned = await user.text("#charts section p")
    assert not planned.startswith("0 planned")
    assert await user.browser.run("return document.querySelectorAll('#charts section:first-child rect').length") == 12
    await check_looks(user.browser, "console-overview", pictures)
    await user.check_accessible()
    # By script they come up to date; whoever reads the page hears of it.
    await service.sql(
        "UPDATE credentials SET expires_at = now() + interval '1 hour' WHERE account_id = CAST(:id AS uuid)", id=expired
    )
    await user.browser.shows("[data-value=expired]", "0")
    assert (await user.text("#said")).startswith("0 expired tokens")


async def test_everything_is_reached_by_the_keyboard_and_the_focus_is_seen(user: ConsoleUser) -> None:
    await user.sign_in()
    await user.open("/accounts")
    reached = []
    for _ in range(14):
        await user.press_tab()
        reached.append(await user.browser.run("return document.activeElement.innerText || document.activeElement.name"))
        shown = await user.browser.run("return getComputedStyle(document.activeElement).outlineStyle")
        assert shown == "solid", reached
    places = ["Overview", "Accounts", "Sources", "Events", "Webhooks", "API keys", "Audit"]
    assert reached[:10] == ["To the content", *places, "Sign out", "New account"]
    assert reached[10] == "q"


async def test_without_a_script_the_pages_work_all_the_same(user: ConsoleUser) -> None:
    await user.browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    await user.browser.open(user.url)
    await user.browser.write("#key", ADMIN_KEY)
    await user.browser.write("#environment", user.site.service.environment)
    await user.browser.click("button[type=submit]")
    await user.browser.arrives_at(user.url)
    await user.browser.open(f"{user.url}/sources/{user.site.source_id}/pause")
    await user.browser.click("button.sure")
    await user.browser.arrives(f"{user.url}/sources/{user.site.source_id}?done=paused")
    assert data(await user.site.admin.get(f"/v1/sources/{user.site.source_id}"))["state"] == "paused"


async def test_a_link_on_another_site_leads_whoever_is_signed_in_to_the_page(user: ConsoleUser) -> None:
    await user.sign_in()
    elsewhere = user.site.provider.url.replace("127.0.0.1", "localhost")
    await user.browser.open(f"{elsewhere}/nothing-there")
    await user.browser.run(f"location.href = '{user.url}/sources'")
    await user.browser.shows("h1", "Sources")
    assert await user.browser.address() == f"{user.url}/sources"
