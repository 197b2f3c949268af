"""Credentials handed back to their owner: once, the same for all who ask, and erased afterwards."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from itertools import product
from typing import Any
from uuid import UUID

import httpx
import pytest

from api_service import Service, data, problem
from databases import migrated_database
from token_server import TokenServer, says
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.errors import VaultError
from tokenkeep.domain.ids import IdKind, parse_id
from tokenkeep_api.app import create_app

PAST = "2020-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def api_database_url(postgres_url: str) -> str:
    """A database of this file's own: some of its tests open every ciphertext of every table."""
    return migrated_database(postgres_url, "of_releases")


def uuid_of(account_id: str) -> UUID:
    return parse_id(IdKind.ACCOUNT, account_id)


async def told(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return [event["type"].removeprefix("tokenkeep.account.") for event in reversed(events)]


async def in_flight(service: Service, server: TokenServer, account_id: str) -> None:
    """A refresh of the account is on the wire until the server's gate opens."""
    server.gate = asyncio.Event()
    async with service.client() as admin:
        assert (await admin.post(f"/v1/accounts/{account_id}/refresh")).status_code == 202
    await asyncio.wait_for(server.arrived.wait(), 10)


def hurried(service: Service) -> httpx.AsyncClient:
    """A client of an API that does not wait for a refresh in flight."""
    wired = service.wired
    service.app = create_app(replace(wired, release_custody=replace(wired.release_custody, longest_wait=timedelta(0))))
    return service.client()


async def test_a_release_gives_the_tokens_back_and_disables_the_account(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url), scopes=["read"])
    released = data(await admin.post(f"/v1/accounts/{account_id}/release"))
    assert list(released) == ["refresh_token", "access_token", "expires_at", "scopes", "confirm_before"]
    assert (released["refresh_token"], released["access_token"]) == ("grant.1", "access-grant.1")
    account = data(await admin.get(f"/v1/accounts/{account_id}"))
    assert (account["state"], account["custody"], account["next_refresh_at"]) == ("disabled", "released", None)
    assert (account["disabled"]["reason"], account["disabled"]["by"]) == ("released", "admin-key")
    assert await told(admin, account_id) == ["created", "activated", "released"]
    problem(await admin.post(f"/v1/accounts/{account_id}/token"), 409, "account_disabled")
    problem(await admin.post(f"/v1/accounts/{account_id}/refresh"), 409, "account_disabled")
    problem(await admin.post(f"/v1/accounts/{account_id}/enable"), 409, "reauthorization_required")
    assert server.presented == []


