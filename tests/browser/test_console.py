"""The console in Chromium: signing in and out, and how everything stands."""

from pathlib import Path

import pytest

from connect_site import Site
from console_user import ConsoleUser
from page_looks import check_looks
from webdriver import Browser

pytestmark = pytest.mark.timeout(240)


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
