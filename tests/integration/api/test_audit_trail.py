"""The audit trail: everything that was changed or shown, by whom, of what, from where, with what result."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from api_service import ADMIN_KEY, Service, data, open_service, problem
from tokenkeep.adapters.postgres.housekeeping import keep_house
from tokenkeep_api.audited_calls import ACTIONS
from walking import BODIES, SOURCED, ask, description, operations, things

# Of an account of OAuth 2 nothing is signed; `test_signing` audits that.
NOT_FOR_THIS_KIND = {"/v1/accounts/{account_id}/sign"}
# A provider would have to answer; `test_authorizations` audits these.
ASKING = {"/oauth1/v1/authorize", "/oauth1/v1/access_token", "/oauth2/v1/access_token"}
DELETE_SOURCE = ("DELETE", "/v1/sources/{source_id}")
# Whatever comes before it needs the account as it was.
LAST = ("/release", "/release/confirm", "DELETE")


async def trail(client: httpx.AsyncClient, **wanted: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = data(await client.get("/v1/audit", params={"limit": "200", **wanted}))
    return found


def in_order(calls: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that take an account away come last, and of these the deletions."""

    def place(call: tuple[str, str]) -> int:
        method, path = call
        return next((number for number, end in enumerate(LAST, 1) if path.endswith(end) or method == end), 0)

    return sorted(calls, key=place)


async def test_every_changing_call_leaves_its_record(service: Service, admin: httpx.AsyncClient) -> None:
    service.queue.refreshing = None  # nobody is to be asked
    ids = await things(service)
    described = await description(service)
    changing = [(method, path) for method, path, _ in operations(described) if method != "GET"]
    assert set(changing) <= set(ACTIONS), "a call that changes something is to be named in audited_calls"
    for method, path in in_order(changing):
        before = {entry_key(entry): entry["count"] for entry in await trail(admin)}
        if path in NOT_FOR_THIS_KIND | ASKING:
            continue
        # A source goes only without accounts.
        own = {**ids, "source_id": ids["connectable_id"]} if (method, path) == DELETE_SOURCE else ids
        answer = await ask(admin, method, path, own)
        assert answer.is_success, (method, path, answer.text)
        await service.flush()
        after = {entry_key(entry): entry["count"] for entry in await trail(admin)}
        [(record, _)] = set(after.items()) - set(before.items())
        named = [value for name, value in own.items() if f"{{{name}}}" in path]
        if path in SOURCED:
            named = [ids[SOURCED[path]]]
        target = named[0] if named else None if path == "/v1/events" else new_id(answer)
        assert record[1:] == (ACTIONS[method, path], target, "admin-key", "192.0.2.7", "ok")


def new_id(answer: httpx.Response) -> str:
    """The id of what a call has made; an import tells it in the result of its line."""
    document = json.loads(answer.text)
    return str(document.get("data", document)["id"])


def entry_key(entry: dict[str, Any]) -> tuple[str, ...]:
    return tuple(entry[name] for name in ("at", "action", "target", "actor", "address", "result"))


