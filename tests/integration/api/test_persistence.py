"""What a provider gives once is not lost over a database that stumbles, and not stored twice over a lost acknowledgement."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from api_service import Service, data, open_service, problem
from connect_browser import PUBLIC_URL, open_browser
from databases import UNHURRIED, end_connections, migrated_database
from raw_http import Peer, RawServer, http
from token_server import TokenServer
from tokenkeep.adapters.postgres.unit_of_work import PostgresWork, PostgresWorks
from tokenkeep.application.create_account import NewAccount
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.ids import AccountId, IdKind, SourceId, parse_id
from tokenkeep.domain.secret import Secret
from tokenkeep_api.persistence import Persistence

PAST = "2020-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def api_database_url(postgres_url: str) -> str:
    """A database of this file's own: its connections are ended under everybody who has one."""
    return migrated_database(postgres_url, "that_stumbles")


@pytest.fixture
async def service(api_database_url: str, redis_url: str) -> AsyncIterator[Service]:
    async with open_service(api_database_url, redis_url, public_url=PUBLIC_URL) as opened:
        yield opened


def code(name: str) -> dict[str, str]:
    return {"authorization_code": name, "redirect_uri": "https://app.example/cb"}


async def told(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return [event["type"].removeprefix("tokenkeep.account.") for event in reversed(events)]


async def test_a_code_is_exchanged_and_stored_though_every_connection_ends_meanwhile(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, api_database_url: str
) -> None:
    source_id = await service.source(server.url)
    server.on_request = lambda: end_connections(api_database_url)
    answer = await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": code("grant.1")})
    server.on_request = None
    account_id = data(answer, 201)["id"]
    assert server.presented == ["grant.1"]
    assert data(await admin.post(f"/v1/accounts/{account_id}/token"))["access_token"] == "access-grant.2"


async def test_an_account_is_authorised_again_though_its_row_is_locked_for_longer_than_a_lock_is_waited_for(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url), "old")
    async with service.foundation.database.transaction() as other:
        await other.execute(UNHURRIED)
        statement = text("SELECT FROM leases WHERE account_id = :id FOR UPDATE")
        await other.execute(statement, {"id": parse_id(IdKind.ACCOUNT, account_id)})
        path = f"/v1/accounts/{account_id}/credentials"
        replacing = asyncio.create_task(admin.put(path, json=code("new.1")))
        # Held until a wait for it has been given up once: that is when the whole is tried again.
        await wait_for_a_second_try(service)
    data(await replacing)
    assert server.presented == ["new.1"]
    assert data(await admin.post(f"/v1/accounts/{account_id}/token"))["access_token"] == "access-new.2"
    assert await told(admin, account_id) == ["created", "activated", "reauthorized"]


async def wait_for_a_second_try(service: Service) -> None:
    waiting = text("""
SELECT pid, query_start FROM pg_stat_activity
 WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'
""")
    seen: set[Any] = set()
    async with asyncio.timeout(30):
        while len(seen) < 2:
            async with service.foundation.database.reading() as connection:
                seen |= {tuple(row) for row in await connection.execute(waiting)}
            await asyncio.sleep(0.05)


async def test_who_connects_is_connected_though_every_connection_ends_meanwhile(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, api_database_url: str
) -> None:
    source_id = await service.source(server.url, authorization_url="https://93.184.215.14/authorize")
    session = data(await admin.post("/v1/connect/sessions", json={"source_id": source_id}), 201)
    async with open_browser(service.app) as browser:
        state = dict(parse_qsl(urlsplit(await browser.begin(session["url"])).query))["state"]
        server.on_request = lambda: end_connections(api_database_url)
        landed = await browser.look(f"{PUBLIC_URL}/connect/callback?state={state}&code=grant.1")
        server.on_request = None
    assert "You are connected" in landed.text
    shown = data(await admin.get(f"/v1/connect/sessions/{session['id']}"))
    assert shown["state"] == "connected"
    assert data(await admin.post(f"/v1/accounts/{shown['account_id']}/token"))["access_token"] == "access-grant.2"


@pytest.mark.parametrize("state", ["55P03", "40001", "40P01", "57P01", "57P03", "53300", "08006"])
async def test_what_passes_is_waited_for(service: Service, state: str) -> None:
    tries = 0

    async def store(work: PostgresWork) -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            await work.connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$"))
        return "stored"

    assert await service.wired.persist(store) == "stored"
    assert tries == 2


