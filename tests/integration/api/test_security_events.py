"""Security event tokens of Google's Cross-Account Protection, as its page documents them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml
from joserfc.jwk import OctKey

from api_service import Service, data, open_service, problem
from hook_effects import counted, events_of, state_of
from issuer_server import IssuerServer, a_key, signed
from provider_samples import GOOGLE_CLIENT, GOOGLE_ISSUER, OAUTH, RISC, google_claims, google_token, google_user
from token_server import TokenServer
from whoami_server import WhoamiServer

SET = {"content-type": "application/secevent+jwt"}
KEY = a_key("google-1")
USER = "7375626A656374"


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerServer]:
    async with IssuerServer(GOOGLE_ISSUER, [KEY]) as started:
        yield started


@pytest.fixture
async def whoami() -> AsyncIterator[WhoamiServer]:
    async with WhoamiServer() as started:
        yield started


@pytest.fixture
async def service(
    api_database_url: str, redis_url: str, tmp_path: Path, whoami: WhoamiServer, issuer: IssuerServer
) -> AsyncIterator[Service]:
    """Google's own entry, but for where its keys are, where tokens are had and people are known."""
    built_in = resources.files("tokenkeep.providers").joinpath("data", "google.yaml").read_text(encoding="utf-8")
    hooks = {**yaml.safe_load(built_in)["hooks"], "configuration_url": issuer.configuration_url}
    entry: dict[str, Any] = {"extends": "google", "hooks": hooks}
    entry["verify"] = {"url": whoami.url, "external_id": "sub"}
    async with TokenServer() as server:
        (tmp_path / "google.yaml").write_text(yaml.safe_dump({**entry, "token_url": server.url}))
        async with open_service(api_database_url, redis_url, providers_dir=tmp_path) as opened:
            yield opened


@pytest.fixture
async def provider(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client(None) as client:
        yield client


@pytest.fixture
async def source_id(admin: httpx.AsyncClient) -> str:
    body = {"provider": "google", "name": "n", "client_id": GOOGLE_CLIENT, "client_secret": "s"}
    return str(data(await admin.post("/v1/sources", json=body), 201)["id"])


async def an_account(
    admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str, sub: str = USER
) -> tuple[str, str]:
    """An account, and its refresh token."""
    grant = f"1//0{uuid4().hex}"
    whoami.people[f"access-{grant}"] = sub
    tokens = {"access_token": f"access-{grant}", "refresh_token": grant, "expires_in": 3600}
    made = data(await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": tokens}), 201)
    return str(made["id"]), grant


async def told(provider: httpx.AsyncClient, source_id: str, token: bytes) -> httpx.Response:
    return await provider.post(f"/v1/provider-hooks/{source_id}", content=token, headers=SET)


@pytest.mark.parametrize("kind", [f"{OAUTH}tokens-revoked", f"{RISC}account-disabled"])
@pytest.mark.parametrize("subject_type", ["iss-sub", "iss_sub", "id_token_claims"])
async def test_events_of_a_user_disable_the_account_that_is_his(
    service: Service,
    admin: httpx.AsyncClient,
    provider: httpx.AsyncClient,
    whoami: WhoamiServer,
    source_id: str,
    *,
    kind: str,
    subject_type: str,
) -> None:
    account_id, _ = await an_account(admin, whoami, source_id)
    other, _ = await an_account(admin, whoami, source_id, "another")
    subject = {**google_user(), "subject_type": subject_type}
    answer = await told(provider, source_id, signed(google_claims(kind, subject, datetime.now(UTC)), KEY))
    assert (answer.status_code, answer.content) == (202, b"")
    assert await state_of(admin, account_id) == ("disabled", "uninstalled")
    assert await state_of(admin, other) == ("active", None)
    assert await events_of(service, account_id) == ["created", "activated", "disabled"]
    assert counted(service, "google") == {"disabled": 1.0}


@pytest.mark.parametrize("alg", ["hash_base64_sha512_sha512", "prefix"])
@pytest.mark.parametrize("arrival", ["created", "authorised again", "imported"])
async def test_an_event_of_one_token_disables_the_account_that_came_with_it(
    admin: httpx.AsyncClient,
    provider: httpx.AsyncClient,
    whoami: WhoamiServer,
    source_id: str,
    *,
    arrival: str,
    alg: str,
) -> None:
    account_id, grant = await an_account(admin, whoami, source_id)
    other, _ = await an_account(admin, whoami, source_id, "another")
    if arrival == "authorised again":
        former, grant = grant, f"1//0{uuid4().hex}"
        whoami.people["access-anew"] = USER
        anew = {"access_token": "access-anew", "refresh_token": grant, "expires_in": 3600}
        data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=anew))
        claims = google_claims(f"{OAUTH}token-revoked", google_token(former, alg), datetime.now(UTC))
        assert (await told(provider, source_id, signed(claims, KEY))).status_code == 202
        assert await state_of(admin, account_id) == ("active", None)
    if arrival == "imported":
        grant = f"1//0{uuid4().hex}"
        line = {"source_id": source_id, "credentials": {"access_token": "imported", "refresh_token": grant}}
        ndjson = {"content-type": "application/x-ndjson"}
        imported = (await admin.post("/v1/accounts/import", json=line, headers=ndjson)).json()
        account_id = imported["id"]
    claims = google_claims(f"{OAUTH}token-revoked", google_token(grant, alg), datetime.now(UTC))
    assert (await told(provider, source_id, signed(claims, KEY))).status_code == 202
    assert await state_of(admin, account_id) == ("disabled", "uninstalled")
    assert await state_of(admin, other) == ("active", None)


