"""A real Chromium, driven over WebDriver, for pages that are served to it over a socket."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from connect_site import Site, open_site
from tokenkeep.adapters.postgres.engine import asyncpg_url
from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.domain.secret import Secret
from webdriver import Browser, start_browser

_NAME = "of_the_browser"


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

    async def create() -> None:
        engine = create_async_engine(asyncpg_url(Secret(postgres_url)), isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {_NAME}"))
        await engine.dispose()

    asyncio.run(create())
    url = asyncpg_url(Secret(postgres_url)).set(database=_NAME, drivername="postgresql")
    made = url.render_as_string(hide_password=False)
    migrate(Secret(made))
    return made


@pytest.fixture
async def site(browser_database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(browser_database_url, redis_url, tmp_path) as opened:
        yield opened
