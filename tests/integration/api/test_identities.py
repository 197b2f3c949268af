"""Whose an account is, when a source is changed, or its provider tells it no more, and somebody authorises it again."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import orjson
import pytest

from api_service import Service, data, open_service, problem
from connect_browser import PUBLIC_URL, ConnectBrowser, heading, open_browser
from raw_http import http
from token_server import TokenServer, says
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer
from tokenkeep.domain.ids import IdKind, parse_id
from whoami_server import WhoamiServer

RETURN_URL = "https://app.example/integrations"
REVOCATION_URL = "https://93.184.215.14/revoke"


@pytest.fixture
async def service(api_database_url: str, redis_url: str) -> AsyncIterator[Service]:
    async with open_service(api_database_url, redis_url, public_url=PUBLIC_URL) as opened:
        yield opened


@pytest.fixture
async def provider() -> AsyncIterator[ProviderServer]:
    options = ProviderOptions(token_lifetime_s=600, redirect_uris=(f"{PUBLIC_URL}/connect/callback",))
    async with ProviderServer(DemoProvider(options)) as started:
        yield started


@pytest.fixture
async def whoami() -> AsyncIterator[WhoamiServer]:
    async with WhoamiServer() as started:
        yield started


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[ConnectBrowser]:
    async with open_browser(service.app) as opened:
        yield opened


@pytest.fixture
def options(provider: ProviderServer, whoami: WhoamiServer) -> dict[str, Any]:
    """Those of a source whose users connect on pages."""
    return {
        "authorization_url": f"{provider.url}/authorize",
        "token_url": f"{provider.url}/token",
        "revocation_url": REVOCATION_URL,
        "userinfo_url": whoami.url,
        "external_id_path": "sub",
    }


def me(name: str) -> bytes:
    """The verifying request's answer."""
    told = {"sub": f"{name}-sub", "email": f"{name}@example.com"}
    return http(orjson.dumps(told), "content-type: application/json")


UNTOLD = http(
    b'{"error": "insufficient_scope"}',
    "content-type: application/json",
    'www-authenticate: Bearer error="insufficient_scope"',
    status="403 Forbidden",
)
TROUBLE = http(b"oops", status="503 Oops")


async def a_source(service: Service, admin: httpx.AsyncClient, options: dict[str, Any]) -> str:
    """To a provider, sources of one client are the same: this one is the test's own, but for its name at the provider."""
    body = {"provider": "generic-oauth2", "name": "Acme Books", "client_id": "demo-client", "options": options}
    source_id = str(data(await admin.post("/v1/sources", json={**body, "client_secret": "demo-secret"}), 201)["id"])
    await service.sql("DELETE FROM revocation_requests")
    return source_id


@pytest.fixture
async def source_id(service: Service, admin: httpx.AsyncClient, options: dict[str, Any]) -> str:
    return await a_source(service, admin, options)


async def connect(
    admin: httpx.AsyncClient, browser: ConnectBrowser, user: str, **session: str
) -> tuple[httpx.Response, dict[str, Any]]:
    """Where the browser lands, and the session then."""
    made = data(await admin.post("/v1/connect/sessions", json={**session, "return_url": RETURN_URL}), 201)
    landed = await browser.connect(made["url"], user)
    return landed, data(await admin.get(f"/v1/connect/sessions/{made['id']}"))


async def connected(admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str, user: str) -> dict[str, Any]:
    landed, _ = await connect(admin, browser, user, source_id=source_id)
    assert landed.status_code == 303, landed.text
    return await shown(admin, dict(parse_qsl(urlsplit(landed.headers["location"]).query))["account_id"])


async def shown(admin: httpx.AsyncClient, account_id: str) -> dict[str, Any]:
    account: dict[str, Any] = data(await admin.get(f"/v1/accounts/{account_id}"))
    return account


def identity(account: dict[str, Any]) -> tuple[str | None, bool]:
    return account["external_id"], account["external_id_verified"]


async def change(admin: httpx.AsyncClient, source_id: str, options: dict[str, Any], **changes: Any) -> None:
    data(await admin.patch(f"/v1/sources/{source_id}", json={"options": {**options, **changes}}))


async def claims(service: Service, account_id: str) -> list[str]:
    rows = await service.sql(
        "SELECT external_id FROM account_identities WHERE account_id = :id", id=parse_id(IdKind.ACCOUNT, account_id)
    )
    return [row["external_id"] for row in rows]


async def waiting(service: Service) -> list[Any]:
    return list(await service.sql("SELECT external_id FROM revocation_requests"))


