"""The connect pages as people see them, in Chromium."""

import os
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from connect_site import Site
from webdriver import Browser

pytestmark = pytest.mark.timeout(180)

SCREENS = [(390, 844, False), (390, 844, True), (1440, 900, False), (1440, 900, True)]


async def fill_in_and_press(browser: Browser) -> None:
    await browser.write("#property-1", "acme")
    await browser.click("button")


async def check_looks(browser: Browser, name: str, pictures: Path) -> None:
    """On every screen: nothing sticks out, and what can be pressed is large enough for a thumb."""
    for width, height, dark in SCREENS:
        await browser.look_like(width=width, height=height, dark=dark)
        assert await browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), (name, width)
        small = await browser.run(
            "return [...document.querySelectorAll('button, .button, input:not([type=hidden])')]"
            ".filter(it => it.getBoundingClientRect().height < 44).length"
        )
        assert small == 0, name
        shade = await browser.run("return getComputedStyle(document.body).backgroundColor")
        assert (int(shade.removeprefix("rgb(").partition(",")[0]) < 128) is dark, "the stylesheet has to arrive"
        await browser.screenshot(pictures / f"{name}-{width}-{'dark' if dark else 'light'}.png")
    await browser.look_like(width=1440, height=900, dark=False)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: a directory that is named by SHOTS, or one that pytest forgets."""
    path = Path(os.environ.get("SHOTS", tmp_path / "shots"))
    path.mkdir(parents=True, exist_ok=True)
    return path


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
