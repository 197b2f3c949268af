"""`POST /v1/provider-hooks/{source_id}`: what providers tell by themselves, signed as they sign it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml
from sqlalchemy import text
from structlog.testing import capture_logs

from api_service import Service, data, open_service, problem
from databases import UNHURRIED
from hook_effects import counted, events_of, state_of
from machine_server import MachineServer
from provider_samples import (
    CLIENT_SECRET,
    GITHUB_APP,
    GITHUB_USER,
    HUBSPOT,
    INTUIT,
    SECRET,
    SHOPIFY,
    SLACK_APP,
    SLACK_TOKENS,
    SQUARE,
    STRIPE,
    XERO,
    XERO_INTENT,
    ZOOM,
    Sample,
    by_xero,
    by_zoom,
)
from source_clients import pem, rsa_key
from token_server import TokenServer, says
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep.adapters.postgres.provider_notices import PostgresProviderNotices
from tokenkeep.application.take_provider_hook import Taken
from tokenkeep.application.work import Work
from tokenkeep.domain.ids import IdKind, SourceId, format_id, parse_id
from tokenkeep.providers.hook_notices import NamedAccount
from tokenkeep.providers.hook_signatures import HookRequest
from tokenkeep_api.app import create_app
from whoami_server import WhoamiServer

SLUGS = ("shopify", "slack", "github-app-user", "stripe-connect", "zoom", "hubspot", "quickbooks", "xero", "square")
CONNECTABLE = (SHOPIFY, SLACK_APP, SLACK_TOKENS, GITHUB_USER, STRIPE, ZOOM, HUBSPOT, SQUARE)
"""Those whose accounts are connected here with tokens of their own."""
PROPERTIES = {"shopify": {"subdomain": "super-toys"}}
JSON = {"content-type": "application/json; charset=utf-8"}


@pytest.fixture
async def whoami() -> AsyncIterator[WhoamiServer]:
    async with WhoamiServer() as started:
        yield started


@pytest.fixture
async def service(
    api_database_url: str, redis_url: str, tmp_path: Path, whoami: WhoamiServer, server: TokenServer
) -> AsyncIterator[Service]:
    """The catalogue's own entries, but for where tokens are had and people are known."""
    for slug in SLUGS:
        entry: dict[str, Any] = {"extends": slug, "token_url": server.url}
        entry["verify"] = {"url": whoami.url, "external_id": "sub"}
        (tmp_path / f"{slug}.yaml").write_text(yaml.safe_dump(entry))
    changes = {"providers_dir": tmp_path, "public_url": "https://tokenkeep.example"}
    async with open_service(api_database_url, redis_url, **changes) as opened:
        yield opened


