"""Somebody at the console, in Chromium: signs in, looks around, and is told what a checker of accessibility finds."""

import asyncio
from pathlib import Path
from typing import Any

from api_service import ADMIN_KEY
from connect_site import Site
from webdriver import Browser

_AXE = Path(__file__).parent / "browser" / "axe-core" / "axe.min.js"
_CHECK = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
  found => done(found.violations.map(it => `${it.id}: ${it.nodes.map(node => node.target.join(" ")).join(", ")}`)),
  error => done([String(error)]));
"""


class ConsoleUser:
    """A browser, and the console it is at."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self.browser = browser
        self.site = site
        self.url = f"{site.service.foundation.settings.external_url}/console"

    async def sign_in(self, key: str = ADMIN_KEY, environment: str | None = None) -> None:
        await self.browser.open(self.url)
        await self.browser.shows("h1", "Sign in to tokenkeep")
        await self.browser.write("#key", key)
        if key == ADMIN_KEY:
            await self.browser.write("#environment", environment or self.site.service.environment)
        await self.browser.click("button[type=submit]")
        await self.browser.shows("h1", "Overview")

    async def open(self, path: str) -> None:
        await self.browser.open(f"{self.url}{path}")

    async def text(self, selector: str) -> str:
        return str(await self.browser.run(f"return document.querySelector({selector!r})?.innerText"))

    async def value(self, selector: str) -> str:
        return str(await self.browser.run(f"return document.querySelector({selector!r})?.value"))

    async def choose(self, selector: str, value: str) -> None:
        await self.browser.run(f"document.querySelector({selector!r}).value = {value!r}")

    async def has(self, selector: str) -> bool:
        return bool(await self.browser.run(f"return document.querySelector({selector!r}) !== null"))

    async def press_tab(self) -> None:
        """The key by which people go on who use no mouse."""
        for kind in ("rawKeyDown", "keyUp"):
            await self.browser.devtools(
                "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
            )

    async def check_accessible(self) -> None:
        """axe-core finds nothing on this page, by day and by night. It is put in beside the page's policy, by the browser itself."""
        source = await asyncio.to_thread(_AXE.read_text)
        await self.browser.devtools("Runtime.evaluate", expression=source)
        for width, dark in ((390, True), (1440, False)):
            await self.browser.look_like(width=width, height=900, dark=dark)
            found: list[Any] = await self.browser.call("POST", "execute/async", {"script": _CHECK, "args": []})
            assert found == [], (await self.browser.address(), width)