async def test_every_refused_attempt_of_a_known_caller_leaves_its_record(
    service: Service, admin: httpx.AsyncClient
) -> None:
    ids = await things(service)
    key = data(
        await admin.post(
            "/v1/api-keys",
            json={"name": "k", "environment": service.environment, "scopes": ["events:read"]},
        ),
        201,
    )
    calls = {(method, path) for method, path, _ in operations(await description(service)) if method != "GET"}
    async with service.client(key["key"]) as weak:
        for method, path in calls:
            problem(await ask(weak, method, path, ids), 403, "missing_scope")
        shown = await weak.get(f"/v1/accounts/{ids['account_id']}", params={"include_credentials": "1"})
        problem(shown, 403, "missing_scope")
        await weak.get("/v1/accounts")
    await service.flush()
    records = await trail(admin, actor=key["id"])
    assert {record["result"] for record in records} == {"missing_scope"}
    assert {record["address"] for record in records} == {"192.0.2.7"}
    assert sorted(record["action"] for record in records) == sorted(
        [*(ACTIONS[call] for call in calls), "credentials.read"]
    )
    for record in records:
        assert record["target"] in {*ids.values(), None}
        unnamed = record["action"].endswith(("create", "import", "send", "_token", ".authorize"))
        assert (record["target"] is None) == unnamed, record


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "query", ["include_credentials=1", "include_credentials=%31", "include%5Fcredentials=1", "%69nclude_credentials=1"]
)
async def test_credentials_are_not_read_in_vain_unseen_however_the_query_is_written(
    service: Service, admin: httpx.AsyncClient, method: str, query: str
) -> None:
    ids = await things(service)
    body = {"name": "k", "environment": service.environment, "scopes": ["accounts:read"]}
    key = data(await admin.post("/v1/api-keys", json=body), 201)
    async with service.client(key["key"]) as weak:
        answer = await weak.request(method, f"/v1/accounts/{ids['account_id']}?{query}")
        assert answer.status_code == 403
        assert (await weak.request(method, f"/v1/accounts/{ids['account_id']}")).status_code == 200
    await service.flush()
    [record] = await trail(admin, actor=key["id"])
    assert (record["action"], record["target"]) == ("credentials.read", ids["account_id"])
    assert (record["result"], record["count"]) == ("missing_scope", 1)


async def test_refused_credentials_and_other_vain_attempts_are_told_by_their_code(
    service: Service, admin: httpx.AsyncClient
) -> None:
    ids = await things(service)
    account = f"/v1/accounts/{ids['account_id']}"
    missing = f"acc_{'0' * 32}"
    await admin.put(f"{account}/credentials", json={"access_token": ""})
    await admin.post(f"/v1/accounts/{missing}/token")
    await admin.post("/v1/accounts/canary-who-knows/disable")
    await admin.post("/v1/sources", content=b"{", headers={"Content-Type": "application/json"})
    await service.flush()
    seen = {(entry["action"], entry["target"], entry["result"]) for entry in await trail(admin)}
    assert {
        ("account.reauthorize", ids["account_id"], "invalid_input"),
        ("token.vend", missing, "not_found"),
        ("account.disable", None, "malformed_id"),
        ("source.create", None, "malformed_json"),
    } <= seen
    assert "canary" not in str(seen)


async def test_an_account_is_audited_by_one_name_however_its_id_is_written(
    service: Service, admin: httpx.AsyncClient
) -> None:
    account_id = (await things(service))["account_id"]
    odd = f"acc_{account_id.removeprefix('acc_').upper()}"
    data(await admin.post(f"/v1/accounts/{odd}/token"))
    data(await admin.get(f"/v1/accounts/{odd}", params={"include_credentials": "1"}))
    await service.flush()
    actions = {entry["action"] for entry in await trail(admin, target=account_id)}
    assert {"token.vend", "credentials.read"} <= actions


