"""Accounts erased, and their grants revoked at the provider."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from joserfc.jwk import OctKey

from api_service import Service, data, problem
from assertion_check import AssertionCheck
from revocation_server import RevocationServer
from token_server import TokenServer, says
from tokenkeep.domain.ids import IdKind, parse_id
from tokenkeep.domain.secret import Secret

PAST = "2020-01-01T00:00:00Z"
TOKEN_URL = "https://93.184.215.14/token"


@pytest.fixture
async def revocations(service: Service) -> AsyncIterator[RevocationServer]:
    """An endpoint, and neither requests in the database but the test's own nor grants: all tests are one client's."""
    for table in ("revocation_requests", "revocation_hosts", "imported_grants", "account_identities"):
        await service.sql(f"DELETE FROM {table}")  # noqa: S608 - a list of ours
    async with RevocationServer() as started:
        yield started


def uuid_of(account_id: str) -> UUID:
    return parse_id(IdKind.ACCOUNT, account_id)


async def revoke(service: Service) -> int:
    """One round of a worker."""
    assert service.queue.refreshing is not None
    return await service.queue.refreshing.revoke()


async def pending(service: Service) -> int:
    return len(await service.sql("SELECT id FROM revocation_requests"))


async def make_due(service: Service) -> None:
    await service.sql("UPDATE revocation_requests SET next_try_at = now()")


async def delete(admin: httpx.AsyncClient, account_id: str) -> None:
    answer = await admin.delete(f"/v1/accounts/{account_id}")
    assert (answer.status_code, answer.content) == (204, b"")


async def test_a_client_that_signs_signs_revocations_too_for_the_token_endpoint(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    secret = "a secret of some length, as servers give them"
    options = {"revocation_url": revocations.url, "token_endpoint_auth_method": "client_secret_jwt"}
    source_id = await service.source(TOKEN_URL, client_secret=secret, **options)
    await delete(admin, await service.account(source_id))
    assert await revoke(service) == 1
    [form] = revocations.revoked
    claims = AssertionCheck(OctKey.import_key(secret), audience=TOKEN_URL).accept(Secret(form["client_assertion"]))
    assert claims["sub"] == form["client_id"] == "client"
    assert revocations.authorizations == [""]


async def test_a_deleted_account_is_gone_and_its_grant_is_revoked(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, revocations: RevocationServer
) -> None:
    account_id = await service.account(await service.source(server.url, revocation_url=revocations.url))
    data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
    await delete(admin, account_id)
    assert await revoke(service) == 1
    assert revocations.revoked == [{"token": "grant.2", "token_type_hint": "refresh_token"}]
    assert revocations.authorizations[0].startswith("Basic ")
    assert await pending(service) == 0
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/token"), ("POST", "/release"), ("POST", "/enable")):
        problem(await admin.request(method, f"/v1/accounts/{account_id}{path}"), 404, "not_found")
    named = (
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'account_id'"
    )
    for table in (row["table_name"] for row in await service.sql(named)):
        rows = await service.sql(f"SELECT account_id FROM {table} WHERE account_id = :id", id=uuid_of(account_id))  # noqa: S608 - its own names
        assert rows == [], table
    events = await service.sql(
        "SELECT sequence, type, data FROM events WHERE subject = :id ORDER BY sequence", id=uuid_of(account_id)
    )
    assert [row["sequence"] for row in events] == [1, 2, 3, 4]
    assert (events[-1]["type"], events[-1]["data"]["state"]) == ("tokenkeep.account.deleted", "deleted")
    # What was asked in vain since may be noted by now as well.
    done = [
        one for one in data(await admin.get("/v1/audit")) if (one["action"], one["result"]) == ("account.delete", "ok")
    ]
    assert [one["target"] for one in done] == [account_id]


async def test_what_cannot_or_need_not_be_revoked_is_only_erased(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, revocations: RevocationServer
) -> None:
    source_id = await service.source(server.url, revocation_url=revocations.url)
    pending_one = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)["id"]
    without = await service.account(await service.source(server.url), "without")
    released = await service.account(source_id, "released")
    data(await admin.post(f"/v1/accounts/{released}/release"))
    server.script.append(says(400, {"error": "invalid_grant"}))
    revoked = await service.account(source_id, "revoked", expires_in=None, expires_at=PAST)
    problem(await admin.post(f"/v1/accounts/{revoked}/token"), 409, "reauthorization_required")
    for account_id in (pending_one, without, released, revoked):
        await delete(admin, account_id)
    assert await pending(service) == 0


async def test_a_token_that_cannot_be_opened_keeps_no_account_alive(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    account_id = await service.account(await service.source(TOKEN_URL, revocation_url=revocations.url))
    await service.sql(
        "UPDATE credentials SET refresh_ciphertext = 'lost' WHERE account_id = :id", id=uuid_of(account_id)
    )
    await delete(admin, account_id)
    assert await pending(service) == 0
    [entry] = [one for one in data(await admin.get("/v1/audit")) if one["action"] == "account.delete"]
    assert entry["result"] == "not_revoked"


async def test_a_token_that_comes_after_the_deletion_is_revoked_too(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, revocations: RevocationServer
) -> None:
    account_id = await service.account(await service.source(server.url, revocation_url=revocations.url))
    server.gate = asyncio.Event()
    data(await admin.post(f"/v1/accounts/{account_id}/refresh"), 202)
    await asyncio.wait_for(server.arrived.wait(), 10)
    await delete(admin, account_id)
    server.gate.set()
    await service.queue.drain()
    await revoke(service)
    assert sorted(revocations.tokens) == ["grant.1", "grant.2"]
    assert await pending(service) == 0
    left = "SELECT account_id FROM refresh_attempts WHERE account_id = :id UNION SELECT account_id FROM receipts"
    assert await service.sql(f"{left} WHERE account_id = :id", id=uuid_of(account_id)) == []


async def test_a_late_token_of_a_released_account_is_not_taken_from_its_owner(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, revocations: RevocationServer
) -> None:
    account_id = await service.account(await service.source(server.url, revocation_url=revocations.url))
    server.gate = asyncio.Event()
    data(await admin.post(f"/v1/accounts/{account_id}/refresh"), 202)
    await asyncio.wait_for(server.arrived.wait(), 10)
    await service.sql(
        "UPDATE leases SET sent_at = sent_at - interval '6 minutes' WHERE account_id = :id", id=uuid_of(account_id)
    )
    data(await admin.post(f"/v1/accounts/{account_id}/release"))
    await delete(admin, account_id)
    server.gate.set()
    await service.queue.drain()
    assert await pending(service) == 0


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, b""),
        (500, b"oops"),
        (401, b'{"error": "invalid_client"}'),
        (400, b'{"error": "invalid_client"}'),
        (429, b""),
        (404, b"<html>"),
        (302, b""),
    ],
)
async def test_a_provider_that_is_away_or_does_not_know_us_is_asked_again_later(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, status: int, body: bytes
) -> None:
    revocations.script.append((status, body))
    await delete(admin, await service.account(await service.source(TOKEN_URL, revocation_url=revocations.url)))
    assert await revoke(service) == 1
    assert await revoke(service) == 0
    assert await pending(service) == 1
    await make_due(service)
    assert await revoke(service) == 1
    assert revocations.tokens == ["grant.1", "grant.1"]
    assert await pending(service) == 0


@pytest.mark.parametrize("error", ["unsupported_token_type", "invalid_request"])
async def test_a_provider_that_refuses_for_good_is_not_asked_again(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, error: str
) -> None:
    revocations.script.append((400, b'{"error": "%s"}' % error.encode()))
    await delete(admin, await service.account(await service.source(TOKEN_URL, revocation_url=revocations.url)))
    await revoke(service)
    assert await pending(service) == 0


@pytest.mark.usefixtures("revocations")
@pytest.mark.parametrize("long_enough", ["SET tries = 9", "SET created_at = now() - interval '4 days'"])
async def test_an_endpoint_that_never_answers_is_given_up(
    service: Service, admin: httpx.AsyncClient, long_enough: str
) -> None:
    nowhere = "http://127.0.0.1:9/revoke"
    await delete(admin, await service.account(await service.source(TOKEN_URL, revocation_url=nowhere)))
    await revoke(service)
    assert await pending(service) == 1
    await make_due(service)
    await service.sql(f"UPDATE revocation_requests {long_enough}")
    await revoke(service)
    assert await pending(service) == 0


async def test_two_workers_never_work_on_the_same_request(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    source_id = await service.source(TOKEN_URL, revocation_url=revocations.url)
    for number in range(6):
        await delete(admin, await service.account(source_id, f"g{number}"))
    assert sum(await asyncio.gather(*(revoke(service) for _ in range(4)))) == 6
    assert sorted(revocations.tokens) == [f"g{number}.1" for number in range(6)]


async def test_a_grant_that_comes_back_is_not_revoked_for_the_account_it_had(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, revocations: RevocationServer
) -> None:
    source_id = await service.source(server.url, revocation_url=revocations.url)
    await delete(admin, await service.account(source_id))
    assert await pending(service) == 1
    account_id = await service.account(source_id)
    assert await pending(service) == 0
    assert await revoke(service) == 0
    assert data(await admin.get(f"/v1/accounts/{account_id}"))["state"] == "active"
