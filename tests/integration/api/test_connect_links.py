"""Links in events and refusals, by which an end user brings an account back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from api_service import Service, data, open_service, problem
from connect_browser import PUBLIC_URL, ConnectBrowser, a_source, connected, heading, open_browser
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer
from tokenkeep.domain.ids import IdKind, parse_id
from tokenkeep_scheduler.main import wire as wire_scheduler

PAST = "2020-01-01T00:00:00Z"
NOWHERE = "This link leads nowhere"


@pytest.fixture
async def service(api_database_url: str, redis_url: str) -> AsyncIterator[Service]:
    async with open_service(api_database_url, redis_url, public_url=PUBLIC_URL) as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    options = ProviderOptions(token_lifetime_s=600, redirect_uris=(f"{PUBLIC_URL}/connect/callback",))
    async with ProviderServer(DemoProvider(options)) as started:
        yield started


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[ConnectBrowser]:
    async with open_browser(service.app) as opened:
        yield opened


async def revoked(admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer) -> tuple[str, str]:
    """An account whose user has taken the access back, and the link that the refusal shows."""
    account_id = await connected(admin, browser, await a_source(admin, server))
    grant = server.provider.active_grant("alice")
    assert grant is not None
    server.provider.revoke_grant(grant.id)
    answer = await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True, "wait": 10})
    url = problem(answer, 409, "reauthorization_required")["connect_url"]
    assert url.startswith(f"{PUBLIC_URL}/connect/accounts/{account_id}?key=")
    return account_id, url


async def links_told(admin: httpx.AsyncClient, account_id: str) -> dict[str, str]:
    """Of each type of event that carries a link, the latest one's."""
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return {one["type"]: one["data"]["connect_url"] for one in reversed(events) if "connect_url" in one["data"]}


def uuid_of(account_id: str) -> UUID:
    return parse_id(IdKind.ACCOUNT, account_id)


async def test_a_revoked_account_comes_back_by_the_link_of_its_event_and_the_link_dies(
    admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer
) -> None:
    account_id, in_refusal = await revoked(admin, browser, server)
    told = await links_told(admin, account_id)
    assert list(told) == ["tokenkeep.account.disabled"]
    link = told["tokenkeep.account.disabled"]
    followed = await browser.look(link)
    assert followed.status_code == 303
    session_url = f"{PUBLIC_URL}{followed.headers['location']}"
    page = await browser.look(session_url)
    assert heading(page).startswith("Reconnect ")
    assert "Acme Books" in page.text
    assert heading(await browser.connect(session_url)) == "You are connected"
    account = data(await admin.get(f"/v1/accounts/{account_id}"))
    assert (account["state"], account["disabled"]) == ("active", None)
    data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
    for outdated in (link, in_refusal):
        page = await browser.look(outdated)
        assert (page.status_code, heading(page)) == (404, NOWHERE)
    audited = {(one["action"], one["actor"]) for one in data(await admin.get("/v1/audit"))}
    assert ("connect.session_create", "connect-link") in audited


async def test_wrong_outdated_and_foreign_keys_look_the_same(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer
) -> None:
    account_id, link = await revoked(admin, browser, server)
    other = await service.account(await a_source(admin, server))
    key = link.partition("?key=")[2]
    until, _, mac = key.partition(".")
    pages = [
        await browser.look(url)
        for url in (
            link.partition("?")[0],
            f"{link}x",
            link.replace(key, f"{int(until) + 1}.{mac}"),
            link.replace(account_id, other),
            link.replace(account_id, f"acc_{'0' * 32}"),
        )
    ]
    assert {page.status_code for page in pages} == {404}
    assert len({page.content for page in pages}) == 1
    assert heading(pages[0]) == NOWHERE
    assert await service.sql("SELECT id FROM connect_sessions WHERE account_id = :id", id=uuid_of(other)) == []


async def test_a_link_that_is_opened_often_makes_one_session(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer
) -> None:
    account_id, link = await revoked(admin, browser, server)
    answers = await asyncio.gather(*(browser.look(link) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    statement = "SELECT id FROM connect_sessions WHERE account_id = :id AND created_by = 'connect-link'"
    assert len(await service.sql(statement, id=uuid_of(account_id))) == 1
    await service.sql(
        "UPDATE connect_sessions SET expires_at = now() + interval '4 minutes' WHERE account_id = :id",
        id=uuid_of(account_id),
    )
    later = await browser.look(link)
    assert later.headers["location"] != answers[0].headers["location"]


async def test_what_an_operator_has_switched_off_its_user_can_not_switch_on(
    admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer
) -> None:
    account_id, link = await revoked(admin, browser, server)
    location = (await browser.look(link)).headers["location"]
    back = await browser.consent(await browser.begin(f"{PUBLIC_URL}{location}"))
    tokens = {"access_token": "a", "refresh_token": "r", "expires_in": 3600}
    data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=tokens))
    data(await admin.post(f"/v1/accounts/{account_id}/disable"))
    refused = problem(await admin.post(f"/v1/accounts/{account_id}/token"), 409, "account_disabled")
    assert "connect_url" not in refused
    page = await browser.look(back)
    assert (page.status_code, heading(page)) == (403, "This account was switched off")
    assert data(await admin.get(f"/v1/accounts/{account_id}"))["disabled"]["reason"] == "by_operator"
    assert (await browser.look(link)).status_code == 404


