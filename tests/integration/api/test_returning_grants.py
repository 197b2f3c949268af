"""Grants, and users, that come back while they are to be revoked, and those that live on at another source of the same client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest

from api_service import Service, data, problem
from databases import UNHURRIED
from raw_http import http
from revocation_server import RevocationServer
from token_server import TokenServer
from tokenkeep.application.create_account import NewAccount
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.application.ports import ReadyConnection, TokenEndpoints
from tokenkeep.application.revoke_grants import RevokeGrants
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.external_id import ExternalId
from tokenkeep.domain.ids import IdKind, SourceId, parse_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.verification import Checked
from tokenkeep.providers.answer import TokenRequest
from whoami_server import WhoamiServer

TOKEN_URL = "https://93.184.215.14/returning"
LIVE = {"access_token": "a-grant.1", "refresh_token": "grant.1", "expires_in": 3600}


@pytest.fixture
async def revocations(service: Service) -> AsyncIterator[RevocationServer]:
    """An endpoint, and no requests in the database but the test's own."""
    for table in ("revocation_requests", "revocation_hosts"):
        await service.sql(f"DELETE FROM {table}")  # noqa: S608 - a list of ours
    async with RevocationServer() as started:
        yield started


@pytest.fixture
def token_url() -> str:
    """A token endpoint of the test's own, so that no other test's sources are of the same client."""
    return f"https://93.184.215.14/{uuid4().hex}"


def worker(service: Service) -> RevokeGrants:
    assert service.queue.refreshing is not None
    return service.queue.refreshing.revoke


async def pending(service: Service) -> int:
    return len(await service.sql("SELECT id FROM revocation_requests"))


async def give_up(admin: httpx.AsyncClient, account_id: str) -> None:
    assert (await admin.delete(f"/v1/accounts/{account_id}")).status_code == 204


async def create(admin: httpx.AsyncClient, source_id: str, **credentials: Any) -> httpx.Response:
    return await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": credentials or LIVE})


async def ends(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    """What the audit trail tells of the account's revocations."""
    entries = data(await admin.get("/v1/audit", params={"action": "account.revoke"}))
    return [one["result"] for one in entries if one["target"] == account_id]


def uuid_of(account_id: str) -> UUID:
    return parse_id(IdKind.ACCOUNT, account_id)


def sub(name: str) -> bytes:
    return http(b'{"sub": "%s"}' % name.encode(), "content-type: application/json")


def code(name: str) -> dict[str, str]:
    return {"authorization_code": name, "redirect_uri": "https://app.example/cb"}


@dataclass
class SlowToAccept(TokenEndpoints):
    """A provider that accepts no connection before it is told to."""

    endpoints: TokenEndpoints
    reached: asyncio.Event
    gate: asyncio.Event

    @asynccontextmanager
    async def lend(
        self, request: TokenRequest, *, reuse_window_s: float, deadline: float
    ) -> AsyncIterator[ReadyConnection]:
        self.reached.set()
        await self.gate.wait()
        async with self.endpoints.lend(request, reuse_window_s=reuse_window_s, deadline=deadline) as connection:
            yield connection


# Claimed, and not sent yet


async def test_a_grant_that_comes_back_while_a_worker_connects_is_not_revoked(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, token_url: str
) -> None:
    source_id = await service.source(token_url, revocation_url=revocations.url)
    gone = await service.account(source_id)
    await give_up(admin, gone)
    slow = SlowToAccept(worker(service).endpoints, asyncio.Event(), asyncio.Event())
    revoking = asyncio.create_task(replace(worker(service), endpoints=slow)())
    await asyncio.wait_for(slow.reached.wait(), 10)
    await service.account(source_id)
    slow.gate.set()
    await revoking
    assert revocations.asked == []
    assert await pending(service) == 0
    assert await ends(admin, gone) == ["superseded"]


# With the provider


@asynccontextmanager
async def at_the_provider(service: Service, revocations: RevocationServer) -> AsyncIterator[asyncio.Event]:
    """While a revocation is with the provider, which answers when the event is set."""
    revocations.gate = asyncio.Event()
    revoking = asyncio.create_task(worker(service)())
    await asyncio.wait_for(revocations.arrived.wait(), 10)
    try:
        yield revocations.gate
    finally:
        revocations.gate.set()
        await revoking


async def test_a_grant_that_is_being_revoked_is_not_taken_in_before_that_is_over(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, token_url: str
) -> None:
    source_id = await service.source(token_url, revocation_url=revocations.url)
    gone = await service.account(source_id)
    await give_up(admin, gone)
    tokens = [{**LIVE, "refresh_token": name} for name in ("grant.1", "free.1")]
    lines = [orjson.dumps({"credentials": one}) for one in tokens]
    ndjson = {"Content-Type": "application/x-ndjson"}
    async with at_the_provider(service, revocations):
        refused = await create(admin, source_id)
        assert problem(refused, 503, "revocation_in_flight")["retry_after"] <= 30
        assert int(refused.headers["retry-after"]) >= 1
        stored = await service.sql(
            "SELECT 1 FROM accounts WHERE source_id = :id", id=parse_id(IdKind.SOURCE, source_id)
        )
        assert stored == []
        imported = await admin.post(
            f"/v1/accounts/import?source_id={source_id}", content=b"\n".join(lines), headers=ndjson
        )
        first, second = imported.text.splitlines()
        assert orjson.loads(first)["code"] == "revocation_in_flight"
        assert orjson.loads(second)["status"] == "created", "a line suffers for no other"
    assert await ends(admin, gone) == ["revoked"]
    data(await create(admin, source_id), 201)


async def test_a_code_that_was_exchanged_waits_for_the_end_of_its_users_revocation(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, server: TokenServer
) -> None:
    async with WhoamiServer({}) as whoami:
        whoami.script.extend([sub("alice"), sub("alice")])
        options = {"revocation_url": revocations.url, "userinfo_url": whoami.url, "external_id_path": "sub"}
        source_id = await service.source(server.url, **options)
        await give_up(admin, data(await create(admin, source_id, **code("one.1")), 201)["id"])
        async with at_the_provider(service, revocations) as answered:
            creating = asyncio.create_task(create(admin, source_id, **code("two.1")))
            while whoami.script:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0.01)
            await asyncio.wait([creating], timeout=0.5)
            assert not creating.done()
            answered.set()
            account = data(await asyncio.wait_for(creating, 20), 201)
    assert (account["state"], account["external_id"]) == ("active", "alice")
    assert len(revocations.tokens) == 1


