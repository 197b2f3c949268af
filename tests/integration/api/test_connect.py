"""Accounts connected by their end users, on pages of ours, at a real OAuth 2 server."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx
import pytest

from api_service import ADMIN_KEY, Service, data, open_service, problem
from connect_browser import PUBLIC_URL, ConnectBrowser, heading, open_browser
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer
from tokenkeep.adapters.demo_provider.faults import Fault
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep.domain.ids import IdKind, parse_id

RETURN_URL = "https://app.example/integrations?tab=apps"


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


@pytest.fixture
async def source_id(admin: httpx.AsyncClient, server: ProviderServer) -> str:
    return await a_source(admin, server)


async def a_source(admin: httpx.AsyncClient, server: ProviderServer, **options: Any) -> str:
    body = {
        "provider": "generic-oauth2",
        "name": "Acme <Books>",
        "client_id": "demo-client",
        "client_secret": "demo-secret",
        "scopes": ["profile", "email"],
        "options": {
            "authorization_url": f"{server.url}/authorize",
            "token_url": f"{server.url}/token",
            "refresh_rotates": "yes",
            **options,
        },
    }
    return str(data(await admin.post("/v1/sources", json=body), 201)["id"])


async def a_session(admin: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    session: dict[str, Any] = data(await admin.post("/v1/connect/sessions", json=body), 201)
    return session


async def shown(admin: httpx.AsyncClient, session: dict[str, Any], **query: str) -> dict[str, Any]:
    found: dict[str, Any] = data(await admin.get(f"/v1/connect/sessions/{session['id']}", params=query))
    return found


async def told_of(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return [event["type"].removeprefix("tokenkeep.account.") for event in reversed(events)]


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def uuid_of(session: dict[str, Any]) -> UUID:
    return parse_id(IdKind.SESSION, session["id"])


async def test_a_user_connects_an_account_and_is_sent_back_with_a_result_that_is_good_once(
    admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str
) -> None:
    session = await a_session(
        admin, source_id=source_id, external_id="user-1", metadata={"plan": "team"}, return_url=RETURN_URL
    )
    assert session["url"].startswith(f"{PUBLIC_URL}/connect/")
    assert (await shown(admin, session))["state"] == "open"
    landed = await browser.connect(session["url"], "alice")
    assert landed.status_code == 303
    assert landed.headers["location"].startswith("https://app.example/integrations?tab=apps&")
    answer = query_of(landed.headers["location"])
    assert (answer["status"], answer["session_id"]) == ("connected", session["id"])
    account = data(await admin.get(f"/v1/accounts/{answer['account_id']}"))
    assert (account["state"], account["custody"], account["source_id"]) == ("active", "held", source_id)
    assert (account["external_id"], account["external_id_verified"]) == ("user-1", False)
    assert (account["metadata"], sorted(account["scopes"])) == ({"plan": "team"}, ["email", "profile"])
    assert await told_of(admin, account["id"]) == ["created", "activated"]
    data(await admin.post(f"/v1/accounts/{account['id']}/token", json={"force": True}))

    before = await shown(admin, session)
    assert (before["state"], before["account_id"], before["result_verified"]) == ("connected", account["id"], False)
    path = f"/v1/connect/sessions/{session['id']}"
    problem(await admin.get(path, params={"result": "x" * 43}), 422, "invalid_input", "result")
    assert (await shown(admin, session, result=answer["result"]))["result_verified"] is True
    problem(await admin.get(path, params={"result": answer["result"]}), 409, "result_redeemed")
    [entry] = [one for one in data(await admin.get("/v1/audit")) if one["action"] == "account.create"]
    assert (entry["actor"], entry["target"], entry["address"]) == (session["id"], account["id"], "192.0.2.99")


async def test_the_page_says_who_wants_what_and_keeps_to_itself(
    admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id, return_url=RETURN_URL)
    page = await browser.look(session["url"])
    assert page.status_code == 200
    host = urlsplit(server.url).netloc
    assert heading(page) == f"Connect {host}"
    assert "Acme &lt;Books&gt;" in page.text
    assert "<Books>" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = page.headers["content-security-policy"]
    assert policy == (
        f"default-src 'none'; style-src 'self'; form-action 'self' https: {server.url}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    cookie = page.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie
    assert "<script" not in page.text
    assert " style=" not in page.text
    [stylesheet] = re.findall(r'href="(/connect/assets/[^"]+)"', page.text)
    style = await browser.look(f"{PUBLIC_URL}{stylesheet}")
    assert style.headers["content-type"].startswith("text/css")
    assert b"prefers-color-scheme: dark" in style.content


async def test_behind_https_the_cookie_is_secure_and_of_this_host_alone(
    api_database_url: str, redis_url: str, server: ProviderServer
) -> None:
    url = "https://tokens.example/keep"
    async with open_service(api_database_url, redis_url, public_url=url) as service, service.client() as admin:
        session = await a_session(admin, source_id=await a_source(admin, server))
        assert session["url"].startswith(f"{url}/connect/")
        page = await admin.get(session["url"].removeprefix(url))
        assert page.headers["set-cookie"].startswith("__Host-tokenkeep_connect_")
        assert "; Secure" in page.headers["set-cookie"]
        assert 'href="/keep/connect/assets/connect.css?' in page.text


async def test_what_is_sent_to_the_provider_is_what_the_protocol_wants(
    admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id, scopes=["profile"])
    address = await browser.begin(session["url"])
    assert address.startswith(f"{server.url}/authorize?")
    asked = query_of(address)
    assert asked.pop("code_challenge")
    assert len(asked.pop("state")) >= 43
    assert asked == {
        "response_type": "code",
        "client_id": "demo-client",
        "redirect_uri": f"{PUBLIC_URL}/connect/callback",
        "scope": "profile",
        "code_challenge_method": "S256",
    }
    plain = await a_session(admin, source_id=await a_source(admin, server, pkce="none"))
    assert "code_challenge" not in query_of(await browser.begin(plain["url"]))


async def test_an_account_is_reconnected_under_its_id(
    admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str
) -> None:
    first = await a_session(admin, source_id=source_id)
    assert heading(await browser.connect(first["url"])) == "You are connected"
    account_id = (await shown(admin, first))["account_id"]
    again = await a_session(admin, account_id=account_id)
    assert heading(await browser.look(again["url"])).startswith("Reconnect ")
    assert heading(await browser.connect(again["url"])) == "You are connected"
    assert (await shown(admin, again))["account_id"] == account_id
    assert await told_of(admin, account_id) == ["created", "activated", "reauthorized"]


async def test_an_answer_counts_once(admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str) -> None:
    session = await a_session(admin, source_id=source_id)
    back = await browser.consent(await browser.begin(session["url"]))
    answers = await asyncio.gather(*(browser.look(back) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400]
    assert heading(await browser.look(back)) == "This step is over"
    assert len(data(await admin.get("/v1/accounts"))) == 1
    done = await browser.look(session["url"])
    assert (done.status_code, heading(done)) == (410, "This is done")


async def test_another_browser_can_neither_end_it_nor_spoil_it(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id)
    back = await browser.consent(await browser.begin(session["url"]))
    async with open_browser(service.app) as stranger:
        await stranger.look(session["url"])  # has a cookie of its own for the very session
        refused = await stranger.look(back)
        assert (refused.status_code, heading(refused)) == (403, "Please use the browser you began in")
        assert "set-cookie" not in refused.headers
    assert data(await admin.get("/v1/accounts")) == []
    assert heading(await browser.look(back)) == "You are connected"


async def test_a_button_on_somebody_elses_page_starts_nothing(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id)
    for form in ({}, {"form": "0" * 64}):
        refused = await browser.http.post(session["url"], data=form)
        assert refused.status_code == 403
        assert "press it again" in refused.text
    rows = await service.sql("SELECT state_hash FROM connect_sessions WHERE id = :id", id=uuid_of(session))
    assert rows[0]["state_hash"] is None
    assert heading(await browser.connect(session["url"])) == "You are connected"


async def test_whoever_declines_may_try_again(
    admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id, return_url=RETURN_URL)
    page = await browser.look(await browser.consent(await browser.begin(session["url"]), decision="deny"))
    assert (page.status_code, heading(page)) == (403, "You declined")
    failed = await shown(admin, session)
    assert (failed["state"], failed["failure_code"], failed["account_id"]) == ("failed", "access_denied", None)
    links = re.findall(r'href="([^"]+)"', page.text)
    assert f"/connect/{session['url'].rpartition('/')[2]}" in links
    [back] = [link for link in links if link.startswith("https://app.example/")]
    assert "status=failed" in back
    assert "error=access_denied" in back
    assert (await browser.connect(session["url"])).status_code == 303
    assert (await shown(admin, session))["state"] == "connected"


@pytest.mark.parametrize(
    "told",
    [
        (
            Fault(status=400, body='{"error": "invalid_grant", "error_description": "canary"}'),
            502,
            "credentials_rejected",
        ),
        (Fault(status=401, body='{"error": "invalid_client"}'), 502, "credentials_rejected"),
        (Fault(status=503, body="canary"), 503, "provider_unavailable"),
    ],
)
async def test_a_provider_that_gives_no_token_is_told_of_in_plain_words(
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    server: ProviderServer,
    source_id: str,
    told: tuple[Fault, int, str],
) -> None:
    fault, status, code = told
    session = await a_session(admin, source_id=source_id)
    back = await browser.consent(await browser.begin(session["url"]))
    server.provider.inject(fault)
    page = await browser.look(back)
    assert page.status_code == status
    assert heading(page)
    assert "canary" not in page.text
    assert ">Try again<" in page.text
    assert (await shown(admin, session))["failure_code"] == code
    assert heading(await browser.connect(session["url"])) == "You are connected"


async def test_a_session_is_good_for_minutes(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id)
    back = await browser.consent(await browser.begin(session["url"]))
    await service.sql(
        "UPDATE connect_sessions SET expires_at = now() - interval '1 second' WHERE id = :id", id=uuid_of(session)
    )
    for url in (back, session["url"]):
        page = await browser.look(url)
        assert (page.status_code, heading(page)) == (410, "This link has run out of time")
    assert (await shown(admin, session))["state"] == "expired"
    assert data(await admin.get("/v1/accounts")) == []


def identified(server: ProviderServer) -> dict[str, str]:
    return {"userinfo_url": f"{server.url}/api/me", "external_id_path": "sub"}


async def test_an_account_is_not_given_to_somebody_else(
    service: Service, admin: httpx.AsyncClient, server: ProviderServer, browser: ConnectBrowser
) -> None:
    source_id = await a_source(admin, server, **identified(server), revocation_url=f"{server.url}/revoke")
    made = await browser.connect((await a_session(admin, source_id=source_id))["url"], "alice")
    assert heading(made) == "You are connected"
    [account] = data(await admin.get("/v1/accounts"))
    assert (account["external_id"], account["external_id_verified"]) == ("alice", True)
    assert account["verification"]["result"] == "confirmed"
    session = await a_session(admin, account_id=account["id"])
    page = await browser.connect(session["url"], "bob")
    assert (page.status_code, heading(page)) == (409, "That is another account")
    assert (await shown(admin, session))["failure_code"] == "identity_mismatch"
    assert data(await admin.get(f"/v1/accounts/{account['id']}")) == account
    assert heading(await browser.connect(session["url"], "alice")) == "You are connected"
    assert await told_of(admin, account["id"]) == ["created", "activated", "reauthorized"]
    waiting = await service.sql("SELECT external_id FROM revocation_requests WHERE external_id = 'bob'")
    assert len(waiting) == 1, "nobody holds what bob has granted"


async def test_a_new_account_is_the_one_that_is_expected_and_no_second_one(
    admin: httpx.AsyncClient, server: ProviderServer, browser: ConnectBrowser
) -> None:
    source_id = await a_source(admin, server, **identified(server))
    expecting = await a_session(admin, source_id=source_id, external_id="alice")
    page = await browser.connect(expecting["url"], "bob")
    assert (page.status_code, heading(page)) == (409, "That is another account")
    assert data(await admin.get("/v1/accounts")) == []
    assert heading(await browser.connect(expecting["url"], "alice")) == "You are connected"
    again = await a_session(admin, source_id=source_id)
    page = await browser.connect(again["url"], "alice")
    assert (page.status_code, heading(page)) == (409, "This account is connected already")
    assert (await shown(admin, again))["failure_code"] == "account_exists"
    assert len(data(await admin.get("/v1/accounts"))) == 1


async def test_a_provider_that_does_not_take_what_it_gave_connects_nothing(
    admin: httpx.AsyncClient, server: ProviderServer, browser: ConnectBrowser
) -> None:
    source_id = await a_source(admin, server, **identified(server))
    session = await a_session(admin, source_id=source_id)
    server.provider.inject(Fault(path="/api/me", status=401, body='{"error": "invalid_token"}'))
    page = await browser.connect(session["url"], "alice")
    assert page.status_code == 502
    assert (await shown(admin, session))["failure_code"] == "credentials_rejected"
    server.provider.inject(Fault(path="/api/me", status=503))
    assert heading(await browser.connect(session["url"], "alice")) == "You are connected"
    [account] = data(await admin.get("/v1/accounts"))
    assert (account["external_id_verified"], account["verification"]["code"]) == (False, "provider_5xx")


async def test_an_answer_of_another_issuer_is_not_used(
    admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer
) -> None:
    source_id = await a_source(admin, server, issuer=server.url)
    session = await a_session(admin, source_id=source_id)
    back = await browser.consent(await browser.begin(session["url"]))
    page = await browser.look(f"{back}&iss=https%3A%2F%2Fevil.example")
    assert page.status_code == 400
    assert (await shown(admin, session))["failure_code"] == "issuer_mismatch"
    assert server.provider.counters().token_requests == 0
    back = await browser.consent(await browser.begin(session["url"]))
    assert heading(await browser.look(f"{back}&iss={server.url}")) == "You are connected"


async def test_an_answer_without_an_issuer_is_not_used_where_the_server_always_names_it(
    admin: httpx.AsyncClient, browser: ConnectBrowser, server: ProviderServer
) -> None:
    always = {"authorization_response_iss_parameter_supported": True}
    source_id = await a_source(admin, server, issuer=server.url, **always)
    session = await a_session(admin, source_id=source_id)
    for decision in ("allow", "deny"):
        page = await browser.look(await browser.consent(await browser.begin(session["url"]), decision=decision))
        assert page.status_code == 400
        assert (await shown(admin, session))["failure_code"] == "issuer_mismatch"
    assert server.provider.counters().token_requests == 0
    back = await browser.consent(await browser.begin(session["url"]))
    assert heading(await browser.look(f"{back}&iss={server.url}")) == "You are connected"


@pytest.mark.parametrize("query", ["", "code=x", "state=a&state=b&code=x", "state=%00&code=x", "state=unknown&code=x"])
async def test_a_landing_that_makes_no_sense_is_a_page_too(browser: ConnectBrowser, query: str) -> None:
    page = await browser.look(f"{PUBLIC_URL}/connect/callback?{query}")
    assert page.status_code == 400
    assert heading(page)


async def test_whatever_is_wrong_under_connect_is_told_to_people(browser: ConnectBrowser) -> None:
    token = "x" * 43
    for method, path, status, body in (
        ("GET", f"/connect/{token}", 404, None),
        ("POST", f"/connect/{token}", 404, b"form=x"),
        ("GET", "/connect/short", 404, None),
        ("GET", "/connect/accounts/acc_1?key=x", 404, None),
        ("GET", "/connect/a/b/c", 404, None),
        ("DELETE", f"/connect/{token}", 405, None),
        ("POST", f"/connect/{token}", 413, b"x" * 1_100_000),
    ):
        headers = {"content-type": "application/x-www-form-urlencoded"} if body else {}
        page = await browser.http.request(method, f"{PUBLIC_URL}{path}", content=body, headers=headers)
        assert page.status_code == status, (method, path, page.text)
        assert heading(page)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
    page = await browser.http.post(f"{PUBLIC_URL}/connect/{token}", json={})
    assert page.status_code == 415
    assert heading(page)


async def test_nothing_secret_is_stored_in_the_clear_or_longer_than_it_is_needed(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id, return_url=RETURN_URL)
    address = await browser.begin(session["url"])
    secrets = [session["url"].rpartition("/")[2], query_of(address)["state"], *browser.http.cookies.values()]
    statement = "SELECT s.*, s::text AS whole FROM connect_sessions s WHERE id = :id"
    [row] = await service.sql(statement, id=uuid_of(session))
    assert row["ciphertext"] is not None
    assert not any(secret in row["whole"] for secret in secrets)
    landed = await browser.look(await browser.consent(address))
    result = query_of(landed.headers["location"])["result"]
    [row] = await service.sql(statement, id=uuid_of(session))
    for column in ("state_hash", "browser_hash", "key_id", "wrapped_key", "ciphertext"):
        assert row[column] is None
    assert result not in row["whole"]


async def test_old_sessions_are_swept_away(service: Service, admin: httpx.AsyncClient, source_id: str) -> None:
    old, new = [await a_session(admin, source_id=source_id) for _ in range(2)]
    await service.sql(
        "UPDATE connect_sessions SET expires_at = now() - interval '25 hours' WHERE id = :id", id=uuid_of(old)
    )
    await keep_house(service.foundation.database, audit_days=0)
    problem(await admin.get(f"/v1/connect/sessions/{old['id']}"), 404, "not_found")
    assert (await shown(admin, new))["state"] == "open"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source_id": None}, "source_id"),
        ({"source_id": "src_1"}, "source_id"),
        ({"return_url": "http://app.example/"}, "return_url"),
        ({"return_url": "javascript:alert(1)"}, "return_url"),
        ({"return_url": "//evil.example"}, "return_url"),
        ({"return_url": "https://user@evil.example/"}, "return_url"),
        ({"redirect": "https://app.example/"}, "redirect"),
        ({"scopes": ["a b"]}, "scopes.0"),
    ],
)
async def test_a_session_that_can_not_be_is_refused(
    admin: httpx.AsyncClient, source_id: str, change: dict[str, Any], field: str
) -> None:
    body = {"source_id": source_id, **change}
    answer = await admin.post("/v1/connect/sessions", json={k: v for k, v in body.items() if v is not None})
    assert answer.status_code == 422
    assert answer.json()["field"] == field


async def test_an_allowed_host_may_be_returned_to_without_https(
    api_database_url: str, redis_url: str, server: ProviderServer
) -> None:
    allowed = "127.0.0.1/32,localhost"
    async with (
        open_service(api_database_url, redis_url, allow_private_hosts=allowed) as service,
        service.client() as admin,
    ):
        source_id = await a_source(admin, server)
        await a_session(admin, source_id=source_id, return_url="http://localhost:3000/done")


async def test_what_does_not_fit_the_account_or_the_source_is_named(
    service: Service, admin: httpx.AsyncClient, source_id: str
) -> None:
    other = await service.source("https://93.184.215.14/token")
    account_id = await service.account(other)
    for body, field in (
        ({"source_id": other}, "source_id"),
        ({"source_id": source_id, "account_id": account_id}, "account_id"),
        ({"account_id": await service.account(source_id, "x"), "external_id": "e"}, "external_id"),
        ({"account_id": await service.account(source_id, "y"), "metadata": {}}, "metadata"),
    ):
        problem(await admin.post("/v1/connect/sessions", json=body), 422, "invalid_input", field)
    body = {"account_id": account_id.replace("0", "1")}
    problem(await admin.post("/v1/connect/sessions", json=body), 404, "not_found")


async def test_equal_requests_make_one_session(admin: httpx.AsyncClient, source_id: str) -> None:
    calls = [
        await admin.post("/v1/connect/sessions", json={"source_id": source_id}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert data(calls[0], 201) == data(calls[1], 201)
    assert calls[1].headers["idempotency-replayed"] == "true"


async def test_sessions_of_another_environment_do_not_exist(
    service: Service, admin: httpx.AsyncClient, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id)
    account_id = await service.account(source_id)
    async with service.client(ADMIN_KEY, **{"X-Tokenkeep-Environment": "elsewhere"}) as stranger:
        problem(await stranger.get(f"/v1/connect/sessions/{session['id']}"), 404, "not_found")
        for body in ({"source_id": source_id}, {"account_id": account_id}):
            problem(await stranger.post("/v1/connect/sessions", json=body), 404, "not_found")


async def test_a_deleted_account_takes_its_sessions_along(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str
) -> None:
    account_id = await service.account(source_id)
    session = await a_session(admin, account_id=account_id)
    back = await browser.consent(await browser.begin(session["url"]))
    assert (await admin.delete(f"/v1/accounts/{account_id}")).status_code == 204
    assert (await browser.look(back)).status_code == 400
    assert data(await admin.get("/v1/accounts")) == []
