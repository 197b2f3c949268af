"""Who changes an account's properties so that its credentials would go elsewhere must be allowed to have them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_service import Service, data, open_service, problem
from connect_browser import PUBLIC_URL, ConnectBrowser, heading, open_browser
from whoami_server import WhoamiServer

SITE = """\
name: Site
auth_type: api_key
key_placement: "header x-api-key: {key}"
verify:
  url: "http://{host}/me"
  external_id: sub
placeholders:
  host: {title: Host, pattern: "[0-9.:]{7,21}", example: "127.0.0.1:80"}
  nickname: {title: Nickname, pattern: "[a-z]{1,20}", required: false}
"""
TENANTED = """\
name: Tenanted
auth_type: oauth2
docs: [https://docs.example]
confidence: documented
token_url: "https://93.184.215.14/{tenant}/token"
revocation_url: "https://93.184.215.14/{area}/revoke"
placeholders:
  tenant: {title: Tenant, pattern: "[a-z]{3,8}"}
  area: {title: Area, pattern: "[a-z]{3,8}", default: main}
"""
KEY = {"api_key": "canary-alice"}
LIVE = {"access_token": "a", "refresh_token": "r", "expires_in": 3600}


@pytest.fixture
async def service(api_database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "tenanted.yaml").write_text(TENANTED)
    async with open_service(api_database_url, redis_url, public_url=PUBLIC_URL, providers_dir=tmp_path) as opened:
        yield opened


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[ConnectBrowser]:
    async with open_browser(service.app) as opened:
        yield opened


@pytest.fixture
async def here() -> AsyncIterator[WhoamiServer]:
    async with WhoamiServer({"canary-alice": "alice", "canary-alice-2": "alice"}) as started:
        yield started


@pytest.fixture
async def elsewhere() -> AsyncIterator[WhoamiServer]:
    async with WhoamiServer({"canary-alice": "alice", "canary-alice-2": "alice"}) as started:
        yield started


@pytest.fixture
async def writer(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """May write accounts, and nothing more."""
    async with service.client(await service.key("accounts:write")) as client:
        yield client


@pytest.fixture
async def reader(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """May also read what is stored."""
    async with service.client(await service.key("accounts:write", "credentials:read")) as client:
        yield client


def host_of(server: WhoamiServer) -> str:
    return server.origin.removeprefix("http://")


async def a_source(admin: httpx.AsyncClient, provider: str, **changes: Any) -> str:
    body = {"provider": provider, "name": "a source", **changes}
    return str(data(await admin.post("/v1/sources", json=body), 201)["id"])


async def an_account(admin: httpx.AsyncClient, source_id: str, **members: Any) -> str:
    """The path of one."""
    made = data(await admin.post("/v1/accounts", json={"source_id": source_id, **members}), 201)
    return f"/v1/accounts/{made['id']}"


@pytest.fixture
async def path(admin: httpx.AsyncClient, here: WhoamiServer) -> str:
    """An account whose key was verified at its host."""
    site = {"host": host_of(here), "nickname": "first"}
    return await an_account(admin, await a_source(admin, "site"), credentials=KEY, properties=site)


async def properties_of(admin: httpx.AsyncClient, path: str) -> dict[str, str]:
    found: dict[str, str] = data(await admin.get(path))["properties"]
    return found


def lacks(answer: httpx.Response) -> str:
    """The scope that is missing."""
    scope: str = problem(answer, 403, "missing_scope")["scope"]
    return scope


async def test_who_only_writes_accounts_can_not_have_a_key_sent_to_a_host_of_theirs(  # noqa: PLR0917 - fixtures
    service: Service,
    admin: httpx.AsyncClient,
    writer: httpx.AsyncClient,
    here: WhoamiServer,
    elsewhere: WhoamiServer,
    path: str,
) -> None:
    before = data(await admin.get(path))
    change = {"properties": {"host": host_of(elsewhere)}, "metadata": {"plan": "team"}}
    assert lacks(await writer.patch(path, json=change)) == "credentials:read"
    assert data(await admin.get(path)) == before
    data(await writer.post(f"{path}/verify"))
    assert (len(here.asked), elsewhere.asked) == (2, [])
    await service.flush()
    [refused] = data(await admin.get("/v1/audit", params={"result": "missing_scope"}))
    assert (refused["action"], refused["target"]) == ("account.update", path.rpartition("/")[2])


async def test_who_may_read_the_key_may_say_where_it_goes(
    reader: httpx.AsyncClient, elsewhere: WhoamiServer, path: str
) -> None:
    data(await reader.patch(path, json={"properties": {"host": host_of(elsewhere)}}))
    assert data(await reader.post(f"{path}/verify"))["verification"]["result"] == "confirmed"
    assert elsewhere.asked == ["canary-alice"]


async def test_a_change_that_moves_nothing_is_free(
    admin: httpx.AsyncClient, writer: httpx.AsyncClient, here: WhoamiServer, path: str
) -> None:
    for change in ({"nickname": "second"}, {"nickname": None}, {"host": host_of(here)}):
        data(await writer.patch(path, json={"properties": change}))
    data(await writer.patch(path, json={"metadata": {"plan": "team"}}))
    assert await properties_of(admin, path) == {"host": host_of(here)}


async def test_a_host_that_comes_after_the_key_is_a_change_and_before_it_none(
    admin: httpx.AsyncClient, writer: httpx.AsyncClient, reader: httpx.AsyncClient, elsewhere: WhoamiServer
) -> None:
    source_id = await a_source(admin, "site")
    host = {"properties": {"host": host_of(elsewhere)}}
    waiting = await an_account(admin, source_id, credentials=KEY)
    assert lacks(await writer.patch(waiting, json=host)) == "credentials:read"
    assert data(await admin.get(waiting))["state"] == "pending"
    assert data(await reader.patch(waiting, json=host))["state"] == "active"
    empty = await an_account(admin, source_id)
    data(await writer.patch(empty, json=host))
    assert elsewhere.asked == []


async def test_an_account_that_is_disabled_has_its_key_still(
    admin: httpx.AsyncClient, writer: httpx.AsyncClient, elsewhere: WhoamiServer, path: str
) -> None:
    data(await admin.post(f"{path}/disable"))
    host = {"properties": {"host": host_of(elsewhere)}}
    assert lacks(await writer.patch(path, json=host)) == "credentials:read"
    data(await admin.post(f"{path}/disable", params={"revoke": "true"}))
    data(await writer.patch(path, json=host))


async def test_who_sends_a_grant_elsewhere_must_be_allowed_to_have_it(
    service: Service, admin: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    source_id = await a_source(admin, "tenanted", client_id="c", client_secret="canary-client")
    path = await an_account(admin, source_id, credentials=LIVE, properties={"tenant": "acme"})
    for change in ({"tenant": "mine"}, {"area": "mine"}):
        assert lacks(await reader.patch(path, json={"properties": change})) == "credentials:release"
    data(await reader.patch(path, json={"properties": {"area": "main"}}))
    assert await properties_of(admin, path) == {"tenant": "acme", "area": "main"}
    async with service.client(await service.key("accounts:write", "credentials:release")) as keeper:
        data(await keeper.patch(path, json={"properties": {"tenant": "mine", "area": "mine"}}))


async def test_a_session_that_reconnects_an_account_moves_no_more_than_its_maker_may(  # noqa: PLR0917 - fixtures
    service: Service,
    admin: httpx.AsyncClient,
    writer: httpx.AsyncClient,
    reader: httpx.AsyncClient,
    here: WhoamiServer,
    elsewhere: WhoamiServer,
    browser: ConnectBrowser,
    path: str,
) -> None:
    account_id = path.rpartition("/")[2]
    site = await properties_of(admin, path)
    moving = {"account_id": account_id, "properties": {"host": host_of(elsewhere)}}
    assert lacks(await writer.post("/v1/connect/sessions", json=moving)) == "credentials:read"
    assert await service.sql("SELECT id FROM connect_sessions WHERE environment = :e", e=service.environment) == []
    for harmless in ({}, {"properties": {"nickname": "second"}}, {"properties": {"host": host_of(here)}}):
        data(await writer.post("/v1/connect/sessions", json={"account_id": account_id, **harmless}), 201)
    session = data(await reader.post("/v1/connect/sessions", json=moving), 201)
    await browser.look(session["url"])
    data(await writer.post(f"{path}/verify"))
    assert (await properties_of(admin, path), elsewhere.asked) == (site, [])
    page = await browser.fill_in(session["url"], credentials__api_key="canary-alice-2")
    assert heading(page) == "You are connected"
    assert (await properties_of(admin, path))["host"] == host_of(elsewhere)
    assert elsewhere.asked == ["canary-alice-2"]


async def test_a_session_for_an_account_without_credentials_brings_it_its_host(
    admin: httpx.AsyncClient, writer: httpx.AsyncClient, elsewhere: WhoamiServer
) -> None:
    empty = await an_account(admin, await a_source(admin, "site"))
    body = {"account_id": empty.rpartition("/")[2], "properties": {"host": host_of(elsewhere)}}
    data(await writer.post("/v1/connect/sessions", json=body), 201)