async def test_an_answer_that_is_given_again_is_audited_again(service: Service, admin: httpx.AsyncClient) -> None:
    body = {"name": "k", "environment": service.environment, "scopes": ["sources:read"]}
    answers = [await admin.post("/v1/api-keys", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    await service.flush()
    key_id = data(answers[0], 201)["id"]
    results = {(entry["action"], entry["result"]) for entry in await trail(admin, target=key_id)}
    assert results == {("api_key.create", "ok"), ("api_key.create", "replayed")}


async def test_the_trail_is_looked_through_by_every_filter(service: Service, admin: httpx.AsyncClient) -> None:
    ids = await things(service)
    account_id = ids["account_id"]
    for call in ("disable", "enable", "disable"):
        data(await admin.post(f"/v1/accounts/{account_id}/{call}"))
    await admin.post(f"/v1/accounts/{account_id}/token")
    await service.flush()
    actions = [entry["action"] for entry in await trail(admin, target=account_id)]
    assert actions == ["token.vend", "account.disable", "account.enable", "account.disable", "account.create"]
    assert len(await trail(admin, target=account_id, action="account.disable")) == 2
    [refused] = await trail(admin, result="account_disabled")
    assert (refused["action"], refused["target"]) == ("token.vend", account_id)
    assert len(await trail(admin, actor="admin-key")) == len(await trail(admin))
    assert await trail(admin, actor="key_nobody") == []
    moment = (await trail(admin, action="account.enable"))[0]["at"]
    since = [entry["action"] for entry in await trail(admin, target=account_id, since=moment)]
    until = [entry["action"] for entry in await trail(admin, target=account_id, until=moment)]
    assert [*since, *until] == actions
    assert since[-1] == "account.enable"
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert await trail(admin, since=tomorrow) == []
    assert len(await trail(admin, until=tomorrow)) == len(await trail(admin))


async def test_a_filter_goes_along_with_the_cursor(service: Service, admin: httpx.AsyncClient) -> None:
    account_id = (await things(service))["account_id"]
    for _ in range(3):
        await admin.post(f"/v1/accounts/{account_id}/disable")
        await admin.post(f"/v1/accounts/{account_id}/enable")
    seen: list[str] = []
    wanted = {"action": "account.enable", "limit": "2"}
    page = (await admin.get("/v1/audit", params=wanted)).json()
    seen += [entry["action"] for entry in page["data"]]
    page = (await admin.get("/v1/audit", params={**wanted, "cursor": page["next_cursor"]})).json()
    seen += [entry["action"] for entry in page["data"]]
    assert seen == ["account.enable"] * 3
    assert page["next_cursor"] is None


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"actors": "key_1"}, "actors"),
        ({"actor": "a b"}, "actor"),
        ({"result": ""}, "result"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2030-01-01"}, "until"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "x"}, "cursor"),
    ],
)
async def test_a_filter_that_cannot_be_is_refused(
    admin: httpx.AsyncClient, parameters: dict[str, str], field: str
) -> None:
    problem(await admin.get("/v1/audit", params=parameters), 422, "invalid_input", field)


async def test_where_a_request_came_from_is_told_by_trusted_proxies_only(
    service: Service, admin: httpx.AsyncClient, api_database_url: str, redis_url: str
) -> None:
    told = {"X-Forwarded-For": "1.1.1.1, 203.0.113.9, 192.0.2.8"}
    body = {"name": "k", "environment": service.environment, "scopes": ["sources:read"]}
    await admin.post("/v1/api-keys", json=body, headers=told)
    async with open_service(api_database_url, redis_url, trusted_proxies="192.0.2.0/24") as behind:
        own = {"X-Tokenkeep-Environment": service.environment}
        async with behind.client(ADMIN_KEY, **own) as client:
            await client.post("/v1/api-keys", json=body, headers=told)
    addresses = [entry["address"] for entry in await trail(admin, action="api_key.create")]
    assert addresses == ["203.0.113.9", "192.0.2.7"]


def test_the_bodies_of_the_walk_are_those_of_calls_that_exist() -> None:
    assert set(BODIES) <= {path for _, path in ACTIONS}


async def test_the_trail_is_kept_for_as_many_days_as_are_set(service: Service, admin: httpx.AsyncClient) -> None:
    now = int(time.time() * 1000)
    for name, days in (("old", 31), ("young", 29)):
        made = uuid_of_moment(now - days * 86_400_000)
        await service.sql(
            "INSERT INTO audit_log (id, at, environment, actor, action, target, result)"
            " VALUES (:id, to_timestamp(:at), :e, 'admin-key', 'source.pause', :target, 'ok')",
            id=made,
            at=now / 1000 - days * 86_400,
            e=service.environment,
            target=name,
        )
    await keep_house(service.foundation.database, audit_days=0)
    assert {entry["target"] for entry in await trail(admin)} == {"old", "young"}
    await keep_house(service.foundation.database, audit_days=30)
    assert {entry["target"] for entry in await trail(admin)} == {"young"}


def uuid_of_moment(milliseconds: int) -> UUID:
    """A UUIDv7 of that moment."""
    return UUID(int=(milliseconds << 80) | (7 << 76) | (0b10 << 62) | 1)
