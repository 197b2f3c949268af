"""Sources and the catalogue over HTTP."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from api_service import Service, data, problem
from token_server import TokenServer
from tokenkeep.adapters.postgres.source_tending import PostgresTendings
from tokenkeep.application.tend_sources import TendSources
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.source_changes import pause

BODY: dict[str, Any] = {
    "provider": "generic-oauth2",
    "name": "books",
    "client_id": "client",
    "client_secret": "canary-secret",
    "options": {"token_url": "https://93.184.215.14/token"},
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**BODY, **changes}


async def test_the_catalogue_tells_what_a_provider_takes(admin: httpx.AsyncClient) -> None:
    answer = await admin.get("/v1/providers")
    slugs = [entry["slug"] for entry in data(answer)]
    assert slugs == sorted(slugs)
    assert answer.json()["next_cursor"] is None
    entry = data(await admin.get("/v1/providers/quickbooks"))
    assert entry["auth_type"] == "oauth2"
    assert "realmId" in entry["property_schema"]["properties"]
    assert entry["credential_schema"]["oneOf"]
    assert entry["capabilities"]["revocation"] is True
    revocable = {entry["slug"] for entry in data(answer) if entry["capabilities"]["revocation"]}
    assert {"facebook", "github", "hubspot", "slack"} <= revocable
    assert not {"instagram", "stripe-connect", "trello"} & revocable
    problem(await admin.get("/v1/providers/nobody"), 404, "not_found")


async def test_the_catalogue_can_be_narrowed(admin: httpx.AsyncClient) -> None:
    signed = data(await admin.get("/v1/providers", params={"auth_type": "oauth1"}))
    assert {entry["auth_type"] for entry in signed} == {"oauth1"}
    found = data(await admin.get("/v1/providers", params={"category": "accounting", "q": "xer"}))
    assert [entry["slug"] for entry in found] == ["xero"]
    problem(await admin.get("/v1/providers", params={"auth_type": "magic"}), 422, "invalid_input", "auth_type")


async def test_a_caller_that_has_the_catalogue_is_not_sent_it_again(admin: httpx.AsyncClient) -> None:
    first = await admin.get("/v1/providers/xero")
    again = await admin.get("/v1/providers/xero", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_source_is_stored_and_its_secret_never_shown(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/v1/sources", json=changed(scopes=["a", "b", "a"]))
    source = data(answer, 201)
    assert source["scopes"] == ["a", "b"]
    assert source["state"] == "active"
    assert source["options"] == BODY["options"]
    assert data(await admin.get(f"/v1/sources/{source['id']}")) == source
    assert data(await admin.get("/v1/sources")) == [source]
    assert "canary" not in answer.text


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (changed(provider="nobody"), "invalid_input", "provider"),
        (changed(client_id=7), "invalid_input", "client_id"),
        (changed(name=""), "invalid_input", "name"),
        (changed(name="two\nlines"), "invalid_input", "name"),
        (changed(client_secret="sec\r\nret"), "invalid_input", "client_secret"),
        (changed(scopes=["a b"]), "invalid_input", "scopes.0"),
        (changed(colour="red"), "invalid_input", "colour"),
        (changed(options={}), "invalid_input", "options.token_url"),
        (changed(options={"discovery_url": "login.test"}), "invalid_input", "options.discovery_url"),
        (changed(options={"discovery_url": "https://127.0.0.2/"}), "forbidden_address", "options.discovery_url"),
        (changed(options={**BODY["options"], "tokenurl": "x"}), "invalid_input", "options.tokenurl"),
        (changed(options={"token_url": "http://93.184.215.14/token"}), "invalid_input", "options.token_url"),
        (changed(options={"token_url": "https://10.0.0.1/token"}), "forbidden_address", "options.token_url"),
        (changed(options={"token_url": "https://169.254.169.254/token"}), "forbidden_address", "options.token_url"),
        (changed(options={"token_url": "https://localhost/token"}), "forbidden_address", "options.token_url"),
        (
            changed(options={**BODY["options"], "revocation_url": "https://[::1]/x"}),
            "forbidden_address",
            "options.revocation_url",
        ),
        (
            changed(provider="canvas-lms", options={"hostname": "metadata.google.internal"}),
            "forbidden_address",
            "options.hostname",
        ),
        (
            changed(options={**BODY["options"], "refresh_params": {"a": "{nobody}"}}),
            "invalid_input",
            "options.refresh_params.a",
        ),
        (changed(provider="tuya", options={}), "invalid_input", "options.refresher"),
        ({key: value for key, value in BODY.items() if key != "name"}, "invalid_input", "name"),
        ([BODY], "invalid_input", "body"),
    ],
)
async def test_what_is_wrong_with_a_source_is_named(admin: httpx.AsyncClient, body: Any, code: str, field: str) -> None:
    problem(await admin.post("/v1/sources", json=body), 422, code, field)
    assert data(await admin.get("/v1/sources")) == []


async def test_a_name_that_does_not_resolve_now_is_let_pass(admin: httpx.AsyncClient) -> None:
    options = {"token_url": "https://nowhere.invalid/token"}
    data(await admin.post("/v1/sources", json=changed(options=options)), 201)


async def test_lists_go_on_where_the_cursor_says(admin: httpx.AsyncClient) -> None:
    made = [data(await admin.post("/v1/sources", json=changed(name=f"s{n}")), 201)["name"] for n in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        parameters = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        answer = (await admin.get("/v1/sources", params=parameters)).json()
        seen += [source["name"] for source in answer["data"]]
        cursor = answer["next_cursor"]
    assert seen == made
    assert cursor is None


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({"limit": "0"}, "limit"), ({"limit": "201"}, "limit"), ({"limit": "x"}, "limit"), ({"cursor": "AAAA"}, "cursor")],
)
async def test_a_page_that_cannot_be_is_refused(
    admin: httpx.AsyncClient, parameters: dict[str, str], field: str
) -> None:
    problem(await admin.get("/v1/sources", params=parameters), 422, "invalid_input", field)


async def a_round_of_the_scheduler(service: Service) -> None:
    await TendSources(PostgresTendings(service.foundation.database))()


async def pause_for(service: Service, source_id: str, reason: str) -> None:
    """As a worker does it."""
    async with service.wired.works() as work:
        found = await work.sources.lock(SourceId(UUID(source_id.removeprefix("src_"))))
        assert found is not None
        source, told = found
        await work.sources.save(pause(source, reason, now=await work.accounts.now()), event_sequence=told + 1)


async def test_pausing_tells_once_and_is_audited_once(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = await service.source("https://93.184.215.14/token")
    for _ in range(2):
        paused = data(await admin.post(f"/v1/sources/{source_id}/pause"))
        assert (paused["state"], paused["paused_reason"]) == ("paused", "by_operator")
        assert paused["paused_at"] is not None
    resumed = data(await admin.post(f"/v1/sources/{source_id}/resume", json={}))
    assert (resumed["state"], resumed["paused_reason"], resumed["paused_at"]) == ("active", None, None)
    actions = [entry["action"] for entry in data(await admin.get("/v1/audit"))]
    assert actions == ["source.resume", "source.pause", "source.create"]
    events = await service.sql(
        "SELECT type, correlation_id FROM events WHERE environment = :e ORDER BY sequence", e=service.environment
    )
    assert [event["type"] for event in events] == ["tokenkeep.source.paused", "tokenkeep.source.resumed"]
    assert all(event["correlation_id"] for event in events)
    problem(await admin.post(f"/v1/sources/{source_id}/pause", json={"why": "x"}), 422, "invalid_input", "why")


async def test_a_paused_sources_accounts_are_not_refreshed_and_come_back_at_once(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    overdue = await service.account(source_id, "overdue", expires_in=None, expires_at="2020-01-01T00:00:00Z")
    later = await service.account(source_id, "later")
    await admin.post(f"/v1/sources/{source_id}/pause")
    # As a scheduler's tick does with those that are due.
    await service.sql(
        "UPDATE leases SET due_at = now() + interval '10 minutes', next_refresh_at = now() - interval '1 minute' "
        "WHERE account_id = CAST(:id AS uuid)",
        id=overdue.removeprefix("acc_"),
    )
    asked = await admin.post(f"/v1/accounts/{overdue}/token", json={"force": True, "wait": 5})
    problem(asked, 503, "token_unavailable")
    problem(await admin.post(f"/v1/accounts/{overdue}/refresh"), 409, "source_paused")
    assert server.presented == []
    await admin.post(f"/v1/sources/{source_id}/resume")
    await a_round_of_the_scheduler(service)
    rows = await service.sql(
        "SELECT account_id, due_at <= now() AS due, due_at = next_refresh_at AS planned FROM leases "
        "WHERE account_id = ANY(CAST(:ids AS uuid[]))",
        ids=[overdue.removeprefix("acc_"), later.removeprefix("acc_")],
    )
    assert {f"acc_{row['account_id'].hex}": (row["due"], row["planned"]) for row in rows} == {
        overdue: (True, False),
        later: (False, True),
    }
    assert data(await admin.post(f"/v1/accounts/{overdue}/token", json={"force": True}))["refreshed"] is True


async def test_what_is_given_is_changed_and_nothing_else(admin: httpx.AsyncClient) -> None:
    made = data(await admin.post("/v1/sources", json=changed(scopes=["a"])), 201)
    path = f"/v1/sources/{made['id']}"
    renamed = data(await admin.patch(path, json={"name": "other"}))
    assert renamed == {**made, "name": "other", "updated_at": renamed["updated_at"]}
    assert renamed["updated_at"] > made["updated_at"]
    rescoped = data(await admin.patch(path, json={"scopes": ["b", "b"]}))
    assert (rescoped["scopes"], rescoped["name"]) == (["b"], "other")
    options = {"token_url": "https://93.184.215.14/other"}
    answer = await admin.patch(path, json={"client_id": "new", "client_secret": "canary-new", "options": options})
    moved = data(answer)
    assert (moved["client_id"], moved["options"]) == ("new", options)
    assert "canary" not in answer.text
    assert data(await admin.get(path)) == moved
    actions = [entry["action"] for entry in data(await admin.get("/v1/audit"))]
    assert actions == ["source.update"] * 3 + ["source.create"]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "invalid_input", "body"),
        (None, "invalid_input", "body"),
        ({"name": None}, "invalid_input", "name"),
        ({"client_id": None}, "invalid_input", "client_id"),
        ({"provider": "quickbooks"}, "invalid_input", "provider"),
        ({"state": "paused"}, "invalid_input", "state"),
        ({"client_secret": "sec\r\nret"}, "invalid_input", "client_secret"),
        ({"options": {}}, "invalid_input", "options.token_url"),
        ({"options": {**BODY["options"], "tokenurl": "x"}}, "invalid_input", "options.tokenurl"),
        ({"options": {"token_url": "https://10.0.0.1/token"}}, "forbidden_address", "options.token_url"),
    ],
)
async def test_what_is_wrong_with_a_change_is_named(
    service: Service, admin: httpx.AsyncClient, body: Any, code: str, field: str
) -> None:
    source_id = await service.source("https://93.184.215.14/token")
    before = data(await admin.get(f"/v1/sources/{source_id}"))
    problem(await admin.patch(f"/v1/sources/{source_id}", json=body), 422, code, field)
    assert data(await admin.get(f"/v1/sources/{source_id}")) == before


async def test_a_source_of_another_environment_is_not_changed(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = await service.source("https://93.184.215.14/token")
    elsewhere = {"X-Tokenkeep-Environment": f"{service.environment}-other"}
    problem(await admin.patch(f"/v1/sources/{source_id}", json={"name": "x"}, headers=elsewhere), 404, "not_found")


async def test_a_new_secret_lets_one_account_through_before_the_others(
    service: Service, admin: httpx.AsyncClient, server: TokenServer
) -> None:
    source_id = await service.source(server.url)
    accounts = [await service.account(source_id, f"g{n}") for n in range(3)]
    await pause_for(service, source_id, "invalid_client")
    healed = data(await admin.patch(f"/v1/sources/{source_id}", json={"client_secret": "canary-new"}))
    assert (healed["state"], healed["paused_reason"]) == ("active", None)
    asked = [admin.post(f"/v1/accounts/{one}/token", json={"force": True, "wait": 0.2}) for one in accounts]
    for answer in await asyncio.gather(*asked):
        problem(answer, 503, "token_unavailable")
    assert server.presented == []
    await a_round_of_the_scheduler(service)
    asked = [admin.post(f"/v1/accounts/{one}/token", json={"force": True, "wait": 0.2}) for one in accounts]
    await asyncio.gather(*asked)
    await service.queue.drain()
    assert len(server.presented) >= 1
    assert server.most_presented() == 1


async def test_a_secret_can_be_taken_away(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = await service.source("https://93.184.215.14/token")
    data(await admin.patch(f"/v1/sources/{source_id}", json={"client_secret": None}))
    [row] = await service.sql(
        "SELECT client_secret_ciphertext, secret_version FROM sources WHERE id = CAST(:id AS uuid)",
        id=source_id.removeprefix("src_"),
    )
    assert (row["client_secret_ciphertext"], row["secret_version"]) == (None, 2)


async def test_revocations_are_confirmed_only_after_a_mass_revocation(
    service: Service, admin: httpx.AsyncClient
) -> None:
    source_id = await service.source("https://93.184.215.14/token")
    path, confirming = f"/v1/sources/{source_id}/resume", {"confirm_revocations": True}
    problem(await admin.post(path, json=confirming), 422, "invalid_input", "confirm_revocations")
    await admin.post(f"/v1/sources/{source_id}/pause")
    problem(await admin.post(path, json=confirming), 422, "invalid_input", "confirm_revocations")
    problem(await admin.post(path, json={"confirm_revocations": 1}), 422, "invalid_input", "confirm_revocations")
    data(await admin.post(path, json={"confirm_revocations": False}))
    await pause_for(service, source_id, "mass_revocation")
    shown = data(await admin.get(f"/v1/sources/{source_id}"))
    assert (shown["state"], shown["paused_reason"]) == ("paused", "mass_revocation")
    assert data(await admin.post(path, json=confirming))["state"] == "active"


async def test_an_operators_pause_replaces_one_over_the_client_without_telling_it_again(
    service: Service, admin: httpx.AsyncClient
) -> None:
    source_id = await service.source("https://93.184.215.14/token")
    await pause_for(service, source_id, "invalid_client")
    paused = data(await admin.post(f"/v1/sources/{source_id}/pause"))
    assert paused["paused_reason"] == "by_operator"
    assert await service.sql("SELECT 1 FROM events WHERE environment = :e", e=service.environment) == []
    actions = [entry["action"] for entry in data(await admin.get("/v1/audit"))]
    assert actions == ["source.pause", "source.create"]


@pytest.mark.parametrize("option", ["token_url", "refresh_url", "revocation_url"])
async def test_who_sends_refresh_tokens_elsewhere_must_be_allowed_to_have_them(
    service: Service, admin: httpx.AsyncClient, option: str
) -> None:
    token_url = "https://93.184.215.14/token"
    path = f"/v1/sources/{await service.source(token_url)}"
    elsewhere = {"options": {"token_url": token_url, option: "https://93.184.215.15/mine"}}
    key = await service.key("sources:read", "sources:write")
    stronger = await service.key("sources:write", "credentials:release")
    async with service.client(key) as editor, service.client(stronger) as keeper:
        data(await editor.patch(path, json=elsewhere))
        data(await editor.patch(path, json={"options": {"token_url": token_url}}))
        account_id = await service.account(path.rpartition("/")[2])
        refused = problem(await editor.patch(path, json=elsewhere), 403, "missing_scope")
        assert refused["scope"] == "credentials:release"
        assert data(await admin.get(path))["options"] == {"token_url": token_url}
        harmless = {"options": {"token_url": token_url, "refresh_rotates": "yes"}, "name": "renamed"}
        data(await editor.patch(path, json=harmless))
        data(await keeper.patch(path, json=elsewhere))
        await service.sql("DELETE FROM accounts WHERE environment = :e", e=service.environment)
        data(await editor.patch(path, json={"options": {"token_url": token_url}}))
    await service.flush()
    trail = data(await admin.get("/v1/audit", params={"result": "missing_scope"}))
    assert [(entry["action"], entry["target"]) for entry in trail] == [("source.update", path.rpartition("/")[2])]
    assert account_id


async def test_who_adds_a_callout_must_be_allowed_to_have_what_it_gets(
    service: Service, admin: httpx.AsyncClient
) -> None:
    source_id = await service.source("https://93.184.215.14/token")
    await service.account(source_id)
    body = {
        "refresh_callout_secret": f"whsec_{'A' * 32}",
        "options": {"token_url": "https://93.184.215.14/token", "refresh_callout_url": "https://93.184.215.15/mine"},
    }
    async with service.client(await service.key("sources:write")) as editor:
        refused = problem(await editor.patch(f"/v1/sources/{source_id}", json=body), 403, "missing_scope")
    assert refused["scope"] == "credentials:release"
    data(await admin.patch(f"/v1/sources/{source_id}", json=body))


async def test_grants_that_wait_to_be_revoked_go_nowhere_else_either(
    service: Service, admin: httpx.AsyncClient
) -> None:
    options = {"token_url": "https://93.184.215.14/token", "revocation_url": "https://93.184.215.14/revoke"}
    source_id = await service.source(**options)
    assert (await admin.delete(f"/v1/accounts/{await service.account(source_id)}")).status_code == 204
    body = {"options": {**options, "revocation_url": "https://93.184.215.15/mine"}}
    async with service.client(await service.key("sources:write")) as editor:
        problem(await editor.patch(f"/v1/sources/{source_id}", json=body), 403, "missing_scope")
