"""Sources deleted: only when nothing of theirs is in custody, whatever is being made at the same moment."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api_service import Service, data, problem
from databases import UNHURRIED
from revocation_server import RevocationServer
from token_server import TokenServer
from tokenkeep.domain.ids import IdKind, SourceId, parse_id

TOKEN_URL = "https://93.184.215.14/token"
CONNECTABLE = {"authorization_url": "https://93.184.215.14/authorize"}


@pytest.fixture
async def revocations() -> AsyncIterator[RevocationServer]:
    async with RevocationServer() as started:
        yield started


def uuid_of(public: str) -> str:
    return public.partition("_")[2]


async def delete(admin: httpx.AsyncClient, source_id: str) -> None:
    answer = await admin.delete(f"/v1/sources/{source_id}")
    assert (answer.status_code, answer.content) == (204, b""), answer.text


async def still_there(admin: httpx.AsyncClient, source_id: str, accounts: int) -> dict[str, Any]:
    """The refusal, and that nothing was done."""
    before = data(await admin.get("/v1/accounts"))
    refused = problem(await admin.delete(f"/v1/sources/{source_id}"), 409, "source_in_use")
    assert (refused["accounts"], refused["more_accounts"]) == (accounts, False)
    assert data(await admin.get(f"/v1/sources/{source_id}"))["id"] == source_id
    assert data(await admin.get("/v1/accounts")) == before
    return refused


async def test_a_deleted_source_is_gone_with_all_that_was_its_own(service: Service, admin: httpx.AsyncClient) -> None:
    source_id, other = [await service.source(TOKEN_URL, **CONNECTABLE) for _ in range(2)]
    session = data(await admin.post("/v1/connect/sessions", json={"source_id": source_id}), 201)
    await delete(admin, source_id)
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        body = {"name": "n"} if method == "PATCH" else None
        answer = await admin.request(method, f"/v1/sources/{source_id}{path}", json=body)
        problem(answer, 404, "not_found")
    assert [one["id"] for one in data(await admin.get("/v1/sources"))] == [other]
    assert (await admin.get(f"/connect/{session['url'].rpartition('/')[2]}")).status_code == 404
    named = (
        "SELECT table_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name = 'source_id' AND data_type = 'uuid'"
    )
    tables = [row["table_name"] for row in await service.sql(named)]
    assert {"accounts", "connect_sessions", "revocation_requests"} <= set(tables)
    for table in tables:
        rows = await service.sql(f"SELECT 1 FROM {table} WHERE source_id = :id", id=uuid_of(source_id))  # noqa: S608 - its own names
        assert rows == [], table
    await service.flush()
    trail = data(await admin.get("/v1/audit", params={"target": source_id}))
    assert [(entry["action"], entry["result"]) for entry in trail if entry["action"] == "source.delete"] == [
        ("source.delete", "not_found"),
        ("source.delete", "ok"),
    ]


@pytest.mark.parametrize("state", ["pending", "active", "disabled", "released"])
async def test_a_source_with_an_account_is_not_deleted(service: Service, admin: httpx.AsyncClient, state: str) -> None:
    source_id = await service.source(TOKEN_URL)
    if state == "pending":
        account_id = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)["id"]
    else:
        account_id = await service.account(source_id)
    if state == "disabled":
        data(await admin.post(f"/v1/accounts/{account_id}/disable"))
    if state == "released":
        data(await admin.post(f"/v1/accounts/{account_id}/release"))
        data(await admin.post(f"/v1/accounts/{account_id}/release/confirm"))
    refused = await still_there(admin, source_id, 1)
    assert refused["detail"].startswith("the source has 1 account: release")
    assert (await admin.delete(f"/v1/accounts/{account_id}")).status_code == 204
    await service.sql("DELETE FROM revocation_requests WHERE source_id = :id", id=uuid_of(source_id))
    await delete(admin, source_id)


async def test_more_accounts_than_are_counted_are_called_so(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = await service.source(TOKEN_URL)
    lines = "".join(json.dumps({"source_id": source_id}) + "\n" for _ in range(1_001))
    headers = {"Content-Type": "application/x-ndjson"}
    assert (await admin.post("/v1/accounts/import", content=lines, headers=headers)).status_code == 200
    refused = problem(await admin.delete(f"/v1/sources/{source_id}"), 409, "source_in_use")
    assert (refused["accounts"], refused["more_accounts"]) == (1_000, True)
    assert "more than 1000 accounts" in refused["detail"]


async def test_a_source_stays_until_its_grants_are_revoked(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer
) -> None:
    source_id = await service.source(TOKEN_URL, revocation_url=revocations.url)
    assert (await admin.delete(f"/v1/accounts/{await service.account(source_id)}")).status_code == 204
    refused = await still_there(admin, source_id, 0)
    assert "still being revoked" in refused["detail"]
    assert service.queue.refreshing is not None
    while await service.queue.refreshing.revoke():
        pass
    assert revocations.revoked == [{"token": "grant.1", "token_type_hint": "refresh_token"}]
    await delete(admin, source_id)


async def test_a_source_of_another_environment_is_not_deleted(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = await service.source(TOKEN_URL)
    elsewhere = {"X-Tokenkeep-Environment": f"{service.environment}-other"}
    problem(await admin.delete(f"/v1/sources/{source_id}", headers=elsewhere), 404, "not_found")
    assert data(await admin.get(f"/v1/sources/{source_id}"))["state"] == "active"


async def test_a_deletion_waits_for_an_account_that_is_being_made(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = await service.source(TOKEN_URL)
    async with service.wired.works() as work:
        await work.connection.execute(UNHURRIED)
        # As an account that is stored and not yet committed.
        assert await work.sources.get(_source(source_id), service.environment, keep=True) is not None
        deleting = asyncio.create_task(admin.delete(f"/v1/sources/{source_id}"))
        await _waits_for_a_lock(service)
        assert not deleting.done()
    assert (await deleting).status_code == 204


@pytest.mark.parametrize("what", ["account", "session", "import"])
async def test_what_is_made_while_its_source_is_deleted_finds_none(
    service: Service, admin: httpx.AsyncClient, what: str
) -> None:
    source_id = await service.source(TOKEN_URL, **CONNECTABLE)
    line = json.dumps({"source_id": source_id, "credentials": {"access_token": "a", "refresh_token": "late.1"}})
    async with service.wired.works() as work:
        await work.connection.execute(UNHURRIED)
        assert await work.sources.lock_for_deletion(_source(source_id), service.environment)
        match what:
            case "account":
                call = admin.post("/v1/accounts", content=line, headers={"Content-Type": "application/json"})
            case "session":
                call = admin.post("/v1/connect/sessions", json={"source_id": source_id})
            case _:
                headers = {"Content-Type": "application/x-ndjson"}
                call = admin.post("/v1/accounts/import", content=f"{line}\n", headers=headers)
        making = asyncio.create_task(call)
        await _waits_for_a_lock(service)
        await work.sources.delete(_source(source_id))
    answer = await making
    if what == "import":
        [result] = [json.loads(one) for one in answer.text.splitlines()]
        assert (result["status"], result["code"]) == ("rejected", "not_found")
    else:
        problem(answer, 404, "not_found")
    assert data(await admin.get("/v1/accounts")) == []


async def test_an_account_and_the_deletion_of_its_source_at_once_leave_both_or_neither(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    seen = set()
    for number in range(6):
        source_id = await service.source(server.url)
        tokens = {"access_token": f"a{number}", "refresh_token": f"r{number}.1", "expires_in": 3600}
        creating = admin.post("/v1/accounts", json={"source_id": source_id, "credentials": tokens})
        deleting = admin.delete(f"/v1/sources/{source_id}")
        calls = (creating, deleting) if number % 2 else (deleting, creating)
        answers = await asyncio.gather(*calls)
        created, deleted = answers if number % 2 else reversed(answers)
        seen.add((created.status_code, deleted.status_code))
        rows = await service.sql("SELECT id FROM accounts WHERE source_id = :id", id=uuid_of(source_id))
        there = (await admin.get(f"/v1/sources/{source_id}")).status_code == 200
        assert len(rows) == (1 if there else 0), (created.text, deleted.text)
    assert seen <= {(201, 409), (404, 204)}


async def test_a_session_that_is_being_ended_and_the_deletion_do_not_wait_for_each_other(
    service: Service, admin: httpx.AsyncClient
) -> None:
    source_id = await service.source(TOKEN_URL, **CONNECTABLE)
    data(await admin.post("/v1/connect/sessions", json={"source_id": source_id}), 201)
    database = service.foundation.database
    async with database.transaction() as connection:
        await connection.execute(UNHURRIED)
        # As whoever stores what the session has brought: its row first, then the source.
        locked = text("SELECT FROM connect_sessions WHERE source_id = :id FOR UPDATE")
        await connection.execute(locked, {"id": uuid_of(source_id)})
        deleting = asyncio.create_task(admin.delete(f"/v1/sources/{source_id}"))
        await _waits_for_a_lock(service)
        share = text("SELECT FROM sources WHERE id = :id FOR KEY SHARE")
        await asyncio.wait_for(connection.execute(share, {"id": uuid_of(source_id)}), 10)
    assert (await deleting).status_code == 204


def _source(public: str) -> SourceId:
    return SourceId(parse_id(IdKind.SOURCE, public))


async def _waits_for_a_lock(service: Service) -> None:
    """Somebody in this database waits for a row of another's."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while not (await service.sql(waiting))[0]["count"]:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.02)