async def test_all_who_ask_get_the_same_answer_and_the_account_changes_once(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    answers = await asyncio.gather(*(admin.post(f"/v1/accounts/{account_id}/release", json={}) for _ in range(10)))
    first = data(answers[0])
    assert all(data(answer) == first for answer in answers)
    assert data(await admin.post(f"/v1/accounts/{account_id}/release")) == first
    assert await told(admin, account_id) == ["created", "activated", "released"]
    audited = [one for one in data(await admin.get("/v1/audit")) if one["action"] == "account.release"]
    assert len(audited) == 11
    assert {one["target"] for one in audited} == {account_id}


async def test_a_release_waits_for_a_refresh_in_flight_and_gives_its_token(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    await in_flight(service, server, account_id)
    async with hurried(service) as hasty:
        answer = await hasty.post(f"/v1/accounts/{account_id}/release")
        assert int(answer.headers["retry-after"]) >= 1
        problem(answer, 503, "refresh_in_flight")
    asking = asyncio.create_task(admin.post(f"/v1/accounts/{account_id}/release"))
    assert server.gate is not None
    server.gate.set()
    assert data(await asking)["refresh_token"] == "grant.2"
    assert server.presented == ["grant.1"]
    assert await told(admin, account_id) == ["created", "activated", "refreshed", "released"]


async def test_a_young_doubt_is_waited_for_and_an_old_one_is_told(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    server.script.append(says(500, {}))
    account_id = await service.account(await service.source(server.url))
    data(await admin.post(f"/v1/accounts/{account_id}/refresh"), 202)
    await service.queue.drain()
    async with hurried(service) as hasty:
        answer = await hasty.post(f"/v1/accounts/{account_id}/release")
        assert 240 < int(answer.headers["retry-after"]) <= 300
        problem(answer, 503, "refresh_in_flight")
        await service.sql(
            "UPDATE leases SET doubt_since = doubt_since - interval '5 minutes' WHERE account_id = :id",
            id=uuid_of(account_id),
        )
        released = data(await hasty.post(f"/v1/accounts/{account_id}/release"))
    assert (released["refresh_token"], released["in_doubt"]) == ("grant.1", True)
    assert server.presented == ["grant.1"]


async def forgotten_flight(service: Service, server: TokenServer, account_id: str) -> dict[str, Any]:
    """What is handed back while a worker is silent over a refresh that it sent six minutes ago."""
    await in_flight(service, server, account_id)
    await service.sql(
        "UPDATE leases SET sent_at = sent_at - interval '6 minutes' WHERE account_id = :id", id=uuid_of(account_id)
    )
    async with service.client() as admin:
        released: dict[str, Any] = data(await admin.post(f"/v1/accounts/{account_id}/release"))
    return released


async def test_a_late_answer_before_the_confirmation_is_the_owners(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    released = await forgotten_flight(service, server, account_id)
    assert (released["refresh_token"], released["in_doubt"]) == ("grant.1", True)
    [attempt] = data(await admin.get(f"/v1/accounts/{account_id}/attempts"))
    assert attempt["outcome"] == "in_doubt"
    assert server.gate is not None
    server.gate.set()
    await service.queue.drain()
    too_soon = await admin.post(f"/v1/accounts/{account_id}/release/confirm")
    assert (too_soon.status_code, too_soon.json()["code"]) == (409, "credentials_changed")
    again = data(await admin.post(f"/v1/accounts/{account_id}/release"))
    assert again["refresh_token"] == "grant.2"
    assert "in_doubt" not in again
    assert again["confirm_before"] == released["confirm_before"]
    account = data(await admin.get(f"/v1/accounts/{account_id}"))
    assert (account["state"], account["disabled"]["reason"], account["custody"]) == ("disabled", "released", "released")
    assert server.presented == ["grant.1"]
    data(await admin.post(f"/v1/accounts/{account_id}/release/confirm"))


async def test_a_late_answer_after_the_confirmation_goes_nowhere(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url, revocation_url="http://127.0.0.1:9/revoke")
    account_id = await service.account(source_id, "late")
    await forgotten_flight(service, server, account_id)
    data(await admin.post(f"/v1/accounts/{account_id}/release/confirm"))
    assert server.gate is not None
    server.gate.set()
    await service.queue.drain()
    problem(await admin.post(f"/v1/accounts/{account_id}/release"), 410, "credentials_erased")
    assert await found(service, "late.2") == []
    requests = await service.sql(
        "SELECT account_id FROM revocation_requests WHERE account_id = :id", id=uuid_of(account_id)
    )
    assert requests == []


async def test_a_confirmed_release_leaves_nothing_of_the_refresh_token(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    body = {
        "source_id": source_id,
        "credentials": {"access_token": "access-canary-erased", "refresh_token": "canary-erased.1", "expires_in": 3600},
    }
    created = await admin.post("/v1/accounts", json=body, headers={"Idempotency-Key": "erased-1"})
    account_id = data(created, 201)["id"]
    assert await found(service, "canary-erased.1")
    data(await admin.post(f"/v1/accounts/{account_id}/refresh"), 202)
    await service.queue.drain()
    data(await admin.post(f"/v1/accounts/{account_id}/release"))
    assert await found(service, "canary-erased.2")
    erased = data(await admin.post(f"/v1/accounts/{account_id}/release/confirm"))
    assert data(await admin.post(f"/v1/accounts/{account_id}/release/confirm", json={})) == erased
    for token in ("canary-erased.1", "canary-erased.2", "access-canary-erased"):
        assert await found(service, token) == []
    for table in ("credentials", "receipts", "imported_grants", "source_revocations", "revocation_requests"):
        rows = await service.sql(f"SELECT account_id FROM {table} WHERE account_id = :id", id=uuid_of(account_id))  # noqa: S608 - ours
        assert rows == [], table
    problem(await admin.post(f"/v1/accounts/{account_id}/release"), 410, "credentials_erased")
    problem(await admin.post(f"/v1/accounts/{account_id}/token"), 409, "account_disabled")
    enabled = await admin.post(f"/v1/accounts/{account_id}/enable")
    assert problem(enabled, 409, "reauthorization_required")["reason"] == "released"
    assert data(await admin.post(f"/v1/accounts/{account_id}/disable"))["disabled"]["reason"] == "released"
    assert await told(admin, account_id) == ["created", "activated", "refreshed", "released"]


async def test_what_nobody_confirms_is_erased_when_its_time_is_over(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    overdue, kept = await service.account(source_id, "never-confirmed"), await service.account(source_id, "kept")
    for account_id in (overdue, kept):
        data(await admin.post(f"/v1/accounts/{account_id}/release"))
    await service.sql("UPDATE releases SET confirm_before = now() WHERE account_id = :id", id=uuid_of(overdue))
    assert await found(service, "never-confirmed.1")
    await keep_house(service.foundation.database, audit_days=0)
    problem(await admin.post(f"/v1/accounts/{overdue}/release"), 410, "credentials_erased")
    assert await found(service, "never-confirmed.1") == []
    assert data(await admin.post(f"/v1/accounts/{kept}/release"))["refresh_token"] == "kept.1"


async def test_what_is_not_in_custody_is_not_handed_back(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    short = await service.account(source_id, "short", refresh_token=None)
    problem(await admin.post(f"/v1/accounts/{short}/release"), 409, "not_held")
    problem(await admin.post(f"/v1/accounts/{short}/release/confirm"), 409, "not_released")
    pending = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)["id"]
    problem(await admin.post(f"/v1/accounts/{pending}/release"), 409, "account_pending")
    problem(await admin.post(f"/v1/accounts/{pending}/release/confirm"), 409, "account_pending")
    server.script.append(says(400, {"error": "invalid_grant"}))
    revoked = await service.account(source_id, "revoked", expires_in=None, expires_at=PAST)
    problem(await admin.post(f"/v1/accounts/{revoked}/token"), 409, "reauthorization_required")
    problem(await admin.post(f"/v1/accounts/{revoked}/release"), 409, "reauthorization_required")
    assert await told(admin, revoked) == ["created", "activated", "disabled"]


async def test_a_pause_or_an_operators_word_is_no_obstacle(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    disabled, other = await service.account(source_id, "off"), await service.account(source_id, "other")
    data(await admin.post(f"/v1/accounts/{disabled}/disable"))
    data(await admin.post(f"/v1/sources/{source_id}/pause"))
    for account_id, token in ((disabled, "off.1"), (other, "other.1")):
        assert data(await admin.post(f"/v1/accounts/{account_id}/release"))["refresh_token"] == token
        account = data(await admin.get(f"/v1/accounts/{account_id}"))
        assert account["disabled"]["reason"] == "released"
    assert await told(admin, disabled) == ["created", "activated", "disabled", "released"]


@pytest.mark.parametrize("confirmed", [False, True])
async def test_a_released_account_comes_back_with_new_credentials(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, *, confirmed: bool
) -> None:
    account_id = await service.account(await service.source(server.url), expires_in=None, expires_at=PAST)
    data(await admin.post(f"/v1/accounts/{account_id}/token"))
    data(await admin.post(f"/v1/accounts/{account_id}/release"))
    if confirmed:
        data(await admin.post(f"/v1/accounts/{account_id}/release/confirm"))
    tokens = {"access_token": "access-new.1", "refresh_token": "new.1", "expires_at": PAST}
    back = data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=tokens))
    assert (back["id"], back["state"], back["custody"], back["disabled"]) == (account_id, "active", "held", None)
    # Refreshed under the mirror in Redis that remembers the generations of before.
    assert data(await admin.post(f"/v1/accounts/{account_id}/token"))["access_token"] == "access-new.2"
    assert data(await admin.post(f"/v1/accounts/{account_id}/release"))["refresh_token"] == "new.2"
    assert await told(admin, account_id) == [
        "created", "activated", "refreshed", "released", "reauthorized", "refreshed", "released",
    ]  # fmt: skip


async def found(service: Service, token: str) -> list[str]:
    """In which tables anything of a token is: in clear, as its SHA-256, or in a ciphertext that opens."""
    digest = sha256(token.encode()).hexdigest()
    needles = (token, token.encode().hex(), digest)
    tables = await service.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
    places = []
    for table in (row["table_name"] for row in tables):
        rows = await service.sql(f'SELECT t.*, t::text AS whole FROM "{table}" AS t')  # noqa: S608
        in_clear = any(needle in row["whole"] for row in rows for needle in needles)
        if in_clear or any(token in plaintext for row in rows for plaintext in opened(service, row)):
            places.append(table)
    return places


def opened(service: Service, row: Any) -> list[str]:
    """The plaintexts of a row, whatever its columns are."""
    if "wrapped_key" not in row or row["wrapped_key"] is None:
        return []
    vault = service.wired.release_custody.sealer.vault
    key = SealedKey(row["key_id"], row["wrapped_key"])
    owners = [row[name] for name in ("account_id", "id", "owner") if row.get(name) is not None]
    fields = ("access", "refresh", "receipt", "revocation", "revocation_access", "client_secret", "answer")
    pairs = (("epoch", "generation"), ("epoch", "fence"))
    versions = [(row[one], row[other]) for one, other in pairs if one in row and other in row]
    versions += [(0, 0), (1, 0)]
    ciphertexts = [bytes(row[name]) for name in row if name.endswith("ciphertext") and row[name] is not None]
    plaintexts = []
    for owner, field, version, ciphertext in product(owners, fields, versions, ciphertexts):
        try:
            plaintexts.append(vault.open(owner, key, field, version, ciphertext).decode())
        except VaultError:
            continue
    return plaintexts
