"""The examples of docs/how-to/plug-in-refresh.md, run as they stand there."""

import importlib
import re
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from callout_server import SECRET
from installed_packages import install_refreshers
from road import CALLER, Road, open_road
from source_clients import SIGNER, source_clients
from token_server import Said, TokenServer, says
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderServer
from tokenkeep.application.manage_sources import CreateSource, NewSource
from tokenkeep.domain.account import DisabledReason
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.secret import Secret

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "plug-in-refresh.md"
SESSION = says(200, {"session": {"key": "acme-key", "next": "grant.2", "seconds": 600}})


def example(language: str, name: str) -> str:
    """The block of this language whose first line names this file."""
    blocks = re.findall(rf"^```{language}\n(# {re.escape(name)}\n.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    [block] = blocks
    return str(block)


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The examples as files, and the package as it is when it is installed."""
    for name in ("acme_refresh.py", "refresh_hook.py"):
        (tmp_path / name).write_text(example("python", name))
    project = tomllib.loads(example("toml", "pyproject.toml"))["project"]
    install_refreshers(tmp_path, **project["entry-points"]["tokenkeep.refreshers"])
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("acme_refresh", "refresh_hook"):
        sys.modules.pop(name, None)


@pytest.fixture
async def road(examples: Path, database_url: str, redis_url: str) -> AsyncIterator[Road]:
    assert examples.name
    async with open_road(database_url, redis_url) as opened:
        await opened.foundation.redis.flushall()
        yield opened


async def test_the_refresher_of_the_page_refreshes(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url, refresher="acme"))
    server.script.append(SESSION)
    await road.refresh(account_id)
    assert (await road.view(account_id)).generation == 2
    assert server.posts[0].form == {"app": "client", "refresh_token": "grant.1"}


@pytest.mark.parametrize(
    ("said", "doubts", "state"),
    [
        (Said(410), 0, "disabled"),
        (Said(401), 0, "active"),
        (Said(429), 0, "active"),
        (Said(500), 1, "active"),
        (Said(200, b"{"), 1, "active"),
        (Said(drop=True), 1, "active"),
    ],
)
async def test_the_refresher_of_the_page_says_what_became_of_the_token(
    road: Road, server: TokenServer, said: Said, doubts: int, state: str
) -> None:
    account_id = await road.account(await road.source(server.url, refresher="acme"))
    server.script.append(said)
    await road.refresh(account_id)
    view = await road.view(account_id)
    [row] = await road.sql("SELECT doubts FROM leases WHERE account_id = :id", id=account_id)
    assert (row["doubts"], view.account.state) == (doubts, state)


async def test_the_refresher_of_the_page_spends_nothing_where_nobody_is(road: Road) -> None:
    account_id = await road.account(await road.source("http://127.0.0.1:9/session", refresher="acme"))
    await road.refresh(account_id)
    [row] = await road.sql("SELECT doubts FROM leases WHERE account_id = :id", id=account_id)
    assert row["doubts"] == 0


@pytest.fixture
async def hook(examples: Path, server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProviderServer]:
    """The receiver of the page, listening."""
    assert examples.name
    monkeypatch.setenv("CALLOUT_SECRET", SECRET)
    monkeypatch.setenv("ACME_URL", server.url)
    served = SimpleNamespace(app=importlib.import_module("refresh_hook").app)
    async with ProviderServer(cast("DemoProvider", served)) as started:
        yield started


async def account_with_callouts(road: Road, hook: ProviderServer, *, secret: str = SECRET) -> AccountId:
    options = {"token_url": "https://93.184.215.14/session", "refresh_callout_url": f"{hook.url}/refresh"}
    wanted = NewSource("generic-oauth2", "acme", "my-app", Secret("shh"), (), options, Secret(secret))
    create = CreateSource(road.foundation.catalogue, road.sealer.vault, source_clients(road.sealer.vault), SIGNER)
    async with road.works() as work:
        source = await create(work, CALLER, wanted)
    return await road.account(source.id)


async def test_the_receiver_of_the_page_refreshes(road: Road, server: TokenServer, hook: ProviderServer) -> None:
    account_id = await account_with_callouts(road, hook)
    server.script.extend([SESSION, Said(410)])
    await road.refresh(account_id)
    assert (await road.view(account_id)).generation == 2
    await road.make_due(account_id)
    await road.refresh(account_id)
    account = (await road.view(account_id)).account
    assert account.disabled is not None
    assert account.disabled.reason is DisabledReason.REVOKED
    assert server.presented == ["grant.1", "grant.2"]


async def test_the_receiver_of_the_page_takes_no_message_of_others(
    road: Road, server: TokenServer, hook: ProviderServer
) -> None:
    account_id = await account_with_callouts(road, hook, secret="whsec_" + "bmV3" * 8)
    await road.refresh(account_id)
    assert server.presented == []
    assert (await road.view(account_id)).account.disabled is None
