"""A grant that is brought once more: nothing of it is presented a second time, and nothing newer is lost for it."""

import asyncio

import httpx
import pytest

from api_service import Service, data, problem
from token_server import Said, TokenServer, says
from tokenkeep.application.create_account import CreateAccount
from tokenkeep.domain.errors import RevocationUnanswered
from tokenkeep.domain.ids import IdKind, parse_id

PAST = "2020-01-01T00:00:00Z"
FIRST = {"access_token": "access-grant.1", "refresh_token": "grant.1", "expires_at": PAST}
CODE = {"authorization_code": "code.1", "redirect_uri": "https://app.example/cb", "code_verifier": "v" * 43}


async def told(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return [event["type"].removeprefix("tokenkeep.account.") for event in reversed(events)]


async def put(admin: httpx.AsyncClient, account_id: str, body: object) -> httpx.Response:
    return await admin.put(f"/v1/accounts/{account_id}/credentials", json=body)


async def force(admin: httpx.AsyncClient, account_id: str) -> str:
    token = data(await admin.post(f"/v1/accounts/{account_id}/token", json={"force": True}))
    return str(token["access_token"])


async def test_a_grant_that_was_refreshed_since_is_left_as_it_is(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url), expires_in=None, expires_at=PAST)
    assert await force(admin, account_id) == "access-grant.2"
    before = data(await admin.get(f"/v1/accounts/{account_id}"))
    assert data(await put(admin, account_id, FIRST)) == before
    assert await force(admin, account_id) == "access-grant.3"
    assert server.presented == ["grant.1", "grant.2"]
    assert "reauthorized" not in await told(admin, account_id)
    [entry] = [one for one in data(await admin.get("/v1/audit")) if one["action"] == "account.reauthorize"]
    assert (entry["target"], entry["result"]) == (account_id, "unchanged")


@pytest.mark.parametrize("lost", [False, True])
async def test_one_that_is_being_presented_or_in_doubt_is_not_freed_by_its_repetition(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, *, lost: bool
) -> None:
    account_id = await service.account(await service.source(server.url))
    if lost:
        server.script.append(Said(drop=True))
    server.gate = asyncio.Event()
    data(await admin.post(f"/v1/accounts/{account_id}/refresh"), 202)
    await asyncio.wait_for(server.arrived.wait(), 10)
    if lost:
        server.gate.set()
        await service.queue.drain()
    await put(admin, account_id, FIRST)
    [lease] = await service.sql(
        "SELECT phase, epoch FROM leases WHERE account_id = :id", id=parse_id(IdKind.ACCOUNT, account_id)
    )
    assert (lease["phase"], lease["epoch"]) == ("doubt" if lost else "sent", 1)
    server.gate.set()
    await service.queue.drain()
    assert server.presented == ["grant.1"]
    if not lost:
        assert data(await admin.post(f"/v1/accounts/{account_id}/token"))["access_token"] == "access-grant.2"