async def test_a_worker_that_dies_over_a_request_keeps_nobody_out_for_ever(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, token_url: str
) -> None:
    source_id = await service.source(token_url, revocation_url=revocations.url)
    gone = await service.account(source_id)
    await give_up(admin, gone)
    revocations.gate = asyncio.Event()
    revoking = asyncio.create_task(worker(service)())
    await asyncio.wait_for(revocations.arrived.wait(), 10)
    revoking.cancel()
    await asyncio.wait([revoking])
    problem(await create(admin, source_id), 503, "revocation_in_flight")
    [row] = await service.sql("SELECT in_flight_until - now() AS left FROM revocation_requests")
    assert row["left"].total_seconds() <= 30
    await service.sql("UPDATE revocation_requests SET in_flight_until = now()")
    data(await create(admin, source_id), 201)
    assert await ends(admin, gone) == ["superseded"]


async def test_an_answer_says_that_nothing_is_with_the_provider_any_more(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, token_url: str
) -> None:
    source_id = await service.source(token_url, revocation_url=revocations.url)
    await give_up(admin, await service.account(source_id))
    revocations.script.append((503, b""))
    assert await worker(service)() == 1
    data(await create(admin, source_id), 201)
    assert await pending(service) == 0


# Other sources of the same client


@pytest.fixture
async def alices(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, token_url: str
) -> tuple[str, str]:
    """One user's accounts at two sources of one client."""
    people: dict[str, object] = {"one": "alice", "two": "alice"}
    async with WhoamiServer(people) as whoami:
        options = {"revocation_url": revocations.url, "userinfo_url": whoami.url, "external_id_path": "sub"}
        ids = []
        for name in people:
            source_id = await service.source(token_url, **options)
            made = await create(admin, source_id, access_token=name, refresh_token=f"{name}.1", expires_in=3600)
            account = data(made, 201)
            assert (account["external_id"], account["external_id_verified"]) == ("alice", True)
            ids.append(account["id"])
    return ids[0], ids[1]


async def test_a_user_who_lives_at_another_source_of_the_client_is_not_revoked(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, alices: tuple[str, str]
) -> None:
    first, second = alices
    await give_up(admin, first)
    assert await pending(service) == 0
    assert await ends(admin, first) == ["superseded"]
    await give_up(admin, second)
    await worker(service)()
    assert revocations.tokens == ["two.1"], "nobody lives by it any more"


@pytest.mark.parametrize(
    ("state", "protects"),
    [
        ("disabled_reason = 'revoked'", False),
        ("disabled_reason = 'by_operator'", True),
        ("disabled_reason = 'in_doubt'", True),
        ("disabled_reason = 'released', custody = 'released'", True),
    ],
)
async def test_a_grant_is_spared_for_accounts_that_may_still_need_it(
    service: Service,
    admin: httpx.AsyncClient,
    alices: tuple[str, str],
    state: str,
    protects: bool,  # noqa: FBT001 - a case of the table
) -> None:
    first, second = alices
    await service.sql(
        f"UPDATE accounts SET state = 'disabled', disabled_at = now(), disabled_by = 't', {state} WHERE id = :id",  # noqa: S608 - a list of ours
        id=uuid_of(second),
    )
    await give_up(admin, first)
    assert await pending(service) == (0 if protects else 1)