@pytest.fixture
async def provider(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without an API key."""
    async with service.client(None) as client:
        yield client


async def a_source(admin: httpx.AsyncClient, sample: Sample, **changes: Any) -> str:
    body = {"provider": sample.slug, "name": "n", "client_id": f"c-{uuid4().hex}", "client_secret": CLIENT_SECRET}
    own = {} if sample.secret == CLIENT_SECRET else {"hook_secret": SECRET}
    return str(data(await admin.post("/v1/sources", json={**body, **own, **changes}), 201)["id"])


async def an_account(
    admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str, sample: Sample, external_id: str, **changes: Any
) -> str:
    grant = uuid4().hex
    whoami.people[f"access-{grant}.1"] = external_id
    tokens = {"access_token": f"access-{grant}.1", "refresh_token": f"{grant}.1", "expires_in": 3600}
    body = {"source_id": source_id, "credentials": tokens, "properties": PROPERTIES.get(sample.slug, {})}
    made = data(await admin.post("/v1/accounts", json={**body, **changes}), 201)
    assert (made["state"], made["external_id"], made["external_id_verified"]) == ("active", external_id, True)
    return str(made["id"])


async def told(
    provider: httpx.AsyncClient, source_id: str, sample: Sample, at: datetime | None = None, **how: str
) -> httpx.Response:
    """The provider's call about something of now, or of then."""
    path = f"/v1/provider-hooks/{source_id}"
    body, headers = sample.request(at or datetime.now(UTC), url=f"https://tokenkeep.example{path}", **how)
    return await provider.post(path, content=body, headers={**JSON, **headers})


@pytest.mark.parametrize("sample", CONNECTABLE, ids=lambda it: f"{it.slug}-{it.origin[-12:]}")
async def test_a_signed_uninstall_disables_whom_it_names_before_it_is_answered(
    service: Service,
    admin: httpx.AsyncClient,
    provider: httpx.AsyncClient,
    whoami: WhoamiServer,
    sample: Sample,
) -> None:
    source_id = await a_source(admin, sample)
    meant = [await an_account(admin, whoami, source_id, sample, one) for one in sample.meant]
    bystander = await an_account(admin, whoami, source_id, sample, "somebody-else")
    elsewhere = await a_source(admin, sample)
    other = await an_account(admin, whoami, elsewhere, sample, sample.meant[0])
    answer = await told(provider, source_id, sample)
    assert (answer.status_code, answer.content) == (200, b"")
    for account_id in meant:
        account = data(await admin.get(f"/v1/accounts/{account_id}"))
        assert account["state"] == "disabled"
        assert (account["disabled"]["reason"], account["disabled"]["by"]) == ("uninstalled", "provider")
        assert await events_of(service, account_id) == ["created", "activated", "disabled"]
        [event] = await service.sql(
            "SELECT data FROM events WHERE subject = :id AND type = 'tokenkeep.account.disabled'",
            id=parse_id(IdKind.ACCOUNT, account_id),
        )
        assert event["data"]["reason"] == "uninstalled"
        assert event["data"]["connect_url"].startswith("https://tokenkeep.example/connect/accounts/acc_")
        [entry] = data(await admin.get("/v1/audit", params={"target": account_id, "action": "account.provider_notice"}))
        assert (entry["actor"], entry["address"]) == ("provider", "192.0.2.7")
    for account_id in (bystander, other):
        assert await state_of(admin, account_id) == ("active", None)
    assert counted(service, sample.slug)["disabled"] == 1


@pytest.mark.parametrize("sample", [*CONNECTABLE, INTUIT, XERO], ids=lambda it: f"{it.slug}-{it.origin[-12:]}")
async def test_a_bad_signature_changes_nothing_and_is_counted(
    service: Service,
    admin: httpx.AsyncClient,
    provider: httpx.AsyncClient,
    whoami: WhoamiServer,
    sample: Sample,
) -> None:
    source_id = await a_source(admin, sample)
    account_id = None
    if sample.meant:
        account_id = await an_account(admin, whoami, source_id, sample, sample.meant[0])
    refused = await told(provider, source_id, sample, secret="guessed")
    problem(refused, 401, "not_authenticated")
    unsigned = await provider.post(
        f"/v1/provider-hooks/{source_id}", content=sample.request(datetime.now(UTC))[0], headers=JSON
    )
    problem(unsigned, 401, "not_authenticated")
    if account_id is not None:
        assert await state_of(admin, account_id) == ("active", None)
        assert await events_of(service, account_id) == ["created", "activated"]
    assert counted(service, sample.slug) == {"refused": 2.0}


@pytest.mark.parametrize("sample", [SLACK_APP, ZOOM, STRIPE, HUBSPOT], ids=lambda it: it.slug)
async def test_a_call_that_was_signed_too_long_ago_changes_nothing(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer, sample: Sample
) -> None:
    source_id = await a_source(admin, sample)
    account_id = await an_account(admin, whoami, source_id, sample, sample.meant[0])
    problem(
        await told(provider, source_id, sample, datetime.now(UTC) - timedelta(seconds=310)), 401, "not_authenticated"
    )
    assert await state_of(admin, account_id) == ("active", None)
    assert counted(service, sample.slug) == {"refused": 1.0}


async def test_what_is_not_proven_does_not_tell_which_sources_there_are(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    hookless = await service.source("https://93.184.215.14/token")
    secretless = await a_source(admin, SLACK_APP, hook_secret=None)
    known = await a_source(admin, SLACK_APP)
    answers = [
        await told(provider, source_id, SLACK_APP, secret="guessed")
        for source_id in (known, secretless, hookless, format_id(IdKind.SOURCE, uuid4()), "src_x", "nonsense")
    ]
    documents = [answer.json() for answer in answers]
    assert {answer.status_code for answer in answers} == {401}
    assert all(document == documents[0] for document in documents)
    headers = [set(answer.headers) for answer in answers]
    assert all(named == headers[0] for named in headers)
    assert counted(service, "other")["refused"] >= 4


async def test_a_notice_that_comes_again_says_nothing_of_a_grant_that_was_given_since(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer, server: TokenServer
) -> None:
    source_id = await a_source(admin, SHOPIFY)
    account_id = await an_account(admin, whoami, source_id, SHOPIFY, SHOPIFY.meant[0])
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    assert (await told(provider, source_id, SHOPIFY)).status_code == 200
    assert await state_of(admin, account_id) == ("disabled", "uninstalled")
    whoami.people["access-anew.1"] = SHOPIFY.meant[0]
    anew = {"access_token": "access-anew.1", "refresh_token": "anew.1", "expires_in": 3600}
    data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=anew))
    assert (await told(provider, source_id, SHOPIFY, long_ago)).status_code == 200
    assert await state_of(admin, account_id) == ("active", None)
    assert counted(service, "shopify") == {"disabled": 1.0, "moot": 1.0}
    assert server.presented == []


