"""Credentials that are verified with their provider before they are stored, and whenever somebody asks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from api_service import Service, data, problem
from raw_http import http
from token_server import TokenServer, says
from tokenkeep.domain.ids import IdKind, parse_id
from whoami_server import WhoamiServer

PAST = "2020-01-01T00:00:00Z"
TOKEN_URL = "https://93.184.215.14/token"
CODE = {"redirect_uri": "https://app.example/cb"}
REFUSED = "the provider does not take the credentials: invalid_token"


@pytest.fixture
async def whoami() -> AsyncIterator[WhoamiServer]:
    async with WhoamiServer({"canary-alice": "alice", "canary-bob": 4711}) as started:
        yield started


@pytest.fixture
async def source_id(service: Service, whoami: WhoamiServer) -> str:
    return await a_source(service, whoami)


async def a_source(service: Service, whoami: WhoamiServer, token_url: str = TOKEN_URL, **options: Any) -> str:
    options = {"external_id_path": "sub", **options}
    return await service.source(token_url, userinfo_url=whoami.url, **options)


def live(name: str = "alice", **changes: Any) -> dict[str, Any]:
    tokens = {"access_token": f"canary-{name}", "refresh_token": f"canary-{name}.1", "expires_in": 3600, **changes}
    return {member: value for member, value in tokens.items() if value is not None}


def uuid_of(account_id: str) -> UUID:
    return parse_id(IdKind.ACCOUNT, account_id)


async def create(admin: httpx.AsyncClient, source_id: str, tokens: Any, **more: Any) -> httpx.Response:
    query = {"verify": more.pop("verify")} if "verify" in more else None
    return await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": tokens, **more}, params=query)


async def verify(admin: httpx.AsyncClient, account_id: str) -> httpx.Response:
    return await admin.post(f"/v1/accounts/{account_id}/verify")


async def told(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return [event["type"].removeprefix("tokenkeep.account.") for event in reversed(events)]


def result(account: dict[str, Any]) -> tuple[str, str | None]:
    return account["verification"]["result"], account["verification"]["code"]


def identity(account: dict[str, Any]) -> tuple[str | None, bool]:
    return account["external_id"], account["external_id_verified"]


async def test_the_provider_says_whose_the_credentials_are(
    admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    account = data(await create(admin, source_id, live()), 201)
    assert identity(account) == ("alice", True)
    assert result(account) == ("confirmed", None)
    assert whoami.asked == ["canary-alice"]
    assert whoami.heads[0].startswith(b"GET /me HTTP/1.1\r\n")
    assert b"user-agent: tokenkeep\r\n" in whoami.heads[0]
    assert data(await admin.get(f"/v1/accounts/{account['id']}")) == account
    assert [one["id"] for one in data(await admin.get("/v1/accounts", params={"external_id": "alice"}))] == [
        account["id"]
    ]
    assert identity(data(await create(admin, source_id, live("bob"), external_id="4711"), 201)) == ("4711", True)
    created = data(await admin.get(f"/v1/accounts/{account['id']}/events"))[-1]
    assert created["data"]["external_id"] == "alice"


async def test_credentials_that_the_provider_does_not_take_are_refused(
    admin: httpx.AsyncClient, source_id: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await create(admin, source_id, live("nobody"))
    refused = problem(answer, 422, "credentials_rejected", "credentials.access_token")
    assert refused["detail"] == REFUSED
    assert data(await admin.get("/v1/accounts")) == []
    account_id = data(await create(admin, source_id, live()), 201)["id"]
    before = data(await admin.get(f"/v1/accounts/{account_id}"))
    path = f"/v1/accounts/{account_id}/credentials"
    problem(await admin.put(path, json=live("nobody")), 422, "credentials_rejected", "access_token")
    assert data(await admin.get(f"/v1/accounts/{account_id}")) == before
    assert "canary" not in answer.text + "".join(capfd.readouterr())


async def test_a_code_of_a_provider_that_shows_what_it_was_sent_is_not_repeated(
    admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    whoami.script.append(http(b'{"error": "canary_nobody"}', status="401 No"))
    answer = await create(admin, source_id, live("nobody"))
    problem(answer, 422, "credentials_rejected", "credentials.access_token")
    assert "canary" not in answer.text


async def test_another_id_than_the_given_one_is_refused(admin: httpx.AsyncClient, source_id: str) -> None:
    answer = await create(admin, source_id, live(), external_id="bob")
    problem(answer, 422, "external_id_mismatch", "external_id")
    assert "alice" not in answer.text
    assert data(await admin.get("/v1/accounts")) == []


async def test_a_second_account_of_the_same_user_is_refused_with_the_id_of_the_first(
    service: Service, admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    first = data(await create(admin, source_id, live()), 201)["id"]
    again = await create(admin, source_id, live(refresh_token="another.1"))
    assert problem(again, 409, "account_exists")["account_id"] == first
    elsewhere = await a_source(service, whoami)
    assert identity(data(await create(admin, elsewhere, live(refresh_token="elsewhere.1")), 201)) == ("alice", True)


async def test_of_two_that_come_at_the_same_time_one_is_created(
    admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    whoami.gate = asyncio.Event()
    calls = [asyncio.create_task(create(admin, source_id, live(refresh_token=f"r{n}.1"))) for n in range(6)]
    while len(whoami.asked) < 6:
        await whoami.arrived.wait()
        whoami.arrived.clear()
    whoami.gate.set()
    answers = await asyncio.gather(*calls)
    [made] = [data(answer, 201) for answer in answers if answer.status_code == 201]
    refused = [problem(answer, 409, "account_exists") for answer in answers if answer.status_code != 201]
    assert {one["account_id"] for one in refused} == {made["id"]}
    assert len(data(await admin.get("/v1/accounts"))) == 1


UNKNOWN = [
    (b"", "network_error"),
    (http(b"oops", status="500 Oops"), "provider_5xx"),
    (http(b"", status="429 Slower"), "rate_limited"),
    (http(b"", "location: http://127.0.0.1:1/", status="302 Found"), "malformed_response"),
    (http(b"<!doctype html><title>Sign in</title>"), "malformed_response"),
    (http(b"<html><body>proxy</body></html>", status="401 No"), "provider_4xx"),
    (http(b'{"error": "insufficient_scope"}', status="403 No"), "insufficient_scope"),
    (http(b'{"ok": false, "error": "fatal_error"}'), "insufficient_response"),
    (http(b'{"sub": null}'), "insufficient_response"),
    (http(b"{}"), "insufficient_response"),
    (http(b'{"sub": "' + b"x" * 1_100_000 + b'"}'), "malformed_response"),
]


@pytest.mark.parametrize(("said", "code"), UNKNOWN, ids=[f"{n}-{code}" for n, (_, code) in enumerate(UNKNOWN)])
async def test_what_is_no_word_on_the_credentials_refuses_nobody(
    admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str, said: bytes, code: str
) -> None:
    whoami.script.append(said)
    account = data(await create(admin, source_id, live(), external_id="alice"), 201)
    assert identity(account) == ("alice", False)
    assert result(account) == ("unknown", code)
    assert account["state"] == "active"
    assert len(whoami.asked) == 1, "it is asked once"
    later = data(await verify(admin, account["id"]))
    assert (identity(later), result(later)) == (("alice", True), ("confirmed", None))


async def test_a_provider_that_is_away_refuses_nobody(
    service: Service, admin: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source(service, whoami)
    whoami.close()
    account = data(await create(admin, source_id, live()), 201)
    assert (identity(account), result(account)) == ((None, False), ("unknown", "network_error"))


async def test_nobody_is_asked_who_need_not_be(
    service: Service, admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    skipped = data(await create(admin, source_id, live(), external_id="given", verify="false"), 201)
    assert (identity(skipped), skipped["verification"]) == (("given", False), None)
    pending = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)
    assert pending["verification"] is None
    expired = data(await create(admin, source_id, live("bob", expires_in=None, expires_at=PAST)), 201)
    assert result(expired) == ("unknown", "token_expired")
    plain = await service.source(TOKEN_URL)
    unasked = data(await create(admin, plain, live(refresh_token="elsewhere.1")), 201)
    assert unasked["verification"] is None
    put = await admin.put(f"/v1/accounts/{expired['id']}/credentials", json=live("bob"), params={"verify": "false"})
    assert data(put)["verification"] is None
    assert whoami.asked == []
    problem(await create(admin, source_id, live(), verify="maybe"), 422, "invalid_input", "verify")


async def test_a_token_of_unknown_age_that_is_called_expired_may_be_renewed(
    admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    said = http(b'{"error": "expired_token"}', status="401 No")
    whoami.script += [said, said]
    stale = data(await create(admin, source_id, live(expires_in=None)), 201)
    assert result(stale) == ("unknown", "token_expired")
    only = live("bob", expires_in=None, refresh_token=None)
    problem(await create(admin, source_id, only), 422, "credentials_rejected", "credentials.access_token")


async def test_equal_requests_ask_once(admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str) -> None:
    body = {"source_id": source_id, "credentials": live()}
    calls = [admin.post("/v1/accounts", json=body, headers={"Idempotency-Key": "k"}) for _ in range(4)]
    answers = await asyncio.gather(*calls)
    assert len({data(answer, 201)["id"] for answer in answers}) == 1
    assert len(whoami.asked) == 1
    wrong = {"source_id": source_id, "credentials": live("nobody")}
    for _ in range(2):
        refused = await admin.post("/v1/accounts", json=wrong, headers={"Idempotency-Key": "l"})
        problem(refused, 422, "credentials_rejected", "credentials.access_token")


async def test_new_credentials_of_somebody_else_are_refused_and_nothing_changes(
    admin: httpx.AsyncClient, source_id: str
) -> None:
    account = data(await create(admin, source_id, live()), 201)
    path = f"/v1/accounts/{account['id']}/credentials"
    problem(await admin.put(path, json=live("bob")), 422, "external_id_mismatch", "external_id")
    assert data(await admin.get(f"/v1/accounts/{account['id']}")) == account
    again = data(await admin.put(path, json=live(refresh_token="second.1")))
    assert (identity(again), result(again)) == (("alice", True), ("confirmed", None))
    assert await told(admin, account["id"]) == ["created", "activated", "reauthorized"]


async def test_new_credentials_tell_whose_an_account_is(admin: httpx.AsyncClient, source_id: str) -> None:
    pending = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)["id"]
    account = data(await admin.put(f"/v1/accounts/{pending}/credentials", json=live()))
    assert (identity(account), account["state"]) == (("alice", True), "active")
    [activated] = [one for one in data(await admin.get(f"/v1/accounts/{pending}/events")) if "activated" in one["type"]]
    assert activated["data"]["external_id"] == "alice"
    other = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)["id"]
    taken = live(refresh_token="second.1")
    refused = await admin.put(f"/v1/accounts/{other}/credentials", json=taken)
    assert problem(refused, 409, "account_exists")["account_id"] == pending
    named = data(await admin.post("/v1/accounts", json={"source_id": source_id, "external_id": "mine"}), 201)["id"]
    refused = await admin.put(f"/v1/accounts/{named}/credentials", json=taken)
    assert problem(refused, 409, "account_exists")["account_id"] == pending
    account = data(await admin.put(f"/v1/accounts/{named}/credentials", json=live("bob")))
    assert (identity(account), result(account)) == (("mine", False), ("confirmed", "external_id_mismatch"))


async def test_an_account_is_verified_when_somebody_asks(
    admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    account = data(await create(admin, source_id, live(), verify="false"), 201)
    whoami.people["canary-alice"] = "alice"
    seen = data(await verify(admin, account["id"]))
    assert (identity(seen), result(seen)) == (("alice", True), ("confirmed", None))
    assert data(await admin.get(f"/v1/accounts/{account['id']}")) == seen
    del whoami.people["canary-alice"]
    seen = data(await verify(admin, account["id"]))
    assert (identity(seen), result(seen)) == (("alice", True), ("rejected", "invalid_token"))
    assert (seen["state"], seen["health"], seen["last_error"]) == ("active", "healthy", None)
    assert await told(admin, account["id"]) == ["created", "activated"]
    entries = [one for one in data(await admin.get("/v1/audit")) if one["action"] == "account.verify"]
    assert [entry["target"] for entry in entries] == [account["id"]] * 2


async def test_a_given_id_is_never_overwritten(admin: httpx.AsyncClient, source_id: str) -> None:
    account = data(await create(admin, source_id, live(), external_id="mine", verify="false"), 201)
    seen = data(await verify(admin, account["id"]))
    assert (identity(seen), result(seen)) == (("mine", False), ("confirmed", "external_id_mismatch"))


async def test_an_id_that_another_account_has_is_a_conflict_that_is_kept(
    service: Service, admin: httpx.AsyncClient, source_id: str
) -> None:
    first = data(await create(admin, source_id, live()), 201)["id"]
    second = data(await create(admin, source_id, live(refresh_token="second.1"), verify="false"), 201)["id"]
    assert problem(await verify(admin, second), 409, "account_exists")["account_id"] == first
    seen = data(await admin.get(f"/v1/accounts/{second}"))
    assert (identity(seen), result(seen)) == ((None, False), ("confirmed", "account_exists"))
    await service.flush()
    [entry] = [one for one in data(await admin.get("/v1/audit")) if one["action"] == "account.verify"]
    assert (entry["target"], entry["result"], entry["count"]) == (second, "account_exists", 1)


async def test_a_rejection_of_what_cannot_be_refreshed_is_told_once_until_it_is_taken_back(
    admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    account_id = data(await create(admin, source_id, live(refresh_token=None)), 201)["id"]
    whoami.people.clear()
    for _ in range(2):
        seen = data(await verify(admin, account_id))
        assert (seen["state"], seen["health"]) == ("active", "failing")
        assert (seen["last_error"]["reason"], seen["last_error"]["http_status"]) == ("provider_4xx", 401)
        assert data(await admin.post(f"/v1/accounts/{account_id}/token"))["access_token"] == "canary-alice"
    assert await told(admin, account_id) == ["created", "activated", "failing"]
    whoami.script.append(http(b"oops", status="500 Oops"))
    assert data(await verify(admin, account_id))["health"] == "failing"
    whoami.people["canary-alice"] = "alice"
    seen = data(await verify(admin, account_id))
    assert (seen["health"], seen["last_error"]) == ("healthy", None)
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    assert [event["type"].rpartition(".")[2] for event in events][:2] == ["recovered", "failing"]
    assert events[1]["data"]["reason"] == "provider_4xx"


async def test_a_token_that_has_run_out_is_refreshed_by_a_worker_first(
    service: Service, admin: httpx.AsyncClient, whoami: WhoamiServer, server: TokenServer
) -> None:
    whoami.people["access-grant.2"] = "alice"
    source_id = await a_source(service, whoami, server.url)
    account_id = await service.account(source_id, expires_in=None, expires_at=PAST)
    seen = data(await verify(admin, account_id))
    assert (identity(seen), result(seen)) == (("alice", True), ("confirmed", None))
    assert whoami.asked == ["access-grant.2"]
    server.script.append(says(400, {"error": "invalid_grant"}))
    other = await service.account(source_id, "other", expires_in=None, expires_at=PAST)
    problem(await verify(admin, other), 409, "reauthorization_required")


async def test_what_was_learnt_of_credentials_that_are_no_more_is_not_kept(
    admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    account_id = data(await create(admin, source_id, live(), verify="false"), 201)["id"]
    whoami.gate = asyncio.Event()
    asking = asyncio.create_task(verify(admin, account_id))
    await whoami.arrived.wait()
    path = f"/v1/accounts/{account_id}/credentials"
    data(await admin.put(path, json=live("bob"), params={"verify": "false"}))
    whoami.gate.set()
    seen = data(await asking)
    assert (identity(seen), result(seen)) == ((None, False), ("unknown", "credentials_changed"))


async def test_an_account_that_gives_no_token_is_not_verified(
    service: Service, admin: httpx.AsyncClient, whoami: WhoamiServer, source_id: str
) -> None:
    pending = data(await admin.post("/v1/accounts", json={"source_id": source_id}), 201)["id"]
    problem(await verify(admin, pending), 409, "account_pending")
    account_id = data(await create(admin, source_id, live(), verify="false"), 201)["id"]
    data(await admin.post(f"/v1/accounts/{account_id}/disable"))
    problem(await verify(admin, account_id), 409, "account_disabled")
    assert whoami.asked == []
    plain = await service.source(TOKEN_URL)
    unasked = data(await create(admin, plain, live(refresh_token="elsewhere.1")), 201)["id"]
    assert result(data(await verify(admin, unasked))) == ("unknown", "not_supported")


async def a_coded_source(service: Service, server: TokenServer, whoami: WhoamiServer, **options: Any) -> str:
    source_id = await a_source(service, whoami, server.url, revocation_url="https://93.184.215.14/revoke", **options)
    # To a provider, sources of one client are the same: this one is the test's own.
    await service.sql(
        "UPDATE sources SET client_id = :own WHERE id = :id",
        own=source_id,
        id=parse_id(IdKind.SOURCE, source_id, field="id"),
    )
    return source_id


async def to_be_revoked(service: Service, source_id: str) -> list[Any]:
    return list(
        await service.sql(
            "SELECT external_id FROM revocation_requests WHERE source_id = :id",
            id=parse_id(IdKind.SOURCE, source_id, field="id"),
        )
    )


def granted(name: str, **more: Any) -> Any:
    return says(200, {"access_token": f"canary-{name}", "refresh_token": f"fresh-{name}.1", "expires_in": 600, **more})


async def test_a_code_is_exchanged_and_what_came_of_it_verified(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, whoami: WhoamiServer
) -> None:
    source_id = await a_coded_source(service, server, whoami)
    server.script.append(granted("alice"))
    code = {**CODE, "authorization_code": "c.1"}
    account = data(await create(admin, source_id, code), 201)
    assert (identity(account), result(account)) == (("alice", True), ("confirmed", None))
    server.script.append(granted("nobody"))
    refused = await create(admin, source_id, {**code, "authorization_code": "c.2"})
    problem(refused, 422, "credentials_rejected", "credentials.authorization_code")


async def test_the_token_endpoints_own_word_comes_first(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, whoami: WhoamiServer
) -> None:
    options = {"token_external_id_path": "owner.id", "userinfo_url": whoami.url}
    source_id = await service.source(server.url, **options)
    code = {**CODE, "authorization_code": "c.1"}
    server.script.append(granted("alice", owner={"id": 17}))
    assert identity(data(await create(admin, source_id, code), 201)) == ("17", True)
    server.script.append(granted("bob", owner={"id": 18}))
    code["authorization_code"] = "c.2"
    assert identity(data(await create(admin, source_id, code, verify="false"), 201)) == ("18", True)
    assert len(whoami.asked) == 1


async def test_a_fresh_grant_that_no_account_takes_is_revoked(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, whoami: WhoamiServer
) -> None:
    source_id = await a_coded_source(service, server, whoami)
    code = {**CODE, "authorization_code": "c.1"}
    server.script.append(granted("bob"))
    problem(await create(admin, source_id, code, external_id="x"), 422, "external_id_mismatch", "external_id")
    assert [row["external_id"] for row in await to_be_revoked(service, source_id)] == ["4711"]
    account_id = data(await create(admin, source_id, live()), 201)["id"]
    server.script.append(granted("bob"))
    refused = await admin.put(f"/v1/accounts/{account_id}/credentials", json={**code, "authorization_code": "c.2"})
    problem(refused, 422, "external_id_mismatch", "external_id")
    assert len(await to_be_revoked(service, source_id)) == 2
    data(await create(admin, source_id, live("bob")), 201)
    assert await to_be_revoked(service, source_id) == [], "he has come back, and with him his grant"


async def test_no_grant_is_revoked_that_an_account_may_hold(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, whoami: WhoamiServer
) -> None:
    source_id = await a_coded_source(service, server, whoami)
    code = {**CODE, "authorization_code": "c.1"}
    alice = data(await create(admin, source_id, live()), 201)["id"]
    data(await create(admin, source_id, live("bob")), 201)
    server.script.append(granted("bob"))
    refused = await admin.put(f"/v1/accounts/{alice}/credentials", json=code)
    problem(refused, 422, "external_id_mismatch", "external_id")
    server.script.append(granted("bob"))
    problem(await create(admin, source_id, {**code, "authorization_code": "c.2"}), 409, "account_exists")
    whoami.people["canary-carol"] = "carol"
    data(await create(admin, source_id, live("unknown"), verify="false"), 201)
    server.script.append(granted("carol"))
    code["authorization_code"] = "c.3"
    problem(await create(admin, source_id, code, external_id="x"), 422, "external_id_mismatch", "external_id")
    assert await to_be_revoked(service, source_id) == []


async def test_what_the_caller_holds_is_the_callers(
    service: Service, admin: httpx.AsyncClient, server: TokenServer, whoami: WhoamiServer
) -> None:
    source_id = await a_coded_source(service, server, whoami)
    problem(await create(admin, source_id, live(), external_id="x"), 422, "external_id_mismatch", "external_id")
    assert await to_be_revoked(service, source_id) == []


async def a_source_of(admin: httpx.AsyncClient, whoami: WhoamiServer, provider: str, **client: str) -> str:
    options = {"userinfo_url": whoami.url, "external_id_path": "sub"}
    body = {"provider": provider, "name": "n", "options": options, **client}
    return str(data(await admin.post("/v1/sources", json=body), 201)["id"])


async def test_a_key_is_verified_where_it_goes_and_its_rejection_is_told(
    admin: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    source_id = await a_source_of(admin, whoami, "generic-api-key")
    account = data(await create(admin, source_id, {"api_key": "canary-alice"}), 201)
    assert (identity(account), result(account)) == (("alice", True), ("confirmed", None))
    assert b"x-api-key: canary-alice\r\n" in whoami.heads[0]
    assert b"authorization" not in whoami.heads[0]
    refused = await create(admin, source_id, {"api_key": "canary-nobody"})
    problem(refused, 422, "credentials_rejected", "credentials.api_key")
    again = await create(admin, source_id, {"api_key": "canary-alice"})
    assert problem(again, 409, "account_exists")["account_id"] == account["id"]
    whoami.people.clear()
    seen = data(await verify(admin, account["id"]))
    assert (result(seen), seen["state"], seen["health"]) == (("rejected", "invalid_token"), "active", "failing")
    assert await told(admin, account["id"]) == ["created", "activated", "failing"]


async def test_a_request_of_oauth1_is_signed_with_what_is_to_be_stored(
    admin: httpx.AsyncClient, whoami: WhoamiServer
) -> None:
    client = {"client_id": "consumer", "client_secret": "canary-consumer"}
    source_id = await a_source_of(admin, whoami, "generic-oauth1", **client)
    pair = {"oauth_token": "canary-alice", "oauth_token_secret": "canary-secret"}
    account = data(await create(admin, source_id, pair), 201)
    assert (identity(account), result(account)) == (("alice", True), ("confirmed", None))
    assert b'oauth_consumer_key="consumer"' in whoami.heads[0]
    assert b"oauth_signature=" in whoami.heads[0]
    assert b"canary-secret" not in whoami.heads[0]
    assert result(data(await verify(admin, account["id"]))) == ("confirmed", None)
    refused = await create(admin, source_id, {**pair, "oauth_token": "canary-nobody"})
    problem(refused, 422, "credentials_rejected", "credentials")
