"""The connect pages as people see them, in Chromium."""

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from connect_site import Site
from page_looks import check_looks
from webdriver import Browser


async def fill_in_and_press(browser: Browser) -> None:
    await browser.write("#property-1", "acme")
    await browser.click("button")


async def test_a_person_connects_an_account(site: Site, browser: Browser, pictures: Path) -> None:
    await browser.open(await site.session())
    await browser.shows("h1", "Connect Ledgerly")
    await browser.shows("label", "Your company's short name, such as acme")
    await check_looks(browser, "invitation", pictures)
    await browser.write("#property-1", "No Good")
    await browser.click("button")
    await browser.shows(".complaint", "This does not look right. Please check it for slips.")
    await check_looks(browser, "complaint", pictures)
    await fill_in_and_press(browser)
    await browser.shows("h1", "Allow access?")
    await browser.click("button[value=allow]")
    await browser.shows("h1", "You are connected")
    await check_looks(browser, "connected", pictures)
    complaints = [one for one in await browser.complaints() if "favicon.ico" not in one and "422" not in one]
    assert complaints == []


async def test_a_person_who_declines_tries_again_and_is_sent_back(site: Site, browser: Browser, pictures: Path) -> None:
    await browser.open(await site.session(return_url=f"{site.provider.url}/api/me"))
    await fill_in_and_press(browser)
    await browser.shows("h1", "Allow access?")
    await browser.click("button[value=deny]")
    await browser.shows("h1", "You declined")
    await check_looks(browser, "declined", pictures)
    await browser.click("a.button")
    await browser.shows("h1", "Connect Ledgerly")
    await browser.click("button")
    await browser.shows("h1", "Allow access?")
    await browser.click("button[value=allow]")
    landed = urlsplit(await browser.arrives(f"{site.provider.url}/api/me?"))
    assert dict(parse_qsl(landed.query))["status"] == "connected"


async def test_pages_that_end_the_way_are_pages_too(site: Site, browser: Browser, pictures: Path) -> None:
    url = await site.session()
    await browser.open(f"{url[:-3]}abc")
    await browser.shows("h1", "This link leads nowhere")
    await check_looks(browser, "nowhere", pictures)
    await site.service.sql("UPDATE connect_sessions SET expires_at = now() - interval '1 second'")
    await browser.open(url)
    await browser.shows("h1", "This link has run out of time")


async def test_the_button_can_be_reached_and_seen_with_the_keyboard_alone(
    site: Site, browser: Browser, pictures: Path
) -> None:
    await browser.open(await site.session())
    await browser.look_like(width=390, height=844, dark=False)
    seen = []
    for _ in range(3):
        for kind in ("keyDown", "keyUp"):
            await browser.devtools("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        seen.append(await browser.run("return document.activeElement.tagName"))
        assert await browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await browser.screenshot(pictures / f"focus-{len(seen)}.png")
    assert seen == ["INPUT", "BUTTON", "SUMMARY"]