async def test_the_spent_token_of_a_disabled_account_brings_it_not_back(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    assert await force(admin, account_id) == "access-grant.2"
    data(await admin.post(f"/v1/accounts/{account_id}/disable"))
    refused = problem(await put(admin, account_id, FIRST), 409, "account_exists")
    assert refused["account_id"] == account_id
    assert data(await admin.post(f"/v1/accounts/{account_id}/enable"))["state"] == "active"
    assert await force(admin, account_id) == "access-grant.3"
    assert server.presented == ["grant.1", "grant.2"]


async def test_the_spent_token_of_an_account_that_was_handed_back_is_not_taken_in(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    await force(admin, account_id)
    released = data(await admin.post(f"/v1/accounts/{account_id}/release"))
    problem(await put(admin, account_id, FIRST), 409, "account_exists")
    ours = {"access_token": "x", "refresh_token": released["refresh_token"], "expires_in": 3600}
    assert data(await put(admin, account_id, ours))["custody"] == "held"
    assert await force(admin, account_id) == "access-grant.3"
    assert server.presented == ["grant.1", "grant.2"]


async def test_what_cannot_be_compared_replaces_nothing(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    await force(admin, account_id)
    rows = await service.sql(
        "UPDATE credentials SET key_id = 'elsewhere' WHERE account_id = :id RETURNING refresh_ciphertext",
        id=parse_id(IdKind.ACCOUNT, account_id),
    )
    assert (await put(admin, account_id, FIRST)).status_code == 500
    assert rows == await service.sql(
        "SELECT refresh_ciphertext FROM credentials WHERE account_id = :id", id=parse_id(IdKind.ACCOUNT, account_id)
    )


async def test_a_token_that_is_not_used_up_may_be_put_again(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    server.rotates = False
    for options in ({"refresh_rotates": "no"}, {}):  # said by its source, or only seen by what it gave
        account_id = await service.account(await service.source(server.url, **options), f"g{len(options)}")
        name = f"g{len(options)}.1"
        await force(admin, account_id)
        data(await admin.post(f"/v1/accounts/{account_id}/disable"))
        same = {"access_token": "access-again", "refresh_token": name, "expires_in": 3600}
        assert data(await put(admin, account_id, same))["state"] == "active"
        assert data(await admin.post(f"/v1/accounts/{account_id}/token"))["access_token"] == "access-again"


async def test_another_grant_takes_the_place_of_one_that_was_refreshed(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    await force(admin, account_id)
    data(await put(admin, account_id, {"access_token": "new", "refresh_token": "other.1", "expires_in": 3600}))
    assert await force(admin, account_id) == "access-other.2"
    assert server.presented == ["grant.1", "other.1"]


async def test_a_code_is_exchanged_once_however_often_it_is_put(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    account_id, other = await service.account(source_id), await service.account(source_id, "other")
    answers = [await put(admin, account_id, CODE) for _ in range(2)]
    assert data(answers[0]) == data(answers[1])
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert server.presented == ["code.1"]
    problem(await put(admin, other, CODE), 409, "idempotency_key_reused")
    assert server.presented == ["code.1"]
    assert (await told(admin, account_id)).count("reauthorized") == 1


@pytest.mark.parametrize("keys", [("one", "two"), ("one", None), (None, "two")])
async def test_a_code_is_exchanged_once_under_whatever_keys(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, keys: tuple[str | None, str | None]
) -> None:
    body = {"source_id": await service.source(server.url), "credentials": CODE}
    answers = []
    for key in keys:
        headers = {} if key is None else {"Idempotency-Key": key}
        answers.append(await admin.post("/v1/accounts", json=body, headers=headers))
    assert data(answers[0], 201) == data(answers[1], 201)
    assert server.presented == ["code.1"]
    if keys[1] is not None:  # it was not used up by an answer that was another's
        body = {**body, "credentials": {**CODE, "authorization_code": "code.2"}}
        data(await admin.post("/v1/accounts", json=body, headers={"Idempotency-Key": keys[1]}), 201)


async def test_two_requests_at_once_exchange_a_code_once(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    body = {"source_id": await service.source(server.url), "credentials": CODE}
    server.gate = asyncio.Event()
    both = [
        asyncio.create_task(admin.post("/v1/accounts", json=body, headers={"Idempotency-Key": key}))
        for key in ("one", "two")
    ]
    await asyncio.wait_for(server.arrived.wait(), 10)
    server.gate.set()
    first, second = await asyncio.gather(*both)
    assert data(first, 201) == data(second, 201)
    assert server.presented == ["code.1"]


async def test_a_code_that_was_refused_may_be_put_again(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    account_id = await service.account(await service.source(server.url))
    server.script.append(says(503, {"error": "temporarily_unavailable"}))
    assert (await put(admin, account_id, CODE)).status_code in {422, 503}
    assert data(await put(admin, account_id, CODE))["state"] == "active"


async def test_a_code_creates_one_account_without_a_key_too(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    body = {"source_id": await service.source(server.url), "credentials": CODE}
    answers = [await admin.post("/v1/accounts", json=body) for _ in range(2)]
    assert data(answers[0], 201) == data(answers[1], 201)
    assert server.presented == ["code.1"]


async def test_a_code_whose_grant_was_refused_is_not_presented_again(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    """A server ends the grant that it gave for a code when the code comes again, and with it what another account may live on."""
    source_id = await service.source(server.url)
    data(await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": FIRST}), 201)
    server.script.append(says(200, {"access_token": "a", "refresh_token": FIRST["refresh_token"], "expires_in": 3600}))
    body = {"source_id": source_id, "credentials": CODE}
    first = await admin.post("/v1/accounts", json=body)
    again = [
        await admin.post("/v1/accounts", json=body, headers=with_key) for with_key in ({}, {"Idempotency-Key": "k"})
    ]
    problem(first, 409, "account_exists")
    assert [(one.status_code, one.json(), one.headers["content-type"]) for one in again] == [
        (409, first.json(), first.headers["content-type"])
    ] * 2
    assert server.presented == ["code.1"]
    other = {**body, "credentials": {**CODE, "authorization_code": "code.2"}}  # its key was not used up
    data(await admin.post("/v1/accounts", json=other, headers={"Idempotency-Key": "k"}), 201)


async def test_two_requests_at_once_whose_grant_is_refused_exchange_a_code_once(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    data(await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": FIRST}), 201)
    server.script.append(says(200, {"access_token": "a", "refresh_token": FIRST["refresh_token"], "expires_in": 3600}))
    server.gate = asyncio.Event()
    body = {"source_id": source_id, "credentials": CODE}
    both = [asyncio.create_task(admin.post("/v1/accounts", json=body)) for _ in range(2)]
    await asyncio.wait_for(server.arrived.wait(), 10)
    server.gate.set()
    for answer in await asyncio.gather(*both):
        problem(answer, 409, "account_exists")
    assert server.presented == ["code.1"]


async def test_a_code_whose_grant_could_not_be_stored_is_not_presented_again(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RevocationUnanswered(retry_after=60.0)

    body = {"source_id": await service.source(server.url), "credentials": CODE}
    with monkeypatch.context() as broken:
        broken.setattr(CreateAccount, "__call__", fail)
        assert (await admin.post("/v1/accounts", json=body)).status_code == 503
    problem(await admin.post("/v1/accounts", json=body), 409, "authorization_spent")
    assert server.presented == ["code.1"]
