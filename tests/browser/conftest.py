"""A real Chromium, driven over WebDriver, for pages that are served to it over a socket."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connect_site import Site, open_site
from databases import migrated_database
from webdriver import Browser, start_browser


def need_program(name: str) -> str:
    """Without it a test is skipped on a developer's machine, but fails where CI=true is set."""
    found = shutil.which(name)
    if found is not None:
        return found
    reason = f"{name} is not installed (Debian: chromium and chromium-driver)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    chromium, driver = need_program("chromium"), need_program("chromedriver")
    async with start_browser(chromium, driver, profile=tmp_path / "profile") as started:
        yield started


@pytest.fixture(scope="session")
def browser_database_url(postgres_url: str) -> str:
    """A migrated database."""
    return migrated_database(postgres_url, "of_the_browser")


@pytest.fixture
async def site(browser_database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(browser_database_url, redis_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: a directory that is named by SHOTS, or one that pytest forgets."""
    path = Path(os.environ.get("SHOTS", tmp_path / "shots"))
    path.mkdir(parents=True, exist_ok=True)
    return path