async def test_who_is_known_by_another_id_since_is_neither_refused_nor_revoked(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, whoami: WhoamiServer
) -> None:
    options = {
        "token_url": server.url,
        "revocation_url": REVOCATION_URL,
        "userinfo_url": whoami.url,
        "external_id_path": "sub",
    }
    source_id = await a_source(service, admin, options)
    code = {"authorization_code": "c.1", "redirect_uri": "https://app.example/cb"}
    for name in ("first.1", "second.1", "third.1"):
        server.script.append(says(200, {"access_token": "at", "refresh_token": name, "expires_in": 600}))
    whoami.script.append(me("alice"))
    created = await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": code})
    account = data(created, 201)
    assert identity(account) == ("alice-sub", True)
    await change(admin, source_id, options, external_id_path="email")
    whoami.script.append(me("alice"))
    again = {**code, "authorization_code": "c.2"}
    account = data(await admin.put(f"/v1/accounts/{account['id']}/credentials", json=again))
    assert identity(account) == ("alice@example.com", True)
    assert await claims(service, account["id"]) == ["alice@example.com"]
    whoami.script.append(me("bob"))
    others = {**code, "authorization_code": "c.3"}
    refused = await admin.put(f"/v1/accounts/{account['id']}/credentials", json=others)
    problem(refused, 422, "external_id_mismatch", "external_id")
    assert [row["external_id"] for row in await waiting(service)] == ["bob@example.com"]


async def test_no_grant_is_revoked_while_an_account_has_an_id_of_another_kind(
    service: Service,
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    whoami: WhoamiServer,
    options: dict[str, Any],
) -> None:
    source_id = await a_source(service, admin, options)
    whoami.script.append(me("alice"))
    account = await connected(admin, browser, source_id, "alice")
    whoami.script.append(me("carol"))
    await connected(admin, browser, source_id, "carol")
    await change(admin, source_id, options, external_id_path="email")
    whoami.script.append(me("carol"))
    landed, session = await connect(admin, browser, "carol", account_id=account["id"])
    assert (landed.status_code, session["failure_code"]) == (409, "identity_mismatch")
    assert identity(await shown(admin, account["id"])) == ("alice-sub", True)
    assert await waiting(service) == [], "she lives by this grant at an account of her own"
    whoami.script.append(me("alice"))
    landed, _ = await connect(admin, browser, "alice", account_id=account["id"])
    assert landed.status_code == 303, "the answer holds the id of before, too"
    assert identity(await shown(admin, account["id"])) == ("alice@example.com", True)


async def test_an_accounts_own_credentials_tell_its_id_of_another_kind_and_nobody_elses_do(
    service: Service,
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    whoami: WhoamiServer,
    options: dict[str, Any],
) -> None:
    source_id = await a_source(service, admin, options)
    whoami.script.append(me("alice"))
    account = await connected(admin, browser, source_id, "alice")
    await change(admin, source_id, options, userinfo_url=f"{whoami.url}/v2")
    for user in ("bob", "alice"):
        whoami.script.append(me(user))
        landed, session = await connect(admin, browser, user, account_id=account["id"])
        assert (landed.status_code, heading(landed)) == (409, "We could not see whose account this is")
        assert session["failure_code"] == "identity_unknown"
    assert await shown(admin, account["id"]) == account
    whoami.script += [me("alice")] * 2
    seen = data(await admin.post(f"/v1/accounts/{account['id']}/verify"))
    assert (identity(seen), seen["verification"]["code"]) == (("alice-sub", True), None)
    landed, _ = await connect(admin, browser, "alice", account_id=account["id"])
    assert landed.status_code == 303
    assert await waiting(service) == []


async def test_what_was_verified_before_kinds_were_kept_is_compared_and_never_costs_a_grant(
    service: Service,
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    whoami: WhoamiServer,
    source_id: str,
) -> None:
    whoami.script.append(me("alice"))
    account = await connected(admin, browser, source_id, "alice")
    row = {"id": parse_id(IdKind.ACCOUNT, account["id"])}
    await service.sql("UPDATE accounts SET external_id_kind = NULL WHERE id = :id", **row)
    whoami.script.append(me("bob"))
    _, session = await connect(admin, browser, "bob", account_id=account["id"])
    assert session["failure_code"] == "identity_mismatch"
    assert await waiting(service) == []
    whoami.script.append(me("alice"))
    landed, _ = await connect(admin, browser, "alice", account_id=account["id"])
    assert landed.status_code == 303
    [found] = await service.sql("SELECT external_id_kind FROM accounts WHERE id = :id", **row)
    assert found["external_id_kind"] == f"{whoami.url} sub"


async def test_nobody_puts_a_grant_of_unknown_owner_into_somebodys_account(
    service: Service,
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    whoami: WhoamiServer,
    source_id: str,
) -> None:
    whoami.script.append(me("alice"))
    account = await connected(admin, browser, source_id, "alice")
    whoami.script.append(UNTOLD)
    session = data(await admin.post("/v1/connect/sessions", json={"account_id": account["id"]}), 201)
    page = await browser.connect(session["url"], "bob")
    assert (page.status_code, heading(page)) == (409, "We could not see whose account this is")
    assert "allow it to show your profile" in page.text
    assert ">Try again<" in page.text
    failed = data(await admin.get(f"/v1/connect/sessions/{session['id']}"))
    assert (failed["state"], failed["failure_code"]) == ("failed", "identity_unknown")
    assert await shown(admin, account["id"]) == account
    assert await waiting(service) == [], "it may be the owner's own grant"
    assert len(whoami.asked) == 2, "what does not pass is not asked twice"
    whoami.script.append(me("alice"))
    assert heading(await browser.connect(session["url"], "alice")) == "You are connected"