async def test_a_notice_that_names_no_time_is_known_when_it_comes_again(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, GITHUB_USER)
    account_id = await an_account(admin, whoami, source_id, GITHUB_USER, GITHUB_USER.meant[0])
    assert (await told(provider, source_id, GITHUB_USER)).status_code == 200
    whoami.people["access-anew.1"] = GITHUB_USER.meant[0]
    anew = {"access_token": "access-anew.1", "refresh_token": "anew.1", "expires_in": 3600}
    data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=anew))
    assert (await told(provider, source_id, GITHUB_USER)).status_code == 200
    assert await state_of(admin, account_id) == ("active", None)
    assert counted(service, "github-app-user") == {"disabled": 1.0, "moot": 1.0}


async def test_where_the_clocks_leave_it_open_the_provider_is_asked(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer, server: TokenServer
) -> None:
    source_id = await a_source(admin, SHOPIFY)
    account_id = await an_account(admin, whoami, source_id, SHOPIFY, SHOPIFY.meant[0])
    just_before = datetime.now(UTC) - timedelta(seconds=20)
    assert (await told(provider, source_id, SHOPIFY, just_before)).status_code == 200
    await service.queue.drain()
    assert len(server.presented) == 1
    assert await state_of(admin, account_id) == ("active", None)
    assert counted(service, "shopify") == {"asked": 1.0}


async def test_beyond_an_unusual_number_of_notices_the_providers_token_endpoint_decides(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer, server: TokenServer
) -> None:
    source_id = await a_source(admin, SHOPIFY)
    await service.sql(
        "INSERT INTO provider_notices (source_id, digest, believed)"
        " SELECT :id, int4send(n), true FROM generate_series(1, 100) AS n",
        id=parse_id(IdKind.SOURCE, source_id),
    )
    living = await an_account(admin, whoami, source_id, SHOPIFY, SHOPIFY.meant[0])
    assert (await told(provider, source_id, SHOPIFY)).status_code == 200
    await service.queue.drain()
    assert await state_of(admin, living) == ("active", None)
    assert counted(service, "shopify") == {"asked": 1.0}
    server.script.append(says(400, {"error": "invalid_grant", "error_description": "revoked"}))
    later = datetime.now(UTC) + timedelta(seconds=1)
    assert (await told(provider, source_id, SHOPIFY, later)).status_code == 200
    await service.queue.drain()
    assert await state_of(admin, living) == ("disabled", "revoked")


@pytest.mark.parametrize("is_dead", [True, False])
async def test_of_an_account_that_nobody_verified_the_provider_is_asked(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, server: TokenServer, *, is_dead: bool
) -> None:
    source_id = await a_source(admin, STRIPE)
    body = {
        "source_id": source_id,
        "external_id": STRIPE.meant[0],
        "credentials": {"access_token": "x", "refresh_token": "unverified.1", "expires_in": 3600},
    }
    made = data(await admin.post("/v1/accounts", params={"verify": "false"}, json=body), 201)
    if is_dead:
        server.script.append(says(400, {"error": "invalid_grant", "error_description": "Token has been revoked"}))
    assert (await told(provider, source_id, STRIPE)).status_code == 200
    await service.queue.drain()
    assert await state_of(admin, made["id"]) == (("disabled", "revoked") if is_dead else ("active", None))
    assert counted(service, "stripe-connect") == {"asked": 1.0}
    assert server.presented == ["unverified.1"]