async def test_an_account_that_gave_its_grant_up_protects_nobodys(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, alices: tuple[str, str]
) -> None:
    first, second = alices
    shown = data(await admin.post(f"/v1/accounts/{first}/disable?revoke=true"))
    assert shown["revocation"] == "not_needed"
    shown = data(await admin.post(f"/v1/accounts/{second}/disable?revoke=true"))
    assert shown["revocation"] == "requested"
    await worker(service)()
    assert revocations.tokens == ["two.1"]


async def test_a_discarded_grant_is_spared_when_its_user_comes_to_another_source(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, server: TokenServer
) -> None:
    async with WhoamiServer({}) as whoami:
        options = {"revocation_url": revocations.url, "userinfo_url": whoami.url, "external_id_path": "sub"}
        one, other = await service.source(server.url, **options), await service.source(server.url, **options)
        whoami.script.extend([sub("bob"), sub("alice"), sub("alice")])
        bob = data(await create(admin, one, **code("bob.1")), 201)["id"]
        refused = await admin.put(f"/v1/accounts/{bob}/credentials", json=code("alice.1"))
        problem(refused, 422, "external_id_mismatch", "external_id")
        assert await pending(service) == 1
        data(await create(admin, other, **code("alice2.1")), 201)
        assert await pending(service) == 0
    await worker(service)()
    assert revocations.asked == []


async def test_a_user_whose_account_is_just_being_stored_is_seen_before_anything_is_sent(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, token_url: str
) -> None:
    async with WhoamiServer({"one": "alice"}) as whoami:
        options = {"revocation_url": revocations.url, "userinfo_url": whoami.url, "external_id_path": "sub"}
        source_id, other = await service.source(token_url, **options), await service.source(token_url, **options)
        made = await create(admin, source_id, access_token="one", refresh_token="one.1", expires_in=3600)
        gone = data(made, 201)["id"]
    async with service.wired.works() as work:
        # PostgreSQL would end a transaction of ours that does nothing while the machine is slow.
        await work.connection.execute(UNHURRIED)
        tokens = LiveTokens(Secret("two"), Secret("two.1"), expires_in_s=3600)
        wanted = NewAccount(SourceId(parse_id(IdKind.SOURCE, other)), tokens, None, {}, {})
        caller = Caller("a test", service.environment, frozenset())
        await service.wired.create_account(
            work, caller, wanted, tokens=tokens, correlation_id="c", checked=Checked(told=(ExternalId("alice", "sub"),))
        )
        # Whoever stores her has looked for requests before this one, and has not committed.
        await give_up(admin, gone)
        revoking = asyncio.create_task(worker(service)())
        while not await service.sql("SELECT 1 FROM revocation_requests WHERE tries = 1"):  # noqa: ASYNC110 - it asks the database
            await asyncio.sleep(0.01)
    await revoking
    assert revocations.asked == []
    assert await ends(admin, gone) == ["superseded"]


# Labels


async def test_a_label_that_nobody_verified_takes_no_request_back(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, token_url: str
) -> None:
    source_id = await service.source(token_url, revocation_url=revocations.url)

    async def team(name: str) -> str:
        body = {"source_id": source_id, "external_id": "team-7", "credentials": {"access_token": name}}
        return str(data(await admin.post("/v1/accounts", json=body), 201)["id"])

    gone = await team("first")
    await give_up(admin, gone)
    await team("second")
    await worker(service)()
    assert revocations.tokens == ["first"]
    assert await ends(admin, gone) == ["revoked"]


async def test_what_is_taken_back_is_told_in_the_audit_trail(
    service: Service, admin: httpx.AsyncClient, revocations: RevocationServer, token_url: str
) -> None:
    source_id = await service.source(token_url, revocation_url=revocations.url)
    gone = await service.account(source_id)
    await give_up(admin, gone)
    data(await create(admin, source_id), 201)
    assert await ends(admin, gone) == ["superseded"]
    withdrawn = await service.account(source_id, "other")
    data(await admin.post(f"/v1/accounts/{withdrawn}/disable?revoke=true"))
    data(await admin.put(f"/v1/accounts/{withdrawn}/credentials", json={**LIVE, "refresh_token": "new.1"}))
    assert await ends(admin, withdrawn) == ["superseded"]
    await worker(service)()
    assert revocations.asked == []


# What may be alive


@pytest.mark.parametrize(
    ("reason", "asked"),
    [("in_doubt", 1), ("expired", 1), ("uninstalled", 1), ("by_operator", 1), ("revoked", 0)],
)
async def test_only_the_providers_own_word_is_the_end_of_a_grant(
    service: Service,
    admin: httpx.AsyncClient,
    revocations: RevocationServer,
    reason: str,
    asked: int,
) -> None:
    account_id = await service.account(await service.source(TOKEN_URL, revocation_url=revocations.url), reason)
    await service.sql(
        "UPDATE accounts SET state = 'disabled', disabled_reason = :r, disabled_at = now(), disabled_by = 't' WHERE id = :id",
        r=reason,
        id=uuid_of(account_id),
    )
    await give_up(admin, account_id)
    await worker(service)()
    assert revocations.tokens == [f"{reason}.1"] * asked
