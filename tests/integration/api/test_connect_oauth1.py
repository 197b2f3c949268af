"""Accounts connected by their end users at a real OAuth 1.0a server (RFC 5849, section 2)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.responses import Response

from api_service import Service, data, open_service, problem
from connect_browser import PUBLIC_URL, ConnectBrowser, heading, open_browser
from oauth1_server import CONSUMER, CONSUMER_SECRET, METHODS, OAuth1Server, Store, open_oauth1_server
from source_clients import pem, rsa_key
from tokenkeep.domain.ids import AccountId, IdKind, parse_id

RSA = rsa_key()
RSA_PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
RETURN_URL = "https://app.example/integrations"
CALLBACK = f"{PUBLIC_URL}/connect/callback"


@pytest.fixture
async def service(api_database_url: str, redis_url: str) -> AsyncIterator[Service]:
    async with open_service(api_database_url, redis_url, public_url=PUBLIC_URL) as opened:
        yield opened


@pytest.fixture
async def provider() -> AsyncIterator[OAuth1Server]:
    async with open_oauth1_server(Store(rsa_public_key=RSA_PUBLIC)) as started:
        yield started


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[ConnectBrowser]:
    async with open_browser(service.app) as opened:
        yield opened


@pytest.fixture
async def source_id(admin: httpx.AsyncClient, provider: OAuth1Server) -> str:
    return await a_source(admin, provider.options())


async def a_source(admin: httpx.AsyncClient, options: dict[str, str], secret: str = CONSUMER_SECRET) -> str:
    body = {
        "provider": "generic-oauth1",
        "name": "Acme",
        "client_id": CONSUMER,
        "client_secret": secret,
        "scopes": ["read", "write"],
        "options": options,
    }
    return str(data(await admin.post("/v1/sources", json=body), 201)["id"])


def identified(provider: OAuth1Server) -> dict[str, str]:
    return provider.options(userinfo_url=f"{provider.url}/me", external_id_path="sub")


async def a_session(admin: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    session: dict[str, Any] = data(await admin.post("/v1/connect/sessions", json=body), 201)
    return session


async def shown(admin: httpx.AsyncClient, session: dict[str, Any], **query: str) -> dict[str, Any]:
    found: dict[str, Any] = data(await admin.get(f"/v1/connect/sessions/{session['id']}", params=query))
    return found


async def told_of(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return [event["type"].removeprefix("tokenkeep.account.") for event in reversed(events)]


async def accounts(admin: httpx.AsyncClient) -> Any:
    return data(await admin.get("/v1/accounts"))


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def with_query(url: str, **changes: str | None) -> str:
    members = {name: value for name, value in {**query_of(url), **changes}.items() if value is not None}
    return urlunsplit(urlsplit(url)._replace(query=urlencode(members)))


def uuid_of(session: dict[str, Any]) -> UUID:
    return parse_id(IdKind.SESSION, session["id"])


@pytest.mark.parametrize("method", METHODS)
async def test_a_user_connects_an_account_whose_requests_are_then_signed(
    admin: httpx.AsyncClient, browser: ConnectBrowser, provider: OAuth1Server, method: str
) -> None:
    secret = pem(RSA) if method == "RSA-SHA1" else CONSUMER_SECRET
    source_id = await a_source(admin, provider.options(signature_method=method), secret)
    session = await a_session(
        admin, source_id=source_id, external_id="user-1", metadata={"plan": "team"}, return_url=RETURN_URL
    )
    landed = await browser.connect(session["url"], "alice")
    assert landed.status_code == 303
    answer = query_of(landed.headers["location"])
    assert (answer["status"], answer["session_id"]) == ("connected", session["id"])
    account = data(await admin.get(f"/v1/accounts/{answer['account_id']}", params={"include_credentials": "1"}))
    assert (account["state"], account["auth_type"], account["custody"]) == ("active", "oauth1", "none")
    assert (account["external_id"], account["metadata"]) == ("user-1", {"plan": "team"})
    assert provider.store.tokens[account["credentials"]["oauth_token"]].get_user_id() == "alice"
    assert await told_of(admin, account["id"]) == ["created", "activated"]
    assert provider.asked == ["initiate", "token"], "each leg is one request"
    assert (await shown(admin, session, result=answer["result"]))["result_verified"] is True
    url = f"{provider.url}/me"
    signed = data(await admin.post(f"/v1/accounts/{account['id']}/sign", json={"method": "GET", "url": url}))
    async with httpx.AsyncClient() as http:
        assert (await http.get(url, headers=signed["headers"])).json() == {"sub": "alice"}


async def test_the_user_is_sent_with_a_token_to_a_page_that_says_what_is_asked_for(
    admin: httpx.AsyncClient, browser: ConnectBrowser, provider: OAuth1Server, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id)
    page = await browser.look(session["url"])
    assert heading(page) == f"Connect {urlsplit(provider.url).netloc}"
    assert provider.asked == [], "to look at the page asks nobody"
    address = await browser.begin(session["url"])
    asked = query_of(address)
    assert address.startswith(f"{provider.url}/authorize?")
    assert asked["scope"] == "read write"
    callback = provider.store.temporary[asked["oauth_token"]].get_redirect_uri()
    assert callback.startswith(f"{CALLBACK}?state=")
    assert len(query_of(callback)["state"]) >= 43


async def test_an_account_is_reconnected_under_its_id_by_the_one_whose_it_is(
    admin: httpx.AsyncClient, browser: ConnectBrowser, provider: OAuth1Server
) -> None:
    source_id = await a_source(admin, identified(provider))
    assert heading(await browser.connect((await a_session(admin, source_id=source_id))["url"])) == "You are connected"
    [account] = await accounts(admin)
    assert (account["external_id"], account["external_id_verified"]) == ("alice", True)
    assert account["verification"]["result"] == "confirmed"
    session = await a_session(admin, account_id=account["id"])
    page = await browser.connect(session["url"], "bob")
    assert (page.status_code, heading(page)) == (409, "That is another account")
    assert (await shown(admin, session))["failure_code"] == "identity_mismatch"
    assert await accounts(admin) == [account]
    assert heading(await browser.connect(session["url"], "alice")) == "You are connected"
    assert await told_of(admin, account["id"]) == ["created", "activated", "reauthorized"]
    second = await a_session(admin, source_id=source_id)
    page = await browser.connect(second["url"], "alice")
    assert (page.status_code, heading(page)) == (409, "This account is connected already")
    assert (await shown(admin, second))["failure_code"] == "account_exists"


async def test_a_connect_link_brings_a_disabled_account_back_and_outranks_no_operator(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str
) -> None:
    await browser.connect((await a_session(admin, source_id=source_id))["url"])
    [account] = await accounts(admin)
    owner = AccountId(parse_id(IdKind.ACCOUNT, account["id"]))
    link = await service.wired.connecting.link_account(owner, service.environment)
    assert link is not None
    opened = await browser.look(link)
    url = f"{PUBLIC_URL}{urlsplit(opened.headers['location']).path}"
    back = await browser.consent(await browser.begin(url))
    data(await admin.post(f"/v1/accounts/{account['id']}/disable"))
    page = await browser.look(back)
    assert (page.status_code, heading(page)) == (403, "This account was switched off")
    data(await admin.post(f"/v1/accounts/{account['id']}/enable"))
    assert heading(await browser.connect(url)) == "You are connected"
    assert (await told_of(admin, account["id"]))[-1] == "reauthorized"


async def test_an_answer_counts_once(
    admin: httpx.AsyncClient, browser: ConnectBrowser, provider: OAuth1Server, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id)
    back = await browser.consent(await browser.begin(session["url"]))
    answers = await asyncio.gather(*(browser.look(back) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400]
    assert heading(await browser.look(back)) == "This step is over"
    assert provider.asked == ["initiate", "token"]
    assert len(await accounts(admin)) == 1


async def test_another_browser_can_neither_end_it_nor_spoil_it(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id)
    back = await browser.consent(await browser.begin(session["url"]))
    async with open_browser(service.app) as stranger:
        await stranger.look(session["url"])
        refused = await stranger.look(back)
        assert (refused.status_code, heading(refused)) == (403, "Please use the browser you began in")
    assert await accounts(admin) == []
    assert heading(await browser.look(back)) == "You are connected"


@pytest.mark.parametrize(
    "told",
    [
        ({"state": "unknown"}, "This step is over"),
        ({"state": None}, "We can't read that answer"),
        ({"oauth_verifier": None}, "could not do it"),
        ({"oauth_token": None}, "could not do it"),
    ],
)
async def test_an_answer_that_is_not_whole_connects_nothing(
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    provider: OAuth1Server,
    source_id: str,
    told: tuple[dict[str, str | None], str],
) -> None:
    changes, says = told
    session = await a_session(admin, source_id=source_id)
    back = await browser.consent(await browser.begin(session["url"]))
    page = await browser.look(with_query(back, **changes))
    assert page.status_code in {400, 502}
    assert says in heading(page)
    assert provider.asked == ["initiate"]
    assert await accounts(admin) == []


async def test_a_token_of_another_session_is_not_used(
    admin: httpx.AsyncClient, browser: ConnectBrowser, provider: OAuth1Server, source_id: str
) -> None:
    """What a stranger has authorised can't be slipped into somebody's session (the attack that made 1.0 into 1.0a)."""
    first, second = await a_session(admin, source_id=source_id), await a_session(admin, source_id=source_id)
    strangers = query_of(await browser.consent(await browser.begin(first["url"]), "mallory"))
    back = await browser.consent(await browser.begin(second["url"]), "alice")
    page = await browser.look(
        with_query(back, oauth_token=strangers["oauth_token"], oauth_verifier=strangers["oauth_verifier"])
    )
    assert (page.status_code, heading(page)) == (400, "That answer belongs to something else")
    assert (await shown(admin, second))["failure_code"] == "token_mismatch"
    assert "token" not in provider.asked
    assert await accounts(admin) == []
    assert heading(await browser.connect(second["url"], "alice")) == "You are connected"


@pytest.mark.parametrize("denies_by", ["error", "denied", "oauth_problem"])
async def test_whoever_declines_is_told_so_and_may_try_again(
    admin: httpx.AsyncClient, browser: ConnectBrowser, provider: OAuth1Server, source_id: str, denies_by: str
) -> None:
    provider.denies_by = denies_by
    session = await a_session(admin, source_id=source_id)
    page = await browser.look(await browser.consent(await browser.begin(session["url"]), decision="deny"))
    assert (page.status_code, heading(page)) == (403, "You declined")
    assert (await shown(admin, session))["failure_code"] == "access_denied"
    assert heading(await browser.connect(session["url"])) == "You are connected"


CONFIRMED = "oauth_token=t&oauth_token_secret=s&oauth_callback_confirmed=true"
UNANSWERED = [
    (Response("oauth_problem=consumer_key_unknown&canary=1", 401), 502, "credentials_rejected"),
    (
        Response("canary", 401, {"www-authenticate": 'OAuth oauth_problem="signature_invalid"'}),
        502,
        "credentials_rejected",
    ),
    (Response("canary", 503), 503, "provider_unavailable"),
    (Response("canary", 429), 503, "provider_unavailable"),
    (Response("<html>canary</html>", 200), 503, "provider_unavailable"),
    (Response("", 302, {"location": "https://elsewhere.example/"}), 503, "provider_unavailable"),
    (Response("x" * 1_100_000, 200), 503, "provider_unavailable"),
]


@pytest.mark.parametrize("told", [*UNANSWERED, (Response("oauth_token=t&oauth_token_secret=s"), 500, "misconfigured")])
async def test_a_provider_that_gives_no_temporary_credentials_is_told_of_before_anybody_is_sent_there(
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    provider: OAuth1Server,
    source_id: str,
    told: tuple[Response, int, str],
) -> None:
    answer, status, code = told
    session = await a_session(admin, source_id=source_id, return_url=RETURN_URL)
    provider.script.append(answer)
    page = await browser.press(session["url"])
    assert page.status_code == status, page.text
    assert heading(page)
    assert "canary" not in page.text
    assert (await shown(admin, session))["failure_code"] == code
    assert provider.asked == ["initiate"], "one press, one request"
    assert (await browser.connect(session["url"])).status_code == 303


@pytest.mark.parametrize("told", UNANSWERED)
async def test_a_provider_that_gives_no_token_is_told_of_in_plain_words(
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    provider: OAuth1Server,
    source_id: str,
    told: tuple[Response, int, str],
) -> None:
    answer, status, code = told
    session = await a_session(admin, source_id=source_id)
    back = await browser.consent(await browser.begin(session["url"]))
    provider.script.append(answer)
    page = await browser.look(back)
    assert page.status_code == status
    assert "canary" not in page.text
    assert (await shown(admin, session))["failure_code"] == code
    assert provider.asked == ["initiate", "token"], "a verifier is sent once"
    assert heading(await browser.connect(session["url"])) == "You are connected"


async def test_a_provider_that_is_down_is_told_of(admin: httpx.AsyncClient, browser: ConnectBrowser) -> None:
    async with open_oauth1_server() as gone:
        options = gone.options()
    session = await a_session(admin, source_id=await a_source(admin, options))
    page = await browser.press(session["url"])
    assert page.status_code == 503
    assert "can't be reached" in heading(page)
    assert (await shown(admin, session))["failure_code"] == "provider_unavailable"


async def test_a_source_without_its_addresses_can_not_be_connected_to(admin: httpx.AsyncClient) -> None:
    source_id = await a_source(admin, {"authorization_url": "https://p.example/authorize"})
    refused = await admin.post("/v1/connect/sessions", json={"source_id": source_id})
    assert "request_token_url" in problem(refused, 422, "invalid_input", "source_id")["detail"]


async def test_the_temporary_secret_is_sealed_and_gone_once_it_was_used(
    service: Service, admin: httpx.AsyncClient, browser: ConnectBrowser, provider: OAuth1Server, source_id: str
) -> None:
    session = await a_session(admin, source_id=source_id)
    address = await browser.begin(session["url"])
    temporary = provider.store.temporary[query_of(address)["oauth_token"]]
    secrets = [
        temporary["oauth_token"],
        temporary["oauth_token_secret"],
        query_of(temporary.get_redirect_uri())["state"],
    ]
    statement = "SELECT s.*, s::text AS whole FROM connect_sessions s WHERE id = :id"
    [row] = await service.sql(statement, id=uuid_of(session))
    assert row["ciphertext"] is not None
    assert not any(secret in row["whole"] for secret in secrets)
    await browser.look(await browser.consent(address))
    [row] = await service.sql(statement, id=uuid_of(session))
    assert (row["ciphertext"], row["state_hash"], row["browser_hash"]) == (None, None, None)


async def test_an_address_that_is_not_public_is_not_asked(
    service: Service, admin: httpx.AsyncClient, provider: OAuth1Server, api_database_url: str, redis_url: str
) -> None:
    """What was allowed when the source was made is looked at again, at each connection."""
    session = await a_session(admin, source_id=await a_source(admin, provider.options()))
    changes = {"keyring": service.foundation.settings.keyring, "public_url": PUBLIC_URL, "allow_private_hosts": ""}
    async with open_service(api_database_url, redis_url, **changes) as strict, open_browser(strict.app) as browser:
        page = await browser.press(session["url"])
    assert page.status_code == 503
    assert provider.asked == []


async def test_no_line_of_the_log_holds_a_secret(
    admin: httpx.AsyncClient,
    browser: ConnectBrowser,
    provider: OAuth1Server,
    source_id: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    session = await a_session(admin, source_id=source_id)
    provider.script.append(Response("oauth_problem=canary-problem", 401))
    await browser.press(session["url"])
    address = await browser.begin(session["url"])
    back = await browser.consent(address)
    provider.script.append(Response("oauth_problem=canary-problem", 401))
    await browser.look(back)
    assert heading(await browser.connect(session["url"])) == "You are connected"
    said = "".join(capfd.readouterr())
    assert "account_connected" in said
    secrets = [query_of(address)["oauth_token"], query_of(back)["state"], query_of(back)["oauth_verifier"]]
    assert not any(secret in said for secret in [*secrets, *provider.store.tokens, "canary", CONSUMER_SECRET])
