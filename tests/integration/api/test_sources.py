"""Sources and the catalogue over HTTP."""

from typing import Any

import httpx
import pytest

from api_service import Service, data, problem
from token_server import TokenServer

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
    problem(await admin.get("/v1/providers/nobody"), 404, "not_found")


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
        (changed(options={"discovery_url": "https://93.184.215.14/x"}), "invalid_input", "options.discovery_url"),
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


async def test_pausing_tells_once_and_is_audited_once(service: Service, admin: httpx.AsyncClient) -> None:
    source_id = await service.source("https://93.184.215.14/token")
    for _ in range(2):
        paused = data(await admin.post(f"/v1/sources/{source_id}/pause"))
        assert (paused["state"], paused["paused_reason"]) == ("paused", "by_operator")
    resumed = data(await admin.post(f"/v1/sources/{source_id}/resume", json={}))
    assert (resumed["state"], resumed["paused_reason"]) == ("active", None)
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
