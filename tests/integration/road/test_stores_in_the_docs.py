"""The store of docs/how-to/store-credentials-elsewhere.md, as it stands there, against a Valkey."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from installed_packages import install_entry_points
from road import open_road
from token_server import TokenServer
from tokenkeep.application.credential_stores import POINTER_MARK
from tokenkeep.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "store-credentials-elsewhere.md"


def example(language: str, name: str) -> str:
    [block] = re.findall(
        rf"^```{language}\n(# {re.escape(name)}\n.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    return str(block)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example as it is when it is installed."""
    (tmp_path / "acme_store.py").write_text(example("python", "acme_store.py"))
    for group, points in tomllib.loads(example("toml", "pyproject.toml"))["project"]["entry-points"].items():
        install_entry_points(tmp_path, group, **points)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("acme_store", None)


@pytest.mark.usefixtures("installed")
async def test_the_store_of_the_page_keeps_credentials(database_url: str, redis_url: str, server: TokenServer) -> None:
    store = f"acme:{redis_url}?db=5"
    async with open_road(database_url, redis_url, credential_store=store) as road:
        await road.foundation.redis.flushall()
        account_id = await road.account(await road.source(server.url))
        while await road.refreshing.move():
            pass
        await road.refresh(account_id)
        await road.make_due(account_id)
        await road.refresh(account_id)
        await road.refreshing.refresh.drain()
        assert server.presented == ["grant.1", "grant.2"]
        [row] = await road.sql("SELECT access_ciphertext FROM credentials")
        assert row["access_ciphertext"][:1] == POINTER_MARK
        names = [name async for name in road.refreshing.stores.names("acme") if name != "000/owner"]
        assert [name.split(".")[2] for name in names] == ["3"]
        assert await road.refreshing.sweep() == 0


def test_every_setting_that_the_page_names_is_one() -> None:
    named = set(re.findall(r"TOKENKEEP_([A-Z_]+)", PAGE.read_text()))
    assert {name.lower() for name in named} <= Settings.model_fields.keys()