async def test_a_connect_link_does_not_bring_a_grant_of_unknown_owner_either(
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    provider: ProviderServer,
    whoami: WhoamiServer,
    source_id: str,
) -> None:
    whoami.script.append(me("alice"))
    account_id = (await connected(admin, browser, source_id, "alice"))["id"]
    grant = provider.provider.active_grant("alice")
    assert grant is not None
    provider.provider.revoke_grant(grant.id)
    refused = await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True, "wait": 10})
    link = problem(refused, 409, "reauthorization_required")["connect_url"]
    url = f"{PUBLIC_URL}{(await browser.look(link)).headers['location']}"
    whoami.script.append(UNTOLD)
    page = await browser.connect(url, "bob")
    assert (page.status_code, heading(page)) == (409, "We could not see whose account this is")
    assert (await shown(admin, account_id))["state"] == "disabled"


@pytest.mark.parametrize("said", [TROUBLE, http(b"", status="429 Slower"), b""], ids=["503", "429", "silence"])
async def test_a_failure_that_passes_is_given_a_second_try_and_no_third(
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    whoami: WhoamiServer,
    source_id: str,
    said: bytes,
) -> None:
    whoami.script.append(me("alice"))
    account_id = (await connected(admin, browser, source_id, "alice"))["id"]
    whoami.script += [said, me("alice")]
    landed, _ = await connect(admin, browser, "alice", account_id=account_id)
    assert landed.status_code == 303
    whoami.script += [said, said]
    landed, session = await connect(admin, browser, "alice", account_id=account_id)
    assert (landed.status_code, session["failure_code"]) == (409, "identity_unknown")
    assert len(whoami.asked) == 5


async def test_credentials_that_nobody_has_vouched_for_are_not_called_their_owners(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, whoami: WhoamiServer, source_id: str
) -> None:
    whoami.script.append(me("alice"))
    account_id = (await connected(admin, browser, source_id, "alice"))["id"]
    path = f"/v1/accounts/{account_id}/credentials"
    put = await admin.put(path, json={"access_token": "at", "refresh_token": "r.1"}, params={"verify": "false"})
    assert identity(data(put)) == ("alice-sub", False)
    assert await claims(service, account_id) == []
    whoami.script.append(me("bob"))
    _, session = await connect(admin, browser, "bob", account_id=account_id)
    assert session["failure_code"] == "identity_mismatch", "it is bound to its owner all the same"
    whoami.script.append(me("bob"))
    refused = await admin.put(path, json={"access_token": "at", "refresh_token": "r.2"})
    problem(refused, 422, "external_id_mismatch", "external_id")
    whoami.script.append(me("bob"))
    seen = data(await admin.post(f"/v1/accounts/{account_id}/verify"))
    assert (identity(seen), seen["verification"]["code"]) == (("alice-sub", False), "external_id_mismatch")
    whoami.script.append(me("alice"))
    seen = data(await admin.post(f"/v1/accounts/{account_id}/verify"))
    assert identity(seen) == ("alice-sub", True)
    assert await claims(service, account_id) == ["alice-sub"]
    assert await waiting(service) == []


async def test_an_unverified_id_costs_its_owner_no_account(
    admin: httpx.AsyncClient, browser: ConnectBrowser, whoami: WhoamiServer, source_id: str
) -> None:
    whoami.script.append(me("alice"))
    account_id = (await connected(admin, browser, source_id, "alice"))["id"]
    whoami.script.append(UNTOLD)
    put = await admin.put(f"/v1/accounts/{account_id}/credentials", json={"access_token": "at", "refresh_token": "r.1"})
    assert identity(data(put)) == ("alice-sub", False)
    whoami.script.append(me("alice"))
    other = await connected(admin, browser, source_id, "alice")
    assert (identity(other), other["id"] == account_id) == (("alice-sub", True), False)
    whoami.script.append(me("alice"))
    conflict = problem(await admin.post(f"/v1/accounts/{account_id}/verify"), 409, "account_exists")
    assert conflict["account_id"] == other["id"]
    assert identity(await shown(admin, account_id)) == ("alice-sub", False)


async def test_an_account_of_before_kinds_were_kept_stays_bound_too(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, whoami: WhoamiServer, source_id: str
) -> None:
    whoami.script.append(me("alice"))
    account_id = (await connected(admin, browser, source_id, "alice"))["id"]
    await service.sql(
        "UPDATE accounts SET external_id_kind = NULL WHERE id = :id", id=parse_id(IdKind.ACCOUNT, account_id)
    )
    path = f"/v1/accounts/{account_id}/credentials"
    put = await admin.put(path, json={"access_token": "at", "refresh_token": "r.1"}, params={"verify": "false"})
    assert identity(data(put)) == ("alice-sub", False)
    for user, failure in (("bob", "identity_mismatch"), ("alice", None)):
        whoami.script.append(me(user))
        _, session = await connect(admin, browser, user, account_id=account_id)
        assert session["failure_code"] == failure
    assert identity(await shown(admin, account_id)) == ("alice-sub", True)
