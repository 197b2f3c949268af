"""Accounts connected by end users who bring their credentials themselves: keys, passwords, tokens, machines' own clients."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from api_service import Service, data, open_service, problem
from connect_browser import PUBLIC_URL, ConnectBrowser, heading, open_browser
from machine_server import MachineServer
from raw_http import http
from tokenkeep.domain.ids import IdKind, parse_id
from whoami_server import WhoamiServer

RETURN_URL = "https://app.example/integrations"
PAST = "2020-01-01T00:00:00Z"
SHOP = """\
name: Shop X
auth_type: api_key
key_placement: "header x-api-key: {key}"
credentials_help: "Find it in Shop X, under Settings, API keys."
credentials:
  shop_id: {title: Shop id, secret: false, pattern: "[0-9]{1,6}", help: Six digits at most}
  note: {title: Note, secret: false, required: false}
placeholders:
  subdomain: {title: Subdomain, pattern: "[a-z]{2,10}", example: acme}
"""
VAULTED = """\
name: Vaulted
auth_type: custom
credentials:
  account: {title: Account, secret: false}
  private_key: {title: Private key, lines: true}
  passphrase: {title: Passphrase, required: false}
request_headers: {x-account: "{account}"}
"""


@pytest.fixture
async def service(api_database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "shop-x.yaml").write_text(SHOP)
    (tmp_path / "vaulted.yaml").write_text(VAULTED)
    async with open_service(api_database_url, redis_url, public_url=PUBLIC_URL, providers_dir=tmp_path) as opened:
        yield opened


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[ConnectBrowser]:
    async with open_browser(service.app) as opened:
        yield opened


@pytest.fixture
async def whoami() -> AsyncIterator[WhoamiServer]:
    async with WhoamiServer({"canary-alice": "alice", "canary-alice-2": "alice", "canary-bob": "bob"}) as started:
        yield started


@pytest.fixture
async def machines() -> AsyncIterator[MachineServer]:
    async with MachineServer() as started:
        yield started


async def a_source(admin: httpx.AsyncClient, provider: str, **options: Any) -> str:
    body = {"provider": provider, "name": "Acme <Books>", "options": options}
    return str(data(await admin.post("/v1/sources", json=body), 201)["id"])


@pytest.fixture
async def shop_id(admin: httpx.AsyncClient, whoami: WhoamiServer) -> str:
    """A source whose keys are verified."""
    return await a_source(admin, "shop-x", userinfo_url=whoami.url, external_id_path="sub")


@pytest.fixture
async def keys_id(admin: httpx.AsyncClient, whoami: WhoamiServer) -> str:
    """A source that asks for nothing but a key."""
    placement = "header x-api-key: {key}"
    return await a_source(
        admin, "generic-api-key", key_placement=placement, userinfo_url=whoami.url, external_id_path="sub"
    )


async def a_session(admin: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    session: dict[str, Any] = data(await admin.post("/v1/connect/sessions", json=body), 201)
    return session


async def shown(admin: httpx.AsyncClient, session: dict[str, Any], **query: str) -> dict[str, Any]:
    found: dict[str, Any] = data(await admin.get(f"/v1/connect/sessions/{session['id']}", params=query))
    return found


async def told_of(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return [event["type"].removeprefix("tokenkeep.account.") for event in reversed(events)]


async def credentials_of(admin: httpx.AsyncClient, account_id: str) -> dict[str, str]:
    account = data(await admin.get(f"/v1/accounts/{account_id}", params={"include_credentials": "1"}))
    found: dict[str, str] = account["credentials"]
    return found


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def uuid_of(thing: dict[str, Any]) -> Any:
    return parse_id(IdKind.SESSION, thing["id"])


def field(page: httpx.Response, name: str) -> str:
    """The element of a field."""
    found = re.search(rf'<(?:input|textarea)[^>]* name="{re.escape(name)}"[^>]*>', page.text)
    assert found is not None, page.text
    return found[0]


def notice(page: httpx.Response) -> str:
    found = re.search(r'<p class="notice" role="alert">(.*?)</p>', page.text)
    assert found is not None, page.text
    return unescape(found[1])


async def test_a_user_brings_a_key_and_is_sent_back_with_a_result_that_is_good_once(
    admin: httpx.AsyncClient, browser: ConnectBrowser, shop_id: str, whoami: WhoamiServer
) -> None:
    session = await a_session(admin, source_id=shop_id, metadata={"plan": "team"}, return_url=RETURN_URL)
    sent = await browser.fill_in(
        session["url"],
        properties__subdomain=" acme ",
        credentials__api_key=" canary-alice\r\n",
        credentials__shop_id="4711",
        credentials__note="",
    )
    assert sent.status_code == 303, sent.text
    answer = query_of(sent.headers["location"])
    assert sent.headers["location"].startswith(f"{RETURN_URL}?")
    assert (answer["status"], answer["session_id"]) == ("connected", session["id"])
    assert whoami.asked == ["canary-alice"]
    account = data(await admin.get(f"/v1/accounts/{answer['account_id']}"))
    assert (account["state"], account["authenticated"], account["source_id"]) == ("active", True, shop_id)
    assert (account["external_id"], account["external_id_verified"]) == ("alice", True)
    assert (account["metadata"], account["properties"]) == ({"plan": "team"}, {"subdomain": "acme"})
    assert await credentials_of(admin, account["id"]) == {"api_key": "canary-alice", "shop_id": "4711"}
    assert await told_of(admin, account["id"]) == ["created", "activated"]
    path = f"/v1/connect/sessions/{session['id']}"
    assert (await shown(admin, session))["state"] == "connected"
    assert data(await admin.get(path, params={"result": answer["result"]}))["result_verified"] is True
    problem(await admin.get(path, params={"result": answer["result"]}), 409, "result_redeemed")
    [entry] = [one for one in data(await admin.get("/v1/audit")) if one["action"] == "account.create"]
    assert (entry["actor"], entry["target"], entry["address"]) == (session["id"], account["id"], "192.0.2.99")


async def test_the_form_asks_what_the_provider_wants_and_says_where_it_is_found(
    admin: httpx.AsyncClient, browser: ConnectBrowser, shop_id: str
) -> None:
    page = await browser.look((await a_session(admin, source_id=shop_id))["url"])
    assert (page.status_code, heading(page)) == (200, "Connect Shop X")
    assert "Acme &lt;Books&gt;" in page.text
    assert "Find it in Shop X, under Settings, API keys." in page.text
    assert re.findall(r"<label[^>]*>(.*?)</label>", page.text) == ["Subdomain", "API key", "Shop id", "Note"]
    key, shop = field(page, "credentials.api_key"), field(page, "credentials.shop_id")
    assert 'type="password"' in key
    assert 'type="text"' in shop
    for one in (key, shop):
        assert " required" in one
        assert 'autocomplete="off"' in one
    assert " required" not in field(page, "credentials.note")
    [described] = re.findall(r'aria-describedby="([^"]+)"', shop)
    assert f'id="{described}">Six digits at most<' in page.text
    assert "For example acme" in page.text
    assert page.text.index("<summary>") < page.text.index('name="credentials.note"')
    assert "<script" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "form-action 'self' https:;" in page.headers["content-security-policy"]


async def test_what_is_not_filled_in_well_is_marked_and_nobody_is_asked(
    admin: httpx.AsyncClient, browser: ConnectBrowser, shop_id: str, whoami: WhoamiServer
) -> None:
    session = await a_session(admin, source_id=shop_id)
    page = await browser.fill_in(
        session["url"],
        properties__subdomain='A"><b>',
        credentials__api_key="canary-alice",
        credentials__shop_id="",
        credentials__note="mine",
    )
    assert page.status_code == 422
    assert notice(page) == "Please look at what is marked below. What is secret has to be entered once more."
    assert "This does not look right." in page.text
    assert "Please fill this in." in page.text
    assert page.text.count('aria-invalid="true"') == 2
    assert "<b>" not in page.text
    assert "canary" not in page.text
    assert 'value="mine"' in field(page, "credentials.note")
    assert "<details open>" in page.text
    assert (whoami.asked, data(await admin.get("/v1/accounts"))) == ([], [])
    assert (await shown(admin, session))["state"] == "open"


async def test_a_key_that_the_provider_does_not_accept_can_be_corrected(
    admin: httpx.AsyncClient, browser: ConnectBrowser, shop_id: str, capfd: pytest.CaptureFixture[str]
) -> None:
    session = await a_session(admin, source_id=shop_id)
    given = {"properties__subdomain": "acme", "credentials__shop_id": "4711"}
    page = await browser.fill_in(session["url"], credentials__api_key="canary-nobody", **given)
    assert page.status_code == 422
    assert notice(page) == "Shop X does not accept this key. Please check it, and enter it again."
    assert 'value="4711"' in field(page, "credentials.shop_id")
    assert 'value="acme"' in field(page, "properties.subdomain")
    assert "canary" not in page.text
    failed = await shown(admin, session)
    assert (failed["state"], failed["failure_code"], failed["account_id"]) == ("failed", "credentials_rejected", None)
    assert data(await admin.get("/v1/accounts")) == []
    assert heading(await browser.fill_in(session["url"], credentials__api_key="canary-alice", **given)) == (
        "You are connected"
    )
    connected = await shown(admin, session)
    assert (connected["state"], connected["failure_code"]) == ("connected", None)
    assert "canary" not in "".join(capfd.readouterr())


async def test_a_provider_that_can_not_be_had_is_no_obstacle(
    admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str, whoami: WhoamiServer
) -> None:
    whoami.script.append(http(b"oops", status="503 Oops"))
    session = await a_session(admin, source_id=keys_id, external_id="user-1")
    assert heading(await browser.fill_in(session["url"], credentials__api_key="canary-new")) == "You are connected"
    [account] = data(await admin.get("/v1/accounts"))
    assert (account["state"], account["external_id"], account["external_id_verified"]) == ("active", "user-1", False)
    assert account["verification"]["code"] == "provider_5xx"


async def test_an_account_is_reconnected_in_place_by_its_owner_alone(
    admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str
) -> None:
    first = await a_session(admin, source_id=keys_id)
    assert heading(await browser.look(first["url"])) == "Connect your account"
    await browser.fill_in(first["url"], credentials__api_key="canary-alice")
    account_id = (await shown(admin, first))["account_id"]
    again = await a_session(admin, account_id=account_id)
    assert heading(await browser.look(again["url"])) == "Reconnect your account"
    page = await browser.fill_in(again["url"], credentials__api_key="canary-bob")
    assert page.status_code == 409
    assert notice(page) == (
        "That belongs to another account than the one that Acme <Books> expects. Please use that one."
    )
    assert (await shown(admin, again))["failure_code"] == "identity_mismatch"
    assert await credentials_of(admin, account_id) == {"api_key": "canary-alice"}
    assert heading(await browser.fill_in(again["url"], credentials__api_key="canary-alice-2")) == "You are connected"
    assert (await shown(admin, again))["account_id"] == account_id
    assert await credentials_of(admin, account_id) == {"api_key": "canary-alice-2"}
    assert await told_of(admin, account_id) == ["created", "activated", "reauthorized"]


async def test_a_key_of_unknown_owner_does_not_come_into_somebodys_account(
    admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str, whoami: WhoamiServer
) -> None:
    first = await a_session(admin, source_id=keys_id)
    await browser.fill_in(first["url"], credentials__api_key="canary-alice")
    account_id = (await shown(admin, first))["account_id"]
    again = await a_session(admin, account_id=account_id)
    whoami.script += [http(b"oops", status="503 Oops")] * 2
    page = await browser.fill_in(again["url"], credentials__api_key="canary-bob")
    assert page.status_code == 409
    assert "did not tell us whose account that belongs to" in notice(page)
    assert (await shown(admin, again))["failure_code"] == "identity_unknown"
    assert await credentials_of(admin, account_id) == {"api_key": "canary-alice"}
    assert heading(await browser.fill_in(again["url"], credentials__api_key="canary-alice-2")) == "You are connected"


async def test_a_new_account_is_the_one_that_is_expected_and_no_second_one(
    admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str
) -> None:
    expecting = await a_session(admin, source_id=keys_id, external_id="alice")
    assert (await browser.fill_in(expecting["url"], credentials__api_key="canary-bob")).status_code == 409
    assert heading(await browser.fill_in(expecting["url"], credentials__api_key="canary-alice")) == "You are connected"
    again = await a_session(admin, source_id=keys_id, return_url=RETURN_URL)
    page = await browser.fill_in(again["url"], credentials__api_key="canary-alice-2")
    assert (page.status_code, heading(page)) == (409, "This account is connected already")
    assert "error=account_exists" in page.text
    assert (await shown(admin, again))["failure_code"] == "account_exists"
    assert len(data(await admin.get("/v1/accounts"))) == 1


async def test_a_pending_account_is_activated_with_what_it_lacks(
    admin: httpx.AsyncClient, browser: ConnectBrowser, shop_id: str
) -> None:
    body = {"source_id": shop_id, "properties": {"subdomain": "acme"}}
    pending = data(await admin.post("/v1/accounts", json=body), 201)["id"]
    session = await a_session(admin, account_id=pending)
    page = await browser.look(session["url"])
    assert "properties.subdomain" not in page.text, "it is known"
    done = await browser.fill_in(session["url"], credentials__api_key="canary-alice", credentials__shop_id="1")
    assert heading(done) == "You are connected"
    assert data(await admin.get(f"/v1/accounts/{pending}"))["state"] == "active"
    assert await told_of(admin, pending) == ["created", "activated"]


async def test_a_form_that_is_sent_twice_connects_once_and_both_are_sent_back(
    admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str, whoami: WhoamiServer
) -> None:
    whoami.people = {}
    whoami.people["canary-alice"] = None  # it has no id, so that nothing but the session keeps a second account away
    session = await a_session(admin, source_id=keys_id, return_url=RETURN_URL)
    form = {"form": await browser.form_key(session["url"]), "credentials.api_key": "canary-alice"}
    whoami.gate = asyncio.Event()
    sending = [asyncio.create_task(browser.http.post(session["url"], data=form)) for _ in range(3)]
    while len(whoami.asked) < 3:
        await whoami.arrived.wait()
        whoami.arrived.clear()
    whoami.gate.set()
    answers = await asyncio.gather(*sending)
    assert [answer.status_code for answer in answers] == [303, 303, 303]
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(data(await admin.get("/v1/accounts"))) == 1
    late = await browser.http.post(session["url"], data=form)
    assert late.headers["location"] == answers[0].headers["location"]
    result = query_of(late.headers["location"])["result"]
    assert (await shown(admin, session, result=result))["result_verified"] is True
    page = await browser.http.post(session["url"], data=form)
    assert (page.status_code, heading(page)) == (410, "This is done")


async def test_a_form_that_leads_nowhere_back_says_that_it_is_done(
    admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str
) -> None:
    session = await a_session(admin, source_id=keys_id)
    form = {"form": await browser.form_key(session["url"]), "credentials.api_key": "canary-alice"}
    pages = [await browser.http.post(session["url"], data=form) for _ in range(2)]
    assert [heading(page) for page in pages] == ["You are connected", "This is done"]


async def test_another_browser_is_not_told_the_result(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str
) -> None:
    session = await a_session(admin, source_id=keys_id, return_url=RETURN_URL)
    async with open_browser(service.app) as stranger:
        form = {"form": await stranger.form_key(session["url"]), "credentials.api_key": "canary-bob"}
        assert (await browser.fill_in(session["url"], credentials__api_key="canary-alice")).status_code == 303
        page = await stranger.http.post(session["url"], data=form)
    assert (page.status_code, heading(page)) == (410, "This is done")


async def test_a_form_on_somebody_elses_page_brings_nothing_and_loses_nothing_but_secrets(
    admin: httpx.AsyncClient, browser: ConnectBrowser, shop_id: str, whoami: WhoamiServer
) -> None:
    session = await a_session(admin, source_id=shop_id)
    given = {"properties.subdomain": "acme", "credentials.api_key": "canary-alice", "credentials.shop_id": "4711"}
    for form in (given, {**given, "form": "0" * 64}):
        page = await browser.http.post(session["url"], data=form)
        assert page.status_code == 403
        assert "press it again" in notice(page)
        assert 'value="4711"' in field(page, "credentials.shop_id")
        assert "canary" not in page.text
    assert (whoami.asked, data(await admin.get("/v1/accounts"))) == ([], [])


async def test_keys_can_not_be_tried_without_end(
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    keys_id: str,
    whoami: WhoamiServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokenkeep_api.routes.credential_pages.monotonic", lambda: 4711.0)
    session = await a_session(admin, source_id=keys_id)
    pages = []
    for n in range(11):
        browser.http.cookies.clear()
        pages.append(await browser.fill_in(session["url"], credentials__api_key=f"guess-{n}"))
    assert [page.status_code for page in pages] == [422] * 10 + [429]
    assert heading(pages[-1]) == "Just a moment"
    assert int(pages[-1].headers["retry-after"]) >= 1
    assert len(whoami.asked) == 10


async def test_too_many_fields_are_no_form(admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str) -> None:
    session = await a_session(admin, source_id=keys_id)
    form = {"form": await browser.form_key(session["url"]), **{f"x{n}": "y" for n in range(200)}}
    assert (await browser.http.post(session["url"], data=form)).status_code == 403
    long = {"form": form["form"], "credentials.api_key": "k" * 40_000}
    page = await browser.http.post(session["url"], data=long)
    assert page.status_code == 422
    assert "This does not look right." in page.text


async def test_who_has_the_form_open_has_the_time_to_find_the_key(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str
) -> None:
    session = await a_session(admin, source_id=keys_id)
    soon = "UPDATE connect_sessions SET expires_at = now() + interval '1 minute' WHERE id = :id"
    await service.sql(soon, id=uuid_of(session))
    before = (await shown(admin, session))["expires_at"]
    await browser.look(session["url"])
    assert (await shown(admin, session))["expires_at"] > before
    old = "UPDATE connect_sessions SET created_at = now() - interval '30 minutes', expires_at = now() WHERE id = :id"
    await service.sql(old, id=uuid_of(session))
    page = await browser.look(session["url"])
    assert (page.status_code, heading(page)) == (410, "This link has run out of time")


async def test_no_secret_is_in_the_session_the_log_or_the_audit_trail(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, shop_id: str, capfd: pytest.CaptureFixture[str]
) -> None:
    session = await a_session(admin, source_id=shop_id, return_url=RETURN_URL)
    given = {"properties__subdomain": "acme", "credentials__shop_id": "4711"}
    await browser.fill_in(session["url"], credentials__api_key="canary-nobody", **given)
    sent = await browser.fill_in(session["url"], credentials__api_key="canary-alice", **given)
    result = query_of(sent.headers["location"])["result"]
    secrets = ["canary", result, session["url"].rpartition("/")[2], *browser.http.cookies.values()]
    rows = await service.sql("SELECT s::text AS whole FROM connect_sessions s WHERE id = :id", id=uuid_of(session))
    rows += await service.sql("SELECT a::text AS whole FROM audit_log a")
    said = "".join(row["whole"] for row in rows) + "".join(capfd.readouterr())
    assert not any(secret in said for secret in secrets)
    assert "canary" not in sent.headers["location"]


async def test_a_user_name_and_a_password_are_kept_as_they_are(
    admin: httpx.AsyncClient, browser: ConnectBrowser, whoami: WhoamiServer
) -> None:
    pair = b64encode(b"Aladdin: open sesame ").decode()
    whoami.people[pair] = "aladdin"
    source_id = await a_source(admin, "generic-basic", userinfo_url=whoami.url, external_id_path="sub")
    session = await a_session(admin, source_id=source_id)
    page = await browser.look(session["url"])
    assert 'type="text"' in field(page, "credentials.username")
    assert 'type="password"' in field(page, "credentials.password")
    assert " required" not in field(page, "credentials.password"), "some give one of the two"
    page = await browser.fill_in(session["url"], credentials__username="Aladdin", credentials__password="canary")
    assert notice(page).startswith("The provider does not accept this combination.")
    page = await browser.fill_in(session["url"], credentials__username="", credentials__password="")
    assert page.status_code == 422
    assert 'aria-invalid="true"' in field(page, "credentials.username")
    page = await browser.fill_in(session["url"], credentials__username="a:b", credentials__password="x")
    assert 'aria-invalid="true"' in field(page, "credentials.username")
    done = await browser.fill_in(
        session["url"], credentials__username=" Aladdin ", credentials__password=" open sesame "
    )
    assert heading(done) == "You are connected"
    [account] = data(await admin.get("/v1/accounts"))
    assert await credentials_of(admin, account["id"]) == {"username": "Aladdin", "password": " open sesame "}


async def test_a_key_in_a_user_names_place_is_a_secret(
    admin: httpx.AsyncClient, browser: ConnectBrowser, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, "freshdesk", userinfo_url=whoami.url)
    session = await a_session(admin, source_id=source_id, properties={"subdomain": "acme"})
    assert 'type="password"' in field(await browser.look(session["url"]), "credentials.username")
    page = await browser.fill_in(session["url"], credentials__username="canary-key")
    assert page.status_code == 422
    assert "canary" not in page.text


async def test_a_token_made_by_hand_is_connected(
    admin: httpx.AsyncClient, browser: ConnectBrowser, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, "generic-bearer", userinfo_url=whoami.url, access_token_ttl_s=3600)
    session = await a_session(admin, source_id=source_id)
    page = await browser.fill_in(session["url"], credentials__access_token="not a token")
    assert 'aria-invalid="true"' in field(page, "credentials.access_token")
    assert heading(await browser.fill_in(session["url"], credentials__access_token="canary-alice")) == (
        "You are connected"
    )
    [account] = data(await admin.get("/v1/accounts"))
    assert account["expires_at"] is not None


async def test_a_key_of_several_lines_survives_the_form(admin: httpx.AsyncClient, browser: ConnectBrowser) -> None:
    session = await a_session(admin, source_id=await a_source(admin, "vaulted"))
    page = await browser.look(session["url"])
    assert field(page, "credentials.private_key").startswith("<textarea")
    key = "-----BEGIN KEY-----\r\ncanary\r\n-----END KEY-----\r\n"
    page = await browser.fill_in(session["url"], credentials__account="ä", credentials__private_key=key)
    assert page.status_code == 422, "it goes into a header, which is seen once the request is made"
    assert 'aria-invalid="true"' in field(page, "credentials.account")
    assert "canary" not in page.text
    done = await browser.fill_in(session["url"], credentials__account="a", credentials__private_key=key)
    assert heading(done) == "You are connected"
    [account] = data(await admin.get("/v1/accounts"))
    assert await credentials_of(admin, account["id"]) == {
        "account": "a",
        "private_key": "-----BEGIN KEY-----\ncanary\n-----END KEY-----",
    }


async def test_a_machine_brings_a_client_of_its_own(
    admin: httpx.AsyncClient, browser: ConnectBrowser, machines: MachineServer
) -> None:
    options = {"token_url": machines.url, "token_endpoint_auth_method": "client_secret_post"}
    source_id = await a_source(admin, "generic-client-credentials", **options)
    session = await a_session(admin, source_id=source_id)
    page = await browser.look(session["url"])
    assert " required" in field(page, "credentials.client_secret")
    machines.refused["wrong"] = "invalid_client"
    given = {"credentials__client_id": "theirs", "credentials__client_secret": "wrong"}
    page = await browser.fill_in(session["url"], **given)
    assert page.status_code == 422
    assert notice(page).startswith("The provider does not accept what you entered.")
    machines.script.append((503, {}))
    page = await browser.fill_in(session["url"], credentials__client_id="theirs", credentials__client_secret="canary")
    assert (page.status_code, notice(page)[:30]) == (503, "The provider can't be reached,")
    assert (await shown(admin, session))["failure_code"] == "provider_unavailable"
    done = await browser.fill_in(session["url"], credentials__client_id="theirs", credentials__client_secret="canary")
    assert heading(done) == "You are connected"
    [account] = data(await admin.get("/v1/accounts"))
    assert (account["state"], account["custody"]) == ("active", "held")


async def test_what_a_page_can_not_ask_for_is_refused_with_its_reason(admin: httpx.AsyncClient, shop_id: str) -> None:
    with_client = {"provider": "generic-client-credentials", "name": "x", "client_id": "c", "client_secret": "s"}
    with_client["options"] = {"token_url": "https://93.184.215.14/token"}  # type: ignore[assignment]
    ours = data(await admin.post("/v1/sources", json=with_client), 201)["id"]
    bare = await a_source(admin, "generic-custom")
    for body, name, says in (
        ({"source_id": ours}, "source_id", "with the source's own client"),
        ({"source_id": bare}, "source_id", "names no credentials"),
        ({"source_id": shop_id, "scopes": ["a"]}, "scopes", "can't be asked for"),
        ({"source_id": shop_id, "properties": {"subdomain": "UPPER"}}, "properties.subdomain", "matches"),
    ):
        refused = problem(await admin.post("/v1/connect/sessions", json=body), 422, "invalid_input", name)
        assert says in refused["detail"]


async def test_a_source_that_has_its_own_client_meanwhile_has_no_form_any_more(
    admin: httpx.AsyncClient, browser: ConnectBrowser, machines: MachineServer
) -> None:
    source_id = await a_source(admin, "generic-client-credentials", token_url=machines.url)
    session = await a_session(admin, source_id=source_id)
    change = {"client_id": "ours", "client_secret": "s"}
    data(await admin.patch(f"/v1/sources/{source_id}", json=change))
    assert (await browser.look(session["url"])).status_code == 404


async def test_an_events_link_leads_to_the_form(
    admin: httpx.AsyncClient, browser: ConnectBrowser, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, "generic-bearer", userinfo_url=whoami.url, external_id_path="sub")
    body = {"source_id": source_id, "credentials": {"access_token": "canary-alice"}}
    account_id = data(await admin.post("/v1/accounts", json=body), 201)["id"]
    del whoami.people["canary-alice"]
    assert data(await admin.post(f"/v1/accounts/{account_id}/verify"))["health"] == "failing"
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    [link] = [event["data"]["connect_url"] for event in events if "connect_url" in event["data"]]
    followed = await browser.look(link)
    assert followed.status_code == 303
    url = f"{PUBLIC_URL}{followed.headers['location']}"
    assert heading(await browser.fill_in(url, credentials__access_token="canary-alice-2")) == "You are connected"
    account = data(await admin.get(f"/v1/accounts/{account_id}"))
    assert (account["state"], account["health"]) == ("active", "healthy")
    assert (await browser.look(link)).status_code == 404, "it was for the former grant"


async def test_what_an_operator_has_switched_off_no_link_switches_on(
    admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str, service: Service
) -> None:
    body = {"source_id": keys_id, "credentials": {"api_key": "canary-alice"}}
    account_id = data(await admin.post("/v1/accounts", json=body), 201)["id"]
    link = await service.wired.connecting.link_account(parse_id(IdKind.ACCOUNT, account_id), service.environment)  # type: ignore[arg-type]
    assert link is not None
    url = f"{PUBLIC_URL}{(await browser.look(link)).headers['location']}"
    data(await admin.post(f"/v1/accounts/{account_id}/disable"))
    page = await browser.fill_in(url, credentials__api_key="canary-alice-2")
    assert (page.status_code, heading(page)) == (403, "This account was switched off")
    assert data(await admin.get(f"/v1/accounts/{account_id}"))["disabled"]["reason"] == "by_operator"
    session = await a_session(admin, account_id=account_id)
    assert heading(await browser.fill_in(session["url"], credentials__api_key="canary-alice-2")) == "You are connected"
    assert data(await admin.get(f"/v1/accounts/{account_id}"))["state"] == "active"


async def test_a_deleted_account_takes_its_form_along(
    admin: httpx.AsyncClient, browser: ConnectBrowser, keys_id: str
) -> None:
    body = {"source_id": keys_id, "credentials": {"api_key": "canary-alice"}}
    account_id = data(await admin.post("/v1/accounts", json=body), 201)["id"]
    session = await a_session(admin, account_id=account_id)
    form = {"form": await browser.form_key(session["url"]), "credentials.api_key": "canary-alice-2"}
    assert (await admin.delete(f"/v1/accounts/{account_id}")).status_code == 204
    assert (await browser.http.post(session["url"], data=form)).status_code == 404
    assert data(await admin.get("/v1/accounts")) == []