async def test_whoever_can_not_be_asked_about_is_not_disabled_by_an_id_that_nobody_verified(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    source_id = await a_source(admin, STRIPE)
    body = {"source_id": source_id, "external_id": STRIPE.meant[0], "credentials": {"access_token": "x"}}
    made = data(await admin.post("/v1/accounts", params={"verify": "false"}, json=body), 201)
    assert (await told(provider, source_id, STRIPE)).status_code == 200
    assert await state_of(admin, made["id"]) == ("active", None)
    assert counted(service, "stripe-connect") == {"moot": 1.0}


async def test_ids_of_another_kind_are_no_proof_of_who_is_meant(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer, server: TokenServer
) -> None:
    source_id = await a_source(admin, STRIPE, options={"external_id_path": "name", "userinfo_url": whoami.url})
    whoami.people["access-k.1"] = "x"
    tokens = {"access_token": "access-k.1", "refresh_token": "k.1", "expires_in": 3600}
    made = data(await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": tokens}), 201)
    account = parse_id(IdKind.ACCOUNT, made["id"])
    for table, column in (("account_identities", "account_id"), ("accounts", "id")):
        statement = f"UPDATE {table} SET external_id = :told WHERE {column} = :id"  # noqa: S608 - names of ours
        await service.sql(statement, told=STRIPE.meant[0], id=account)
    assert (await told(provider, source_id, STRIPE)).status_code == 200
    await service.queue.drain()
    assert await state_of(admin, made["id"]) == ("active", None)
    assert counted(service, "stripe-connect") == {"asked": 1.0}
    assert server.presented == ["k.1"]


async def test_a_source_that_reads_the_same_id_at_an_address_of_its_own_is_meant(
    admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    async with WhoamiServer(people=whoami.people) as proxy:
        source_id = await a_source(admin, STRIPE, options={"userinfo_url": proxy.url})
        account_id = await an_account(admin, whoami, source_id, STRIPE, STRIPE.meant[0])
        assert len(proxy.asked) == 1
    assert (await told(provider, source_id, STRIPE)).status_code == 200
    assert await state_of(admin, account_id) == ("disabled", "uninstalled")


async def test_a_shop_that_was_imported_is_known_by_its_host(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, SHOPIFY)
    ids = {}
    for subdomain in ("Super-Toys", "other-toys"):
        tokens = {"access_token": "x", "refresh_token": uuid4().hex, "expires_in": 3600}
        body = {"source_id": source_id, "credentials": tokens, "properties": {"subdomain": subdomain}}
        made = data(await admin.post("/v1/accounts", params={"verify": "false"}, json=body), 201)
        ids[subdomain] = made["id"]
    known = await an_account(admin, whoami, source_id, SHOPIFY, "another-shop")
    assert (await told(provider, source_id, SHOPIFY)).status_code == 200
    assert await state_of(admin, ids["Super-Toys"]) == ("disabled", "uninstalled")
    assert await state_of(admin, known) == ("active", None)
    assert await state_of(admin, ids["other-toys"]) == ("active", None)
    assert counted(service, "shopify") == {"disabled": 1.0}


async def test_a_notice_of_nobody_here_is_taken_and_changes_nothing(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, STRIPE)
    account_id = await an_account(admin, whoami, source_id, STRIPE, "acct_another")
    assert (await told(provider, source_id, STRIPE)).status_code == 200
    assert await state_of(admin, account_id) == ("active", None)
    assert counted(service, "stripe-connect") == {"unmatched": 1.0}


async def test_notices_of_changes_are_taken_and_end_nothing(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    for sample in (INTUIT, XERO):
        source_id = await a_source(admin, sample)
        assert (await told(provider, source_id, sample)).status_code == 200
        assert counted(service, sample.slug) == {"ignored": 1.0}


async def test_xero_sees_by_our_answers_whether_we_look_at_signatures(
    admin: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    """Its intent to receive comes several times, signed rightly and wrongly; it wants 200 and 401, and no body with the 200."""
    intent = Sample("xero", "https://developer.xero.com/documentation/guides/webhooks/overview/", XERO_INTENT, by_xero)
    source_id = await a_source(admin, intent)
    right, wrong = await told(provider, source_id, intent), await told(provider, source_id, intent, secret="wrong")
    assert (right.status_code, right.content, wrong.status_code) == (200, b"", 401)


async def test_a_challenge_is_answered_if_it_is_signed(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    asked = {"payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}, "event": "endpoint.url_validation"}
    question = Sample("zoom", "https://developers.zoom.us/docs/api/webhooks/", asked, by_zoom)
    source_id = await a_source(admin, question)
    answer = await told(provider, source_id, question)
    assert answer.json()["plainToken"] == "qgg8vlvZRS6UYooatFL8Aw"
    assert len(answer.json()["encryptedToken"]) == 64
    problem(await told(provider, source_id, question, secret="guessed"), 401, "not_authenticated")
    assert counted(service, "zoom") == {"challenge": 1.0, "refused": 1.0}


async def test_the_hook_secret_is_write_only_and_its_predecessor_is_taken_for_a_day(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    source_id = await a_source(admin, XERO)
    path = f"/v1/sources/{source_id}"
    shown = await admin.get(path)
    assert data(shown)["has_hook_secret"] is True
    assert SECRET not in shown.text
    changed = data(await admin.patch(path, json={"hook_secret": "a new one"}))
    assert (changed["has_hook_secret"], changed["proving"]) == (True, False)
    for secret in (SECRET, "a new one"):
        assert (await told(provider, source_id, XERO, secret=secret)).status_code == 200
    await service.sql(
        "UPDATE sources SET former_hook_secret_until = clock_timestamp() WHERE id = :id",
        id=parse_id(IdKind.SOURCE, source_id),
    )
    assert (await told(provider, source_id, XERO)).status_code == 401
    assert data(await admin.patch(path, json={"hook_secret": None}))["has_hook_secret"] is False
    assert (await told(provider, source_id, XERO, secret="a new one")).status_code == 401
    rows = await service.sql("SELECT * FROM sources WHERE id = :id", id=parse_id(IdKind.SOURCE, source_id))
    assert rows[0]["former_hook_secret_ciphertext"] is None


async def test_a_former_client_secret_is_taken_where_it_is_given_as_the_hook_secret(
    admin: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    source_id = await a_source(admin, SHOPIFY, client_secret="renewed", hook_secret=CLIENT_SECRET)
    for secret in ("renewed", CLIENT_SECRET):
        assert (await told(provider, source_id, SHOPIFY, secret=secret)).status_code == 200


async def test_a_hook_secret_that_would_be_of_no_use_is_refused(service: Service, admin: httpx.AsyncClient) -> None:
    body = {"provider": "google", "name": "n", "client_id": "c", "client_secret": "s", "hook_secret": "x"}
    problem(await admin.post("/v1/sources", json=body), 422, "invalid_input", "hook_secret")
    source_id = await service.source("https://93.184.215.14/token")
    refused = await admin.patch(f"/v1/sources/{source_id}", json={"hook_secret": "x"})
    problem(refused, 422, "invalid_input", "hook_secret")


async def test_only_who_proves_nothing_is_slowed_down(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = service.wired.limits._clock()
    monkeypatch.setattr(service.wired.limits, "_clock", lambda: now)
    source_id = await a_source(admin, XERO)
    for _ in range(150):
        assert (await told(provider, source_id, XERO)).status_code == 200
    answers = [(await told(provider, source_id, XERO, secret="guessed")).status_code for _ in range(150)]
    assert set(answers) == {401, 429}
    assert counted(service, "xero")["ignored"] == 150


async def test_no_provider_is_slowed_down_for_faults_of_ours(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> AbstractAsyncContextManager[Work]:
        raise ConnectionRefusedError

    now = service.wired.limits._clock()
    monkeypatch.setattr(service.wired.limits, "_clock", lambda: now)
    source_id = await a_source(admin, XERO)
    wired = replace(service.wired, take_provider_hook=replace(service.wired.take_provider_hook, works=away))
    async with replace(service, wired=wired, app=create_app(wired)).client(None) as meanwhile:
        answers = {(await told(meanwhile, source_id, XERO)).status_code for _ in range(150)}
    assert answers == {503}
    assert (await told(provider, source_id, XERO)).status_code == 200


async def test_who_sends_bodies_that_are_not_to_be_read_is_slowed_down(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def too_much() -> AsyncIterator[bytes]:
        yield bytes(1_048_577)

    now = service.wired.limits._clock()
    monkeypatch.setattr(service.wired.limits, "_clock", lambda: now)
    path = f"/v1/provider-hooks/{await a_source(admin, XERO)}"
    answers = {(await provider.post(path, content=too_much(), headers=JSON)).status_code for _ in range(150)}
    assert answers == {413, 429}


async def test_bodies_are_bounded_and_of_the_kinds_that_providers_send(
    admin: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    path = f"/v1/provider-hooks/{await a_source(admin, XERO)}"
    problem(await provider.post(path, content=b"x" * 1_048_577, headers=JSON), 413, "body_too_large")
    form = {"content-type": "application/x-www-form-urlencoded"}
    problem(await provider.post(path, content=b"payload=1", headers=form), 415, "unsupported_media_type")
    problem(await provider.get(path), 405, "method_not_allowed")
    problem(await provider.post(path), 401, "not_authenticated")


async def test_the_same_notice_many_times_at_once_disables_once(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, SLACK_APP)
    meant = [await an_account(admin, whoami, source_id, SLACK_APP, f"TXXXXXXXX:U{n}") for n in range(5)]
    neighbour = await an_account(admin, whoami, source_id, SLACK_APP, "TXXXXXXXXX:U1")
    answers = await asyncio.gather(*(told(provider, source_id, SLACK_APP) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    for account_id in meant:
        assert await events_of(service, account_id) == ["created", "activated", "disabled"]
    assert await state_of(admin, neighbour) == ("active", None)


async def test_while_the_database_is_away_the_provider_is_asked_to_come_again(redis_url: str) -> None:
    async with (
        open_service("postgresql://nobody@127.0.0.1:1/none", redis_url) as service,
        service.client(None) as provider,
    ):
        problem(await told(provider, format_id(IdKind.SOURCE, uuid4()), XERO), 503, "temporarily_unavailable")


async def test_a_call_is_answered_only_when_what_it_says_is_durable(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, GITHUB_USER)
    account_id = await an_account(admin, whoami, source_id, GITHUB_USER, GITHUB_USER.meant[0])
    async with service.foundation.database.transaction() as other:
        await other.execute(UNHURRIED)
        locking = text("SELECT FROM leases WHERE account_id = :id FOR UPDATE")
        await other.execute(locking, {"id": parse_id(IdKind.ACCOUNT, account_id)})
        problem(await told(provider, source_id, GITHUB_USER), 503, "temporarily_unavailable")
    assert await state_of(admin, account_id) == ("active", None)
    # The very same delivery: what failed was not noted as taken.
    assert (await told(provider, source_id, GITHUB_USER)).status_code == 200
    assert await state_of(admin, account_id) == ("disabled", "uninstalled")


async def test_neither_secret_nor_body_of_a_call_is_shown_anywhere(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, SLACK_TOKENS)
    account_id = await an_account(admin, whoami, source_id, SLACK_TOKENS, SLACK_TOKENS.meant[0])
    with capture_logs() as log:
        answers = [await told(provider, source_id, SLACK_TOKENS, secret=secret) for secret in (SECRET, "guessed")]
        answers.append(await admin.patch(f"/v1/sources/{source_id}", json={"hook_secret": f"{SECRET}-2"}))
        answers.append(await admin.patch(f"/v1/sources/{source_id}", json={"hook_secret": {"a": SECRET}}))
        answers += [await admin.get(path) for path in ("/v1/sources", "/v1/audit", f"/v1/accounts/{account_id}/events")]
    shown = "\n".join(
        [*(answer.text for answer in answers), str(log), service.foundation.metrics.render("")[0].decode()]
    )
    for hidden in (SECRET, "XXYYZZ", "EvXXXXXXXX"):
        assert hidden not in shown
    rows = await service.sql("SELECT * FROM sources WHERE id = :id", id=parse_id(IdKind.SOURCE, source_id))
    assert SECRET.encode() not in b"".join(value for value in dict(rows[0]).values() if isinstance(value, bytes))


async def test_a_provider_of_ones_own_that_is_not_sure_has_its_token_endpoint_asked(
    api_database_url: str, redis_url: str, tmp_path: Path, whoami: WhoamiServer, server: TokenServer
) -> None:
    """A notice that only may mean the end of a grant: a refresh shows it."""
    entry = {
        "name": "Acme",
        "auth_type": "oauth2",
        "token_url": server.url,
        "verify": {"url": whoami.url, "external_id": "sub"},
        "hooks": {
            "scheme": "hmac_sha256",
            "signature": {"header": "x-xero-signature"},
            "type": "type",
            "events": {"app.paused": {"means": "suspected", "external_id": "tenant"}},
        },
    }
    (tmp_path / "acme.yaml").write_text(yaml.safe_dump(entry))
    acme = Sample("acme", "made up", {"type": "app.paused", "tenant": "t-1"}, by_xero)
    async with (
        open_service(api_database_url, redis_url, providers_dir=tmp_path) as service,
        service.client() as admin,
        service.client(None) as provider,
    ):
        source_id = await a_source(admin, acme)
        account_id = await an_account(admin, whoami, source_id, acme, "t-1")
        server.script.append(says(400, {"error": "invalid_grant", "error_description": "Token has been revoked"}))
        assert (await told(provider, source_id, acme)).status_code == 200
        await service.queue.drain()
        assert await state_of(admin, account_id) == ("disabled", "revoked")
        assert counted(service, "acme") == {"asked": 1.0}


async def test_an_installation_that_is_deleted_disables_the_machine_that_lives_by_it(
    api_database_url: str, redis_url: str, tmp_path: Path, whoami: WhoamiServer
) -> None:
    whoami.people |= {"machine-1": "any", "machine-2": "any"}
    async with MachineServer() as machines:
        entry: dict[str, Any] = {"extends": "github-app", "token_url": machines.url}
        entry["verify"] = {"url": whoami.url, "external_id": "{installation_id}"}
        (tmp_path / "github-app.yaml").write_text(yaml.safe_dump(entry))
        async with (
            open_service(api_database_url, redis_url, providers_dir=tmp_path) as service,
            service.client() as admin,
            service.client(None) as provider,
        ):
            source_id = await a_source(admin, GITHUB_APP, client_secret=pem(rsa_key()))
            made = []
            for installation in ("2", "3"):
                body = {"source_id": source_id, "credentials": {}, "properties": {"installation_id": installation}}
                made.append(data(await admin.post("/v1/accounts", json=body), 201))
            assert [one["external_id"] for one in made] == ["2", "3"]
            assert (await told(provider, source_id, GITHUB_APP)).status_code == 200
            assert await state_of(admin, made[0]["id"]) == ("disabled", "uninstalled")
            assert await state_of(admin, made[1]["id"]) == ("active", None)


async def test_notices_are_forgotten_when_they_are_a_month_old(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = parse_id(IdKind.SOURCE, await a_source(admin, XERO))
    await service.sql(
        "INSERT INTO provider_notices (source_id, digest, received_at, believed)"
        " SELECT :id, int4send(days), clock_timestamp() - make_interval(days => days), true"
        " FROM unnest(ARRAY[1, 29, 31, 300]) AS days",
        id=source_id,
    )
    await keep_house(service.foundation.database, audit_days=0)
    left = await service.sql("SELECT digest FROM provider_notices WHERE source_id = :id ORDER BY digest", id=source_id)
    assert [int.from_bytes(row["digest"]) for row in left] == [1, 29]


async def test_a_repetition_of_a_notice_that_meant_nobody_ends_no_grant_that_came_since(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, GITHUB_USER)
    assert (await told(provider, source_id, GITHUB_USER)).status_code == 200
    assert counted(service, "github-app-user") == {"unmatched": 1.0}
    account_id = await an_account(admin, whoami, source_id, GITHUB_USER, GITHUB_USER.meant[0])
    assert (await told(provider, source_id, GITHUB_USER)).status_code == 200
    assert await state_of(admin, account_id) == ("active", None)


async def test_a_notice_without_a_time_that_comes_just_after_a_new_grant_has_the_provider_asked(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer, server: TokenServer
) -> None:
    source_id = await a_source(admin, GITHUB_USER)
    account_id = await an_account(admin, whoami, source_id, GITHUB_USER, GITHUB_USER.meant[0])
    whoami.people["access-anew.1"] = GITHUB_USER.meant[0]
    anew = {"access_token": "access-anew.1", "refresh_token": "anew.1", "expires_in": 3600}
    data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=anew))
    assert (await told(provider, source_id, GITHUB_USER)).status_code == 200
    await service.queue.drain()
    assert server.presented == ["anew.1"]
    assert await state_of(admin, account_id) == ("active", None)


async def test_where_the_providers_clock_is_ahead_of_ours_the_provider_is_asked(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer, server: TokenServer
) -> None:
    source_id = await a_source(admin, SHOPIFY)
    account_id = await an_account(admin, whoami, source_id, SHOPIFY, SHOPIFY.meant[0])
    ahead = datetime.now(UTC) + timedelta(seconds=20)
    assert (await told(provider, source_id, SHOPIFY, ahead)).status_code == 200
    await service.queue.drain()
    assert len(server.presented) == 1
    assert await state_of(admin, account_id) == ("active", None)


def of_portal(portal: int, event_id: int, at: datetime) -> dict[str, object]:
    sample: dict[str, object] = HUBSPOT.document[2]
    return {**sample, "portalId": portal, "eventId": event_id, "occurredAt": int(at.timestamp() * 1000)}


async def test_notices_that_bear_one_event_id_count_each_for_the_bound_of_belief(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, HUBSPOT)
    for portal in range(110):
        await an_account(admin, whoami, source_id, HUBSPOT, str(1000 + portal))
    at = datetime.now(UTC)
    # HubSpot's documentation: "eventId ... isn't guaranteed to be unique".
    all_alike = replace(HUBSPOT, document=[of_portal(1000 + one, 1, at) for one in range(110)], timed=None)
    assert (await told(provider, source_id, all_alike)).status_code == 200
    assert counted(service, "hubspot") == {"disabled": 100.0, "asked": 10.0}


async def test_notices_that_come_at_once_keep_to_the_bound_of_belief(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, HUBSPOT)
    await service.sql(
        "INSERT INTO provider_notices (source_id, digest, believed)"
        " SELECT :id, int4send(n), true FROM generate_series(1, 99) AS n",
        id=parse_id(IdKind.SOURCE, source_id),
    )
    for portal in range(60):
        await an_account(admin, whoami, source_id, HUBSPOT, str(1000 + portal))
    at = datetime.now(UTC)
    notices = [replace(HUBSPOT, document=[of_portal(1000 + one, one, at)], timed=None) for one in range(60)]
    answers = await asyncio.gather(*(told(provider, source_id, one) for one in notices))
    assert {answer.status_code for answer in answers} == {200}
    assert counted(service, "hubspot") == {"disabled": 1.0, "asked": 59.0}


async def test_no_provider_is_slowed_down_however_many_notices_come_at_once(
    admin: httpx.AsyncClient, provider: httpx.AsyncClient
) -> None:
    source_id = await a_source(admin, XERO)
    answers = await asyncio.gather(*(told(provider, source_id, XERO) for _ in range(150)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_workspace_of_many_users_is_disabled_batch_by_batch(
    service: Service, admin: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, SLACK_APP)
    meant = [await an_account(admin, whoami, source_id, SLACK_APP, f"TXXXXXXXX:U{n}") for n in range(5)]
    path = f"https://tokenkeep.example/v1/provider-hooks/{source_id}"
    body, headers = SLACK_APP.request(datetime.now(UTC), url=path)
    request = HookRequest("POST", path, headers, body)
    take = service.wired.take_provider_hook
    in_twos = replace(take, settle=replace(take.settle, batch=2))
    parsed = SourceId(parse_id(IdKind.SOURCE, source_id))
    assert isinstance(await in_twos(parsed, request, correlation_id="cor_test", address=None), Taken)
    for account_id in meant:
        assert await events_of(service, account_id) == ["created", "activated", "disabled"]


async def test_a_workspace_of_more_users_than_a_page_is_found_as_a_whole(
    service: Service, admin: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(admin, SLACK_APP)
    account_id = await an_account(admin, whoami, source_id, SLACK_APP, "TXXXXXXXX:U0")
    parsed = SourceId(parse_id(IdKind.SOURCE, source_id))
    await service.sql(
        "INSERT INTO accounts SELECT (jsonb_populate_record(a, jsonb_build_object("
        " 'id', gen_random_uuid(), 'external_id', 'TXXXXXXXX:U' || n))).* FROM accounts AS a, generate_series(1, 10100) AS n"
        " WHERE a.id = :id",
        id=parse_id(IdKind.ACCOUNT, account_id),
    )
    await service.sql(
        "INSERT INTO account_identities (source_id, external_id, account_id)"
        " SELECT source_id, external_id, id FROM accounts WHERE source_id = :id ON CONFLICT DO NOTHING",
        id=parsed,
    )
    async with service.foundation.database.reading() as connection:
        notices = PostgresProviderNotices(connection)
        source = await notices.source(parsed)
        assert source is not None
        found = await notices.accounts(source.config, [NamedAccount("TXXXXXXXX", and_below=True)], [])
    assert len({one.id for one in found}) == 10_101
