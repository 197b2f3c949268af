"""The API over a credential store: what it hands out, hands back and erases lies elsewhere, and may not be there."""

import asyncio
import os
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from api_service import Service, data, open_service, problem
from machine_server import MachineServer
from revocation_server import RevocationServer
from token_server import TokenServer
from tokenkeep.application.credential_stores import POINTER_MARK
from tokenkeep_worker.inbox import wire_inbox


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the credentials lie."""
    home = tmp_path / "credentials"
    home.mkdir()
    return home


@pytest.fixture
async def service(database_url: str, redis_url: str, home: Path, tmp_path: Path) -> AsyncIterator[Service]:
    changes = {"credential_store": f"directory:{home}", "spool_dir": str(tmp_path / "spool")}
    async with open_service(database_url, redis_url, **changes) as opened:
        await opened.foundation.redis.flushall()
        yield opened


@pytest.fixture
async def admin(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client() as client:
        yield client


async def moved(service: Service) -> None:
    refreshing = service.queue.refreshing
    assert refreshing is not None
    while await refreshing.move():
        pass


async def an_account(service: Service, server: TokenServer, **options: str) -> str:
    account_id = await service.account(await service.source(server.url, **options))
    await moved(service)
    return account_id


async def away(home: Path) -> Path:
    gone = home.with_name("unmounted")
    await asyncio.to_thread(home.rename, gone)
    return gone


async def test_a_token_is_handed_out_from_the_store(
    service: Service, server: TokenServer, admin: httpx.AsyncClient
) -> None:
    account_id = await an_account(service, server)
    vended = data(await admin.post(f"/v1/accounts/{account_id}/token"))
    assert (vended["access_token"], vended["refreshed"]) == ("access-grant.1", False)
    forced = data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
    assert (forced["access_token"], forced["refreshed"]) == ("access-grant.2", True)
    shown = data(await admin.get(f"/v1/accounts/{account_id}?include_credentials=1"))
    assert shown["credentials"]["oauth_access_token"] == "access-grant.2"


async def test_a_report_about_a_token_in_the_store_has_it_replaced(
    service: Service, server: TokenServer, admin: httpx.AsyncClient
) -> None:
    account_id = await an_account(service, server)
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "a-service",
        "type": "tokenkeep.account.unauthorized",
        "subject": account_id,
        "data": {"token_fingerprint": sha256(b"access-grant.1").hexdigest()[:16]},
    }
    data(await admin.post("/v1/events", json=event), 202)
    inbox = wire_inbox(service.foundation, service.queue, service.wired.stores, service.sealer)
    while await inbox.round():
        pass
    assert data(await admin.post(f"/v1/accounts/{account_id}/token"))["access_token"] == "access-grant.2"
    assert server.presented == ["grant.1"]


async def test_a_store_that_is_away_is_a_503_that_says_so(
    service: Service, server: TokenServer, admin: httpx.AsyncClient, home: Path
) -> None:
    account_id = await an_account(service, server)
    gone = await away(home)
    refused = await admin.post(f"/v1/accounts/{account_id}/token")
    assert problem(refused, 503, "token_unavailable")["reason"] == "credential_store"
    assert refused.headers["retry-after"]
    await asyncio.to_thread(gone.rename, home)


async def test_a_grant_that_is_brought_once_more_is_compared_with_what_lies_in_the_store(
    service: Service, server: TokenServer, admin: httpx.AsyncClient, home: Path
) -> None:
    account_id = await an_account(service, server)
    data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
    again = {"access_token": "access-grant.1", "refresh_token": "grant.1", "expires_in": 3600}
    gone = await away(home)
    path = f"/v1/accounts/{account_id}/credentials"
    problem(await admin.put(path, json=again), 503, "credential_store_unavailable")
    await asyncio.to_thread(gone.rename, home)
    data(await admin.put(path, json=again))
    forced = data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
    assert forced["access_token"] == "access-grant.3"
    assert server.presented == ["grant.1", "grant.2"]


async def test_credentials_are_handed_back_from_the_store(
    service: Service, server: TokenServer, admin: httpx.AsyncClient, home: Path
) -> None:
    account_id = await an_account(service, server)
    gone = await away(home)
    problem(await admin.post(f"/v1/accounts/{account_id}/release"), 503, "credential_store_unavailable")
    assert data(await admin.get(f"/v1/accounts/{account_id}"))["custody"] == "held"
    await asyncio.to_thread(gone.rename, home)
    released = data(await admin.post(f"/v1/accounts/{account_id}/release"))
    assert (released["refresh_token"], released["access_token"]) == ("grant.1", "access-grant.1")
    again = data(await admin.post(f"/v1/accounts/{account_id}/release"))
    assert again["refresh_token"] == "grant.1"


async def test_a_deleted_account_is_revoked_with_what_lay_in_the_store(
    service: Service, server: TokenServer, admin: httpx.AsyncClient, home: Path
) -> None:
    async with RevocationServer() as revocations:
        account_id = await an_account(service, server, revocation_url=revocations.url)
        gone = await away(home)
        problem(await admin.delete(f"/v1/accounts/{account_id}"), 503, "credential_store_unavailable")
        data(await admin.get(f"/v1/accounts/{account_id}"))
        await asyncio.to_thread(gone.rename, home)
        assert (await admin.delete(f"/v1/accounts/{account_id}")).status_code == 204
        assert service.queue.refreshing is not None
        await service.queue.refreshing.revoke()
        assert revocations.tokens == ["grant.1"]


async def test_an_account_whose_credentials_are_lost_can_be_deleted_and_authorised_again(
    service: Service, server: TokenServer, admin: httpx.AsyncClient, home: Path
) -> None:
    async with RevocationServer() as revocations:
        source_id = await service.source(server.url, revocation_url=revocations.url)
        lost, again = await service.account(source_id), await service.account(source_id, "again")
        await moved(service)
        for path in await asyncio.to_thread(lambda: list(home.glob("*/*"))):
            await asyncio.to_thread(os.unlink, path)
        assert problem(await admin.post(f"/v1/accounts/{lost}/token"), 503, "token_unavailable")
        assert (await admin.delete(f"/v1/accounts/{lost}")).status_code == 204
        [row] = await service.sql("SELECT count(*) AS n FROM revocation_requests")
        assert row["n"] == 0
        tokens = {"access_token": "access-new.1", "refresh_token": "new.1", "expires_in": 3600}
        data(await admin.put(f"/v1/accounts/{again}/credentials", json=tokens))
        await moved(service)
        assert data(await admin.post(f"/v1/accounts/{again}/token"))["access_token"] == "access-new.1"


async def test_a_reader_whose_row_was_replaced_meanwhile_reads_it_once_more(
    service: Service, server: TokenServer, admin: httpx.AsyncClient
) -> None:
    """The former version is taken away right after the commit; whoever read the row before finds nothing there."""
    account_id = await an_account(service, server)

    async def vend() -> httpx.Response:
        return await admin.post(f"/v1/accounts/{account_id}/token")

    refreshed = admin.post(f"/v1/accounts/{account_id}/token", json={"force": True})
    answers = await asyncio.gather(refreshed, *(vend() for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}


async def test_credentials_of_other_kinds_lie_there_as_well(
    service: Service, admin: httpx.AsyncClient, home: Path
) -> None:
    source = data(await admin.post("/v1/sources", json={"provider": "zendesk-token", "name": "desk"}), 201)
    body = {"source_id": source["id"], "credentials": {"username": "a@acme.test", "password": "canary"}}
    path = f"/v1/accounts/{data(await admin.post('/v1/accounts', json=body), 201)['id']}"
    await moved(service)
    gone = await away(home)
    site = {"properties": {"subdomain": "acme"}}
    problem(await admin.patch(path, json=site), 503, "credential_store_unavailable")
    await asyncio.to_thread(gone.rename, home)
    assert data(await admin.patch(path, json=site))["state"] == "active"
    assert data(await admin.post(f"{path}/token"))["headers"]["Authorization"].startswith("Basic ")


async def test_machines_are_renewed_with_what_lies_there(service: Service, admin: httpx.AsyncClient) -> None:
    async with MachineServer() as machines:
        wanted = {"provider": "generic-client-credentials", "name": "m", "client_id": "app", "client_secret": "canary"}
        made = await admin.post("/v1/sources", json={**wanted, "options": {"token_url": machines.url}})
        body = {"source_id": data(made, 201)["id"], "credentials": {}}
        account_id = data(await admin.post("/v1/accounts", json=body), 201)["id"]
        await moved(service)
        vended = data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
        assert vended["refreshed"]
        assert len(machines.posts) == 2
        [row] = await service.sql("SELECT access_ciphertext, refresh_ciphertext FROM credentials")
        assert {row["access_ciphertext"][:1], row["refresh_ciphertext"][:1]} == {POINTER_MARK}
        again = data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
        assert again["access_token"] != vended["access_token"]


async def test_an_account_is_withdrawn_and_verified_by_what_lies_there(
    service: Service, server: TokenServer, admin: httpx.AsyncClient, home: Path
) -> None:
    async with RevocationServer() as revocations:
        account_id = await an_account(service, server, revocation_url=revocations.url)
        path = f"/v1/accounts/{account_id}"
        assert data(await admin.post(f"{path}/verify"))["state"] == "active"
        gone = await away(home)
        problem(await admin.post(f"{path}/disable?revoke=true"), 503, "credential_store_unavailable")
        assert data(await admin.get(path))["state"] == "active"
        await asyncio.to_thread(gone.rename, home)
        assert data(await admin.post(f"{path}/disable?revoke=true"))["revocation"] == "requested"
        assert service.queue.refreshing is not None
        await service.queue.refreshing.revoke()
        assert revocations.tokens == ["grant.1"]
