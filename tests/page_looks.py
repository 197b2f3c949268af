"""How a page looks on a phone and on a desk, by day and by night."""

from pathlib import Path

from webdriver import Browser

SCREENS = [(390, 844, False), (390, 844, True), (1440, 900, False), (1440, 900, True)]


async def check_looks(browser: Browser, name: str, pictures: Path) -> None:
    """On every screen: nothing sticks out, and what can be pressed is large enough for a thumb."""
    for width, height, dark in SCREENS:
        await browser.look_like(width=width, height=height, dark=dark)
        assert await browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), (name, width)
        small = await browser.run(
            "return [...document.querySelectorAll('button, .button, textarea, .check, input:not([type=hidden], [type=checkbox])')]"
            ".filter(it => it.getBoundingClientRect().height < 44).length"
        )
        assert small == 0, name
        shade = await browser.run("return getComputedStyle(document.body).backgroundColor")
        assert (int(shade.removeprefix("rgb(").partition(",")[0]) < 128) is dark, "the stylesheet has to arrive"
        await browser.screenshot(pictures / f"{name}-{width}-{'dark' if dark else 'light'}.png")
    await browser.look_like(width=1440, height=900, dark=False)