async def test_no_refresh_token_can_be_read_off_what_it_is_found_by(
    service: Service, admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    _, grant = await an_account(admin, whoami, source_id)
    rows = await service.sql("SELECT token_mark, prefix_mark FROM imported_grants WHERE token_mark IS NOT NULL")
    assert rows
    for row in rows:
        assert grant[:16].encode() not in row["token_mark"] + row["prefix_mark"]
        assert (len(row["token_mark"]), len(row["prefix_mark"])) == (32, 32)


async def test_the_verification_event_and_what_says_nothing_of_grants_are_answered(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    account_id, _ = await an_account(admin, whoami, source_id)
    claims = google_claims(f"{RISC}verification", None, datetime.now(UTC))
    claims["events"] = {
        f"{RISC}verification": {"state": "ABC"},
        f"{RISC}sessions-revoked": {"subject": google_user()},
        "https://schemas.openid.net/secevent/caep/event-type/unheard-of": {"subject": google_user()},
        f"{OAUTH}tokens-revoked": {"subject": {"subject_type": "email", "email": "a@b.example"}},
    }
    assert (await told(provider, source_id, signed(claims, KEY))).status_code == 202
    assert await state_of(admin, account_id) == ("active", None)
    assert counted(service, "google") == {"ignored": 3.0, "illegible": 1.0}


async def test_an_event_says_nothing_of_a_grant_that_is_younger(
    service: Service, admin: httpx.AsyncClient, provider: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    account_id, _ = await an_account(admin, whoami, source_id)
    # The page's own example, word for word: its iat is of 2017.
    claims = google_claims(f"{RISC}account-disabled", google_user(), datetime.now(UTC)) | {"iat": 1508184845}
    assert (await told(provider, source_id, signed(claims, KEY))).status_code == 202
    assert await state_of(admin, account_id) == ("active", None)
    just = datetime.now(UTC)
    later = google_claims(f"{RISC}account-disabled", google_user(), datetime.now(UTC)) | {"iat": int(just.timestamp())}
    assert (await told(provider, source_id, signed(later, KEY))).status_code == 202
    assert await state_of(admin, account_id) == ("disabled", "uninstalled")
    assert counted(service, "google") == {"moot": 1.0, "disabled": 1.0}


@pytest.mark.parametrize(
    "fault",
    ["other client", "other issuer", "foreign key", "no key", "made-up key", "a secret's", "no token", "subject"],
)
async def test_a_token_that_is_not_googles_or_not_for_us_changes_nothing_and_is_counted(
    service: Service,
    admin: httpx.AsyncClient,
    provider: httpx.AsyncClient,
    whoami: WhoamiServer,
    source_id: str,
    *,
    fault: str,
) -> None:
    account_id, _ = await an_account(admin, whoami, source_id)
    claims = google_claims(f"{OAUTH}tokens-revoked", google_user(), datetime.now(UTC))
    octets = OctKey.import_key("s" * 32, {"kid": "google-1"})
    tokens = {
        "other client": signed(claims | {"aud": "another"}, KEY),
        "other issuer": signed(claims | {"iss": "https://evil.example/"}, KEY),
        "foreign key": signed(claims, a_key(str(KEY.kid))),
        "no key": signed(claims, KEY, kid=""),
        "made-up key": signed(claims, KEY, kid="made-up"),
        "a secret's": signed(claims, octets, kid=KEY.kid, alg="HS256"),
        "no token": b"nonsense",
        "subject": signed(
            google_claims(
                f"{OAUTH}tokens-revoked", {**google_user(), "iss": "https://evil.example"}, datetime.now(UTC)
            ),
            KEY,
        ),
    }
    answer = await told(provider, source_id, tokens[fault])
    assert await state_of(admin, account_id) == ("active", None)
    if fault == "subject":  # proven, and about somebody else's user
        assert answer.status_code == 202
        assert counted(service, "google") == {"illegible": 1.0}
    else:
        problem(answer, 401, "not_authenticated")
        assert counted(service, "google") == {"refused": 1.0}


async def test_while_its_keys_can_not_be_had_google_is_asked_to_come_again(
    service: Service,
    admin: httpx.AsyncClient,
    provider: httpx.AsyncClient,
    whoami: WhoamiServer,
    source_id: str,
    *,
    issuer: IssuerServer,
) -> None:
    account_id, _ = await an_account(admin, whoami, source_id)
    issuer.away = True
    token = signed(google_claims(f"{OAUTH}tokens-revoked", google_user(), datetime.now(UTC)), KEY)
    away = await told(provider, source_id, token)
    assert problem(away, 503, "provider_unavailable")["retry_after"] == 5
    assert await state_of(admin, account_id) == ("active", None)
    assert counted(service, "google") == {}


async def test_an_id_token_is_no_security_event_token(provider: httpx.AsyncClient, source_id: str) -> None:
    long_ago = int(datetime.now(UTC).timestamp()) - 86_400
    claims = {
        "iss": "https://accounts.google.com",
        "aud": GOOGLE_CLIENT,
        "sub": USER,
        "iat": long_ago,
        "exp": long_ago + 60,
    }
    problem(await told(provider, source_id, signed(claims, KEY)), 401, "not_authenticated")
