"""As much of WebDriver (W3C) as the tests of pages need, over a chromedriver of our own."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from household import a_free_port

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
)


class Browser:
    """One window. Elements are found by CSS selectors."""

    def __init__(self, http: httpx.AsyncClient, session: str) -> None:
        self._http = http
        self._session = session

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = await self._http.request(method, f"/session/{self._session}/{path}".rstrip("/"), json=body)
        value = answer.json()["value"]
        assert answer.is_success, value
        return value

    async def open(self, url: str) -> None:
        await self.call("POST", "url", {"url": url})

    async def address(self) -> str:
        return str(await self.call("GET", "url"))

    async def shows(self, selector: str, text: str) -> None:
        """Wait until an element says this: what was pressed may still be on its way."""
        said = None
        try:
            async with asyncio.timeout(30):
                while said != text:
                    said = await self.run(f"return document.querySelector({selector!r})?.innerText")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{selector} says {said!r} at {await self.address()}") from None

    async def arrives(self, prefix: str) -> str:
        """Wait until the address begins like this; the address."""
        async with asyncio.timeout(60):
            while not (address := await self.address()).startswith(prefix):  # noqa: ASYNC110 - it asks another process
                await asyncio.sleep(0.05)
        return address

    async def arrives_at(self, url: str) -> None:
        """Wait until this is the address, and not one below it."""
        async with asyncio.timeout(60):
            while await self.address() != url:  # noqa: ASYNC110 - it asks another process
                await asyncio.sleep(0.05)

    async def click(self, selector: str) -> None:
        await self.call("POST", f"element/{await self._find(selector)}/click", {})

    async def write(self, selector: str, text: str) -> None:
        element = await self._find(selector)
        await self.call("POST", f"element/{element}/clear", {})
        await self.call("POST", f"element/{element}/value", {"text": text})

    async def run(self, script: str) -> Any:
        return await self.call("POST", "execute/sync", {"script": script, "args": []})

    async def devtools(self, command: str, **params: Any) -> Any:
        return await self.call("POST", "goog/cdp/execute", {"cmd": command, "params": params})

    async def look_like(self, *, width: int, height: int, dark: bool) -> None:
        """Be a screen of this size in CSS pixels, of somebody who likes it light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.devtools("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self, path: Path) -> None:
        picture = base64.b64decode(await self.call("GET", "screenshot"))
        await asyncio.to_thread(path.write_bytes, picture)

    async def complaints(self) -> list[str]:
        """What the browser has complained of since it was asked last."""
        said = await self.call("POST", "se/log", {"type": "browser"})
        return [str(line["message"]) for line in said]

    async def _find(self, selector: str) -> str:
        found = await self.call("POST", "element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])


@asynccontextmanager
async def start_browser(chromium: str, driver: str, *, profile: Path) -> AsyncIterator[Browser]:
    """A browser that nobody has used before."""
    # What it says is not read: its children would keep a pipe open, and with it the wait for its end.
    port = a_free_port()
    process = await asyncio.create_subprocess_exec(driver, f"--port={port}", stdout=asyncio.subprocess.DEVNULL)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            await _ready(http)
            arguments = [*_ARGUMENTS, f"--user-data-dir={profile}"]
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": {"binary": chromium, "args": arguments},
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            made = await http.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            assert made.is_success, made.text
            browser = Browser(http, made.json()["value"]["sessionId"])
            try:
                yield browser
            finally:
                await browser.call("DELETE", "")
    finally:
        process.terminate()
        await process.wait()


async def _ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                if (await http.get("/status")).json()["value"]["ready"]:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)
