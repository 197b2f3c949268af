"""Grants that are given up, until their providers have revoked them: in which way, how often, and what is told of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog

from api_service import Service, data, open_service, problem
from revocation_server import RevocationServer
from token_server import TokenServer
from tokenkeep.domain.ids import IdKind, parse_id

TOKEN_URL = "https://93.184.215.14/token"
CANARY = "canary-4f1c"


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


async def pending(service: Service) -> list[Any]:
    rows: list[Any] = await service.sql("SELECT * FROM revocation_requests")
    return rows


async def make_due(service: Service) -> None:
    await service.sql("UPDATE revocation_requests SET next_try_at = now()")


async def give_up(admin: httpx.AsyncClient, account_id: str) -> None:
    assert (await admin.delete(f"/v1/accounts/{account_id}")).status_code == 204


async def disable(admin: httpx.AsyncClient, account_id: str) -> Any:
    return data(await admin.post(f"/v1/accounts/{account_id}/disable?revoke=true"))


async def verify(service: Service, account_id: str) -> None:
    """As if the provider had told whose it is."""
    await service.sql("UPDATE accounts SET external_id_verified = true WHERE id = :id", id=uuid_of(account_id))
    await service.sql(
        "INSERT INTO account_identities SELECT source_id, external_id, id FROM accounts WHERE id = :id",
        id=uuid_of(account_id),
    )


async def audited(admin: httpx.AsyncClient, account_id: str) -> list[tuple[str, str, str]]:
    entries = data(await admin.get("/v1/audit"))
    return [(one["actor"], one["action"], one["result"]) for one in entries if one["target"] == account_id]


def counted(service: Service, result: str) -> float:
    page = service.foundation.metrics.render("")[0].decode()
    name = f'tokenkeep_revocations_total{{provider="generic-oauth2",result="{result}"}} '
    return sum(float(line.removeprefix(name)) for line in page.splitlines() if line.startswith(name))


# Ways


async def test_a_token_that_never_had_a_refresh_token_beside_it_is_revoked_as_well(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    source_id = await service.source(TOKEN_URL, revocation_url=revocations.url)
    account_id = await service.account(source_id, "bare", refresh_token=None)
    await give_up(admin, account_id)
    [row] = await pending(service)
    assert row["ciphertext"] is None
    assert await revoke(service) == 1
    assert revocations.revoked == [{"token": "access-bare.1", "token_type_hint": "access_token"}]
    assert ("tokenkeep", "account.revoke", "revoked") in await audited(admin, account_id)


async def test_a_source_may_say_that_the_access_token_itself_asks(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    options = {"revocation_url": revocations.url, "revocation_method": "DELETE", "revocation_auth": "bearer"}
    account_id = await service.account(await service.source(TOKEN_URL, **options))
    await give_up(admin, account_id)
    [row] = await pending(service)
    assert row["ciphertext"] is None, "the refresh token is not needed, so it is not kept"
    assert row["access_ends_at"] is not None
    revocations.script.append((401, b""))
    assert await revoke(service) == 1
    [asked] = revocations.asked
    assert (asked.method, asked.target, asked.body) == ("DELETE", "/revoke", "")
    assert asked.headers["authorization"] == "Bearer access-grant.1"
    assert ("tokenkeep", "account.revoke", "revoked") in await audited(admin, account_id)


async def test_an_access_token_that_had_run_out_does_not_prove_its_grant_dead(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    options = {"revocation_url": revocations.url, "revocation_auth": "bearer"}
    account_id = await service.account(await service.source(TOKEN_URL, **options))
    await give_up(admin, account_id)
    await service.sql("UPDATE revocation_requests SET access_ends_at = now() - interval '1 minute'")
    revocations.script.append((401, b""))
    await revoke(service)
    assert ("tokenkeep", "account.revoke", "refused") in await audited(admin, account_id)


async def test_parameters_of_its_own_are_sent_where_the_provider_wants_them(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    options: dict[str, Any] = {
        "revocation_url": revocations.url,
        "revocation_method": "DELETE",
        "revocation_format": "json",
        "revocation_params": {"access_token": "{access_token}", "id": "{client_id}"},
    }
    await give_up(admin, await service.account(await service.source(TOKEN_URL, **options)))
    await revoke(service)
    [asked] = revocations.asked
    assert (asked.method, json.loads(asked.body)) == ("DELETE", {"access_token": "access-grant.1", "id": "client"})
    assert asked.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"revocation_method": "PUT"}, "options.revocation_method"),
        ({"revocation_token": "id_token"}, "options.revocation_token"),
        ({"revocation_auth": "header host: {access_token}"}, "options.revocation_auth"),
        ({"revocation_auth": "header x-a: {refresh_token}"}, "options.revocation_auth"),
        ({"revocation_params": {"a": "{client_secret}"}}, "options.revocation_params.a"),
        ({"revocation_params": {"a": 1}}, "options.revocation_params.a"),
        ({"revocation_format": "xml"}, "options.revocation_format"),
        ({"revocation_url": "https://93.184.215.14/{access_token}"}, "options.revocation_url"),
    ],
)
async def test_a_wrong_way_is_refused_when_the_source_is_made(
    admin: httpx.AsyncClient, options: dict[str, Any], field: str
) -> None:
    body = {"provider": "generic-oauth2", "name": "n", "client_id": "c", "options": {"token_url": TOKEN_URL, **options}}
    problem(await admin.post("/v1/sources", json=body), 422, "invalid_input", field)


async def test_a_secret_in_an_address_is_seen_by_nobody_but_the_provider(
    api_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        revocations = await stack.enter_async_context(RevocationServer())
        (tmp_path / "acme.yaml").write_text(
            "name: Acme\nauth_type: oauth2\ntoken_url: http://127.0.0.1:9/token\nrevocation_method: DELETE\n"
            f"revocation_auth: none\nrevocation_url: '{revocations.origin}/tokens/{{refresh_token}}'\n"
        )
        service = await stack.enter_async_context(open_service(api_database_url, redis_url, providers_dir=tmp_path))
        admin = await stack.enter_async_context(service.client())
        await service.sql("DELETE FROM revocation_requests")
        body = {"provider": "acme", "name": "n", "client_id": "c"}
        source_id = data(await admin.post("/v1/sources", json=body), 201)["id"]
        for status in (503, 500, 404):
            revocations.script.append((status, b""))
        with structlog.testing.capture_logs() as log:
            await give_up(admin, await service.account(source_id, CANARY))
            for _ in range(3):
                await make_due(service)
                assert await revoke(service) == 1
            gone = await service.account(source_id, f"{CANARY}.b")
            origin = revocations.origin
            await revocations.__aexit__(None, None, None)
            await give_up(admin, gone)
            await revoke(service)
        assert [one.target for one in revocations.asked] == [f"/tokens/{CANARY}.1"] * 3
        assert service.queue.refreshing is not None
        metrics = service.foundation.metrics.render("")[0].decode()
        audit = (await admin.get("/v1/audit")).text
        known = repr(service.queue.refreshing.endpoints._origins)  # a cache whose keys are addresses
        assert f"{origin}/tokens/" in known
        for seen in (repr(log), metrics, audit, known):
            assert CANARY not in seen
        assert 'provider="acme",result="revoked"' in metrics
        await service.sql("DELETE FROM revocation_requests")


# Tries


async def test_a_provider_that_names_a_wait_is_left_alone_for_it(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    await give_up(admin, await service.account(await service.source(TOKEN_URL, revocation_url=revocations.url)))
    revocations.script.append((429, b"", {"retry-after": "1800"}))
    await revoke(service)
    [row] = await service.sql("SELECT next_try_at - now() AS wait, tries FROM revocation_requests")
    assert timedelta(minutes=29) < row["wait"] <= timedelta(minutes=30)
    assert row["tries"] == 1


async def test_waits_grow_while_the_provider_is_down(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    await give_up(admin, await service.account(await service.source(TOKEN_URL, revocation_url=revocations.url)))
    waits = []
    for _ in range(4):
        revocations.script.append((503, b""))
        await make_due(service)
        assert await revoke(service) == 1
        [row] = await service.sql("SELECT next_try_at - now() AS wait FROM revocation_requests")
        waits.append(row["wait"])
    assert waits == sorted(waits)
    assert waits[-1] > 10 * waits[0]


async def test_every_end_is_counted_logged_and_audited_once(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    source_id = await service.source(TOKEN_URL, revocation_url=revocations.url)
    ids = [await service.account(source_id, f"{CANARY}{number}") for number in range(3)]
    ends = {}
    with structlog.testing.capture_logs() as log:
        for account_id, answer, end in zip(
            ids,
            [(200, b""), (400, b'{"error": "unsupported_token_type"}'), (503, b"")],
            ["revoked", "refused", "given_up"],
            strict=True,
        ):
            await give_up(admin, account_id)
            await service.sql("UPDATE revocation_requests SET tries = 9")
            revocations.script.append(answer)
            before = counted(service, end)
            assert await revoke(service) == 1
            assert counted(service, end) == before + 1
            ends[account_id] = end
    assert await revoke(service) == 0
    assert await pending(service) == []
    for account_id, end in ends.items():
        mine = [entry for entry in await audited(admin, account_id) if entry[1] == "account.revoke"]
        assert mine == [("tokenkeep", "account.revoke", end)]
    said = [line["event"] for line in log if line["event"].startswith("grant_")]
    assert said == ["grant_revoked", "grant_revocation_refused", "grant_revocation_given_up"]
    assert CANARY not in repr(log)


# Disabled with its grant


async def test_an_account_that_is_disabled_with_its_grant_is_bare_at_once_and_the_provider_is_told(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, revocations: RevocationServer
) -> None:
    account_id = await service.account(await service.source(server.url, revocation_url=revocations.url))
    shown = await disable(admin, account_id)
    assert shown["revocation"] == "requested"
    assert (shown["state"], shown["custody"], shown["next_refresh_at"]) == ("disabled", "none", None)
    assert (shown["disabled"]["reason"], shown["disabled"]["detail"]) == ("by_operator", "credentials_erased")
    for table in ("credentials", "receipts", "imported_grants"):
        rows = await service.sql(f"SELECT 1 FROM {table} WHERE account_id = :id", id=uuid_of(account_id))  # noqa: S608 - a list of ours
        assert rows == [], table
    events = await service.sql(
        "SELECT type, data FROM events WHERE subject = :id ORDER BY sequence", id=uuid_of(account_id)
    )
    assert [row["type"].rpartition(".")[2] for row in events] == ["created", "activated", "disabled"]
    assert events[-1]["data"]["reason"] == "by_operator"
    assert await revoke(service) == 1
    assert revocations.tokens == ["grant.1"]
    assert await audited(admin, account_id) == [
        ("tokenkeep", "account.revoke", "revoked"),
        ("admin-key", "account.disable", "ok"),
        ("admin-key", "account.create", "ok"),
    ]


async def test_only_a_new_authorisation_brings_it_back(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, revocations: RevocationServer
) -> None:
    account_id = await service.account(await service.source(server.url, revocation_url=revocations.url))
    await disable(admin, account_id)
    for call in ("enable", "token", "refresh"):
        refused = problem(await admin.post(f"/v1/accounts/{account_id}/{call}"), 409, "reauthorization_required")
        assert "by_operator" in refused["detail"]
    problem(await admin.post(f"/v1/accounts/{account_id}/release"), 409, "not_held")
    again = await disable(admin, account_id)
    assert again["revocation"] == "not_needed"
    assert data(await admin.post(f"/v1/accounts/{account_id}/disable"))["state"] == "disabled"
    fresh = {"access_token": "access-new.1", "refresh_token": "new.1", "expires_in": 3600}
    assert data(await admin.put(f"/v1/accounts/{account_id}/credentials", json=fresh))["state"] == "active"
    assert await revoke(service) == 0, "the same end user is back"
    token = data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
    assert token["access_token"] == "access-new.2"
    types = await service.sql("SELECT type FROM events WHERE subject = :id ORDER BY sequence", id=uuid_of(account_id))
    told = [row["type"].rpartition(".")[2] for row in types]
    assert told == ["created", "activated", "disabled", "reauthorized", "refreshed"]


async def test_one_that_was_disabled_already_is_told_no_second_time(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    account_id = await service.account(await service.source(TOKEN_URL, revocation_url=revocations.url))
    first = data(await admin.post(f"/v1/accounts/{account_id}/disable?revoke=false"))
    assert "revocation" not in first
    shown = await disable(admin, account_id)
    assert (shown["revocation"], shown["disabled"]["detail"]) == ("requested", "credentials_erased")
    assert shown["disabled"]["at"] == first["disabled"]["at"]
    events = await service.sql("SELECT type FROM events WHERE subject = :id", id=uuid_of(account_id))
    assert len(events) == 3


async def test_what_has_no_grant_of_ours_is_not_disabled_with_one(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    source_id = await service.source(TOKEN_URL, revocation_url=revocations.url)
    bare = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)["id"]
    problem(await admin.post(f"/v1/accounts/{bare}/disable?revoke=true"), 409, "account_pending")
    released = await service.account(source_id, "released")
    data(await admin.post(f"/v1/accounts/{released}/release"))
    problem(await admin.post(f"/v1/accounts/{released}/disable?revoke=true"), 409, "not_held")
    problem(await admin.post(f"/v1/accounts/{released}/disable?revoke=perhaps"), 422, "invalid_input", "revoke")
    unknown = await service.account(await service.source(TOKEN_URL), "unknown")
    assert (await disable(admin, unknown))["revocation"] == "not_possible"
    assert await pending(service) == []


async def test_a_key_that_is_lost_keeps_no_account_enabled(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    account_id = await service.account(await service.source(TOKEN_URL, revocation_url=revocations.url))
    await service.sql(
        "UPDATE credentials SET access_ciphertext = 'lost' WHERE account_id = :id", id=uuid_of(account_id)
    )
    shown = await disable(admin, account_id)
    assert (shown["state"], shown["revocation"]) == ("disabled", "failed")
    assert ("admin-key", "account.disable", "not_revoked") in await audited(admin, account_id)


# Those who come back


@pytest.mark.parametrize("returning", [{"refresh_token": None}, {"access_token": "another"}])
async def test_a_grant_is_known_again_by_either_of_its_tokens(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, returning: dict[str, Any]
) -> None:
    source_id = await service.source(TOKEN_URL, revocation_url=revocations.url)
    await give_up(admin, await service.account(source_id))
    assert len(await pending(service)) == 1
    await service.account(source_id, **returning)
    assert await pending(service) == []


async def test_a_late_token_is_not_revoked_for_a_user_who_has_come_back(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, revocations: RevocationServer
) -> None:
    source_id = await service.source(server.url, revocation_url=revocations.url)
    body = {"source_id": source_id, "external_id": "user-1"}
    old = {**body, "credentials": {"access_token": "a", "refresh_token": "grant.1", "expires_in": 3600}}
    account_id = data(await admin.post("/v1/accounts", json=old), 201)["id"]
    await verify(service, account_id)
    server.gate = asyncio.Event()
    data(await admin.post(f"/v1/accounts/{account_id}/refresh"), 202)
    await asyncio.wait_for(server.arrived.wait(), 10)
    await give_up(admin, account_id)
    new = {**body, "credentials": {"access_token": "b", "refresh_token": "new.1", "expires_in": 3600}}
    back = data(await admin.post("/v1/accounts", json=new), 201)["id"]
    await verify(service, back)
    server.gate.set()
    await service.queue.drain()
    assert len(await pending(service)) == 1, "the one for what the account had"
    await revoke(service)
    assert (revocations.asked, await pending(service)) == ([], [])
    told = [entry for entry in await audited(admin, account_id) if entry[1] == "account.revoke"]
    assert told == [("tokenkeep", "account.revoke", "superseded")] * 2