async def test_what_does_not_pass_is_raised_at_once(service: Service) -> None:
    tries = 0

    async def store(work: PostgresWork) -> None:
        nonlocal tries
        tries += 1
        await work.connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(DBAPIError):
        await service.wired.persist(store)
    assert tries == 1


async def test_patience_has_an_end(service: Service) -> None:
    async def store(_work: PostgresWork) -> None:
        msg = "away"
        raise OSError(msg)

    with pytest.raises(OSError, match="away"):
        await Persistence(service.wired.works, patience=timedelta(0))(store)


_LOST = OperationalError("COMMIT", {}, ConnectionError("lost"))


class Unacknowledged(PostgresWorks):
    """Loses the acknowledgement of the first commit; `commits` is whether PostgreSQL has made it."""

    def __init__(self, service: Service, *, commits: bool) -> None:
        super().__init__(service.foundation.database)
        self._commits = commits
        self._lost = False

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[PostgresWork]:
        first, self._lost = not self._lost, True
        async with super().__call__() as work:
            yield work
            if first and not self._commits:
                raise _LOST
        if first:
            raise _LOST


@pytest.mark.parametrize("commits", [True, False])
async def test_a_commit_without_an_acknowledgement_is_neither_lost_nor_repeated(
    service: Service, admin: httpx.AsyncClient, *, commits: bool
) -> None:
    source_id = await service.source("https://93.184.215.14/token")
    caller = Caller("test", service.environment, frozenset())
    persist = Persistence(Unacknowledged(service, commits=commits))
    wanted = NewAccount(SourceId(parse_id(IdKind.SOURCE, source_id)), None, None, {}, {})
    # Without a refresh token nothing but the account's id tells two of them apart.
    tokens = LiveTokens(Secret("access"))
    made = await persist(
        lambda work: service.wired.create_account(work, caller, wanted, tokens=tokens, correlation_id="c")
    )
    [account] = data(await admin.get("/v1/accounts"))
    assert parse_id(IdKind.ACCOUNT, account["id"]) == made

    persist = Persistence(Unacknowledged(service, commits=commits))
    again = LiveTokens(Secret("access-2"), Secret("refresh-2"))
    await persist(
        lambda work: service.wired.replace_credentials(work, caller, AccountId(made), tokens=again, correlation_id="c")
    )
    assert await told(admin, account["id"]) == ["created", "activated", "reauthorized"]


async def age(service: Service, key: str) -> None:
    """As if the request that holds the key had begun an hour ago."""
    await service.sql(
        "UPDATE idempotency_keys SET created_at = now() - interval '1 hour' WHERE environment = :e AND key = :key",
        e=service.environment,
        key=key,
    )


async def test_a_code_is_not_sent_again_for_a_holder_of_its_key_that_is_only_slow(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    server.gate = asyncio.Event()
    body = {"source_id": await service.source(server.url), "credentials": code("grant.1")}
    headers = {"Idempotency-Key": "slow"}
    slow = asyncio.create_task(admin.post("/v1/accounts", json=body, headers=headers))
    await asyncio.wait_for(server.arrived.wait(), 10)
    await age(service, "slow")
    problem(await admin.post("/v1/accounts", json=body, headers=headers), 409, "request_outcome_unknown")
    server.gate.set()
    made = data(await slow, 201)["id"]
    assert server.presented == ["grant.1"]
    assert data(await admin.post("/v1/accounts", json=body, headers=headers), 201)["id"] == made


async def test_who_lost_its_key_to_another_stores_nothing(service: Service, admin: httpx.AsyncClient) -> None:
    gate, asked = asyncio.Event(), asyncio.Semaphore(0)

    async def whose(peer: Peer) -> None:
        await peer.request()
        asked.release()
        await gate.wait()
        await peer.say(http(b'{"sub": "alice"}'))

    async with RawServer(whose) as provider:
        source_id = await service.source("https://93.184.215.14/token", userinfo_url=provider.url())
        body = {"source_id": source_id, "credentials": {"access_token": "mine", "refresh_token": "mine.1"}}
        headers = {"Idempotency-Key": "slow"}
        slow = asyncio.create_task(admin.post("/v1/accounts", json=body, headers=headers))
        await asyncio.wait_for(asked.acquire(), 10)
        await age(service, "slow")
        second = asyncio.create_task(admin.post("/v1/accounts", json=body, headers=headers))
        await asyncio.wait_for(asked.acquire(), 10)
        gate.set()
        answers = await asyncio.gather(slow, second)
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert len(data(await admin.get("/v1/accounts"))) == 1
