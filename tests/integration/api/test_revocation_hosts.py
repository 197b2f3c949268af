"""Revocations are worked off host by host: a provider that keeps silent delays no other's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api_service import Service, data
from revocation_server import RevocationServer
from tokenkeep.adapters.ending import end
from tokenkeep.application.revoke_grants import RevokeGrants
from tokenkeep_worker.revoking import keep_revoking

TOKEN_URL = "https://93.184.215.14/hosts"


@pytest.fixture
async def endpoints(service: Service) -> AsyncIterator[tuple[RevocationServer, RevocationServer]]:
    """One that keeps silent, and one that answers; and no requests in the database but the test's own."""
    for table in ("revocation_requests", "revocation_hosts", "imported_grants"):
        await service.sql(f"DELETE FROM {table}")  # noqa: S608 - a list of ours
    async with AsyncExitStack() as stack:
        silent, good = [await stack.enter_async_context(RevocationServer()) for _ in range(2)]
        silent.gate = asyncio.Event()
        stack.callback(silent.gate.set)
        yield silent, good


def worker(service: Service, **changes: Any) -> RevokeGrants:
    assert service.queue.refreshing is not None
    return replace(service.queue.refreshing.revoke, **changes)


async def given_up(service: Service, admin: httpx.AsyncClient, at: RevocationServer, *names: str) -> list[str]:
    source_id = await service.source(TOKEN_URL, revocation_url=at.url)
    ids = [await service.account(source_id, name) for name in names]
    for account_id in ids:
        assert (await admin.delete(f"/v1/accounts/{account_id}")).status_code == 204
    return ids


async def waiting_at(service: Service, at: RevocationServer) -> list[Any]:
    host = at.origin.removeprefix("http://")
    rows: list[Any] = await service.sql("SELECT * FROM revocation_requests WHERE host = :host ORDER BY id", host=host)
    return rows


async def nothing_waits_at(service: Service, at: RevocationServer) -> None:
    while await waiting_at(service, at):  # noqa: ASYNC110 - it asks the database
        await asyncio.sleep(0.01)


async def test_one_that_keeps_silent_delays_no_other(
    service: Service, admin: httpx.AsyncClient, endpoints: tuple[RevocationServer, RevocationServer]
) -> None:
    silent, good = endpoints
    await given_up(service, admin, silent, *(f"s{number}" for number in range(25)))
    await given_up(service, admin, good, "g0", "g1", "g2")
    revoking = asyncio.create_task(keep_revoking(worker(service), every_s=0.05, at_once=2))
    await nothing_waits_at(service, good)
    assert sorted(good.tokens) == ["g0.1", "g1.1", "g2.1"]
    assert len(await waiting_at(service, silent)) == 25, "it has not answered"
    await asyncio.wait_for(silent.arrived.wait(), 20)
    await given_up(service, admin, good, "g3")
    await nothing_waits_at(service, good)
    assert len(silent.asked) <= 20, "one batch at a time goes to one host"
    await end(revoking)


async def test_one_that_kept_silent_is_given_a_rest_and_then_tried_with_one(
    service: Service, admin: httpx.AsyncClient, endpoints: tuple[RevocationServer, RevocationServer]
) -> None:
    silent, _ = endpoints
    await given_up(service, admin, silent, "a", "b")
    impatient = worker(service, deadline=timedelta(seconds=3))
    assert await impatient() == 2
    rests = []
    for _ in range(2):
        await service.sql("UPDATE revocation_requests SET next_try_at = now()")
        assert await impatient() == 0, "it rests"
        [row] = await service.sql("SELECT free_at - now() AS rest FROM revocation_hosts")
        rests.append(row["rest"])
        await service.sql("UPDATE revocation_hosts SET free_at = now()")
        assert await impatient() == 1
    assert timedelta(0) < rests[0] <= timedelta(minutes=1) < rests[1] <= timedelta(minutes=3)
    assert silent.gate is not None
    silent.gate.set()
    await service.sql("UPDATE revocation_hosts SET free_at = now()")
    await service.sql("UPDATE revocation_requests SET next_try_at = now()")
    assert [await worker(service)() for _ in range(3)] == [1, 1, 0]
    assert await waiting_at(service, silent) == []


async def test_what_waits_too_long_behind_one_that_keeps_silent_is_given_up(
    service: Service, admin: httpx.AsyncClient, endpoints: tuple[RevocationServer, RevocationServer]
) -> None:
    silent, _ = endpoints
    old, young = await given_up(service, admin, silent, "old", "young")
    impatient = worker(service, deadline=timedelta(seconds=3))
    await impatient()
    asked = len(silent.asked)
    await service.sql("UPDATE revocation_requests SET next_try_at = now()")
    [first, _] = await waiting_at(service, silent)
    await service.sql(
        "UPDATE revocation_requests SET created_at = now() - interval '4 days' WHERE id = :id", id=first["id"]
    )
    assert await impatient() == 1
    assert len(silent.asked) == asked
    assert [row["tries"] for row in await waiting_at(service, silent)] == [1]
    entries = data(await admin.get("/v1/audit", params={"action": "account.revoke"}))
    assert {one["target"]: one["result"] for one in entries if one["target"] in {old, young}} == {old: "given_up"}