async def test_the_scheduler_makes_links_too(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer
) -> None:
    account_id = await service.account(
        await a_source(admin, server), refresh_token=None, expires_in=None, expires_at=PAST
    )
    await wire_scheduler(service.foundation).sweep()
    told = await links_told(admin, account_id)
    assert list(told) == ["tokenkeep.account.disabled"]
    assert (await browser.look(told["tokenkeep.account.disabled"])).status_code == 303


async def test_every_process_makes_links_under_the_same_key(
    api_database_url: str, redis_url: str, admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer
) -> None:
    _, link = await revoked(admin, browser, server)
    async with (
        open_service(api_database_url, redis_url, public_url=PUBLIC_URL) as another,
        open_browser(another.app) as elsewhere,
    ):
        assert (await elsewhere.look(link)).status_code == 303


TENANTED = """\
name: Tenanted
auth_type: oauth2
docs: [https://docs.example]
confidence: documented
authorization_url: "{url}/authorize?user={{tenant}}"
token_url: "{url}/token"
placeholders:
  tenant:
    title: Your tenant, such as acme
    pattern: "[a-z]{{3,8}}"
"""


@pytest.fixture
async def tenanted(
    api_database_url: str, redis_url: str, server: ProviderServer, tmp_path: Path
) -> AsyncIterator[tuple[Service, httpx.AsyncClient, str]]:
    """A provider that differs from tenant to tenant, with a source."""
    (tmp_path / "tenanted.yaml").write_text(TENANTED.format(url=server.url))
    body: dict[str, Any] = {
        "provider": "tenanted",
        "name": "Acme Books",
        "client_id": "demo-client",
        "client_secret": "demo-secret",
    }
    async with (
        open_service(api_database_url, redis_url, public_url=PUBLIC_URL, providers_dir=tmp_path) as service,
        service.client() as admin,
    ):
        yield service, admin, data(await admin.post("/v1/sources", json=body), 201)["id"]


async def test_what_the_provider_needs_to_know_is_asked_for_with_clear_words(
    tenanted: tuple[Service, httpx.AsyncClient, str],
) -> None:
    service, admin, source_id = tenanted
    session = data(await admin.post("/v1/connect/sessions", json={"source_id": source_id}), 201)
    async with open_browser(service.app) as browser:
        page = await browser.look(session["url"])
        assert heading(page) == "Connect Tenanted"
        assert '<label for="property-1">Your tenant, such as acme</label>' in page.text
        assert "your Tenanted account" in page.text
        for filled, words in (("", "Please fill this in."), ('A"><b>', "This does not look right.")):
            again = await browser.press(session["url"], tenant=filled)
            assert again.status_code == 422
            assert words in again.text
            assert 'aria-describedby="property-1-complaint"' in again.text
            assert "<b>" not in again.text
        address = await browser.begin(session["url"], tenant=" acme ")
        assert "user=acme" in address
        assert heading(await browser.look(await browser.consent(address))) == "You are connected"
    account_id = data(await admin.get(f"/v1/connect/sessions/{session['id']}"))["account_id"]
    assert data(await admin.get(f"/v1/accounts/{account_id}"))["properties"] == {"tenant": "acme"}


async def test_what_is_known_of_the_account_is_not_asked_again(
    tenanted: tuple[Service, httpx.AsyncClient, str],
) -> None:
    service, admin, source_id = tenanted
    body = {"source_id": source_id, "properties": {"tenant": "UPPER"}}
    problem(await admin.post("/v1/connect/sessions", json=body), 422, "invalid_input", "properties.tenant")
    pending = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)["id"]
    given = {"account_id": pending, "properties": {"tenant": "acme"}}
    session = data(await admin.post("/v1/connect/sessions", json=given), 201)
    async with open_browser(service.app) as browser:
        assert "<label" not in (await browser.look(session["url"])).text
        assert heading(await browser.connect(session["url"])) == "You are connected"
        account = data(await admin.get(f"/v1/accounts/{pending}"))
        assert (account["state"], account["properties"]) == ("active", {"tenant": "acme"})
        again = data(await admin.post("/v1/connect/sessions", json={"account_id": pending}), 201)
        assert "<label" not in (await browser.look(again["url"])).text


async def test_where_no_page_could_help_nobody_is_sent_to_one(service: Service, admin: httpx.AsyncClient) -> None:
    # The source knows a token endpoint, but not where users consent.
    addresses = {"token_url": "http://127.0.0.1:9/token"}
    source_id = await service.source(addresses["token_url"])
    account_id = await service.account(source_id, refresh_token=None, expires_in=None, expires_at=PAST)
    await wire_scheduler(service.foundation).sweep()
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    assert events[0]["type"] == "tokenkeep.account.disabled"
    assert await links_told(admin, account_id) == {}
    refused = await admin.post(f"/v1/accounts/{account_id}/token")
    assert "connect_url" not in problem(refused, 409, "reauthorization_required")
    addresses |= {"authorization_url": "http://127.0.0.1:9/authorize"}
    data(await admin.patch(f"/v1/sources/{source_id}", json={"options": addresses}))
    refused = await admin.post(f"/v1/accounts/{account_id}/token")
    assert "connect_url" in problem(refused, 409, "reauthorization_required")
