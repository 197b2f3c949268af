"""Sources with refresh hooks over HTTP."""

from typing import Any

import httpx
import pytest

from api_service import data, problem
from callout_server import SECRET

HOOK = "https://93.184.215.14/refresh"
BODY: dict[str, Any] = {
    "provider": "generic-oauth2",
    "name": "books",
    "client_id": "client",
    "client_secret": "shh",
    "refresh_callout_secret": SECRET,
    "options": {"token_url": "https://93.184.215.14/token", "refresh_callout_url": HOOK},
}


async def test_a_source_with_a_callout_shows_where_it_leads_and_never_its_secret(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/v1/sources", json=BODY)
    source = data(answer, 201)
    assert source["options"]["refresh_callout_url"] == HOOK
    shown = await admin.get(f"/v1/sources/{source['id']}")
    assert SECRET not in answer.text + shown.text


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"refresh_callout_secret": None}, "invalid_input", "refresh_callout_secret"),
        ({"refresh_callout_secret": "short"}, "invalid_input", "refresh_callout_secret"),
        ({"refresh_callout_secret": 7}, "invalid_input", "refresh_callout_secret"),
        ({"options": {**BODY["options"], "refresher": "acme"}}, "invalid_input", "options.refresher"),
        ({"options": {**BODY["options"], "refresher": "Acme!"}}, "invalid_input", "options.refresher"),
        (
            {"options": {**BODY["options"], "refresh_callout_url": "https://169.254.169.254/"}},
            "forbidden_address",
            "options.refresh_callout_url",
        ),
        (
            {"options": {**BODY["options"], "refresh_callout_url": "http://93.184.215.14/"}},
            "invalid_input",
            "options.refresh_callout_url",
        ),
    ],
)
async def test_what_is_wrong_with_a_hook_is_named(
    admin: httpx.AsyncClient, changes: dict[str, Any], code: str, field: str
) -> None:
    problem(await admin.post("/v1/sources", json={**BODY, **changes}), 422, code, field)


async def test_a_hook_that_the_provider_demands_can_not_be_taken_away(admin: httpx.AsyncClient) -> None:
    """Lazada's token requests are signed in a way of its own."""
    wanted = {**BODY, "provider": "lazada", "options": {"refresh_callout_url": HOOK}}
    problem(await admin.post("/v1/sources", json={**wanted, "options": {}}), 422, "invalid_input", "options.refresher")
    path = f"/v1/sources/{data(await admin.post('/v1/sources', json=wanted), 201)['id']}"
    problem(await admin.patch(path, json={"options": {}}), 422, "invalid_input", "options.refresher")
    assert data(await admin.get(path))["options"] == wanted["options"]
    assert data(await admin.patch(path, json={"name": "renamed"}))["name"] == "renamed"
    moved = {"refresh_callout_url": f"{HOOK}/v2"}
    assert data(await admin.patch(path, json={"options": moved}))["options"] == moved


async def test_a_callout_is_added_changed_and_taken_away(admin: httpx.AsyncClient) -> None:
    plain = {**BODY, "options": {"token_url": "https://93.184.215.14/token"}}
    del plain["refresh_callout_secret"]
    path = f"/v1/sources/{data(await admin.post('/v1/sources', json=plain), 201)['id']}"
    problem(await admin.patch(path, json={"options": BODY["options"]}), 422, "invalid_input", "refresh_callout_secret")
    added = data(await admin.patch(path, json={"options": BODY["options"], "refresh_callout_secret": SECRET}))
    assert added["options"]["refresh_callout_url"] == HOOK
    assert added["proving"]
    data(await admin.patch(path, json={"refresh_callout_secret": SECRET[:-4] + "AAAA"}))
    problem(
        await admin.patch(path, json={"refresh_callout_secret": None}), 422, "invalid_input", "refresh_callout_secret"
    )
    data(await admin.patch(path, json={"options": plain["options"], "refresh_callout_secret": None}))
    problem(await admin.patch(path, json={"options": BODY["options"]}), 422, "invalid_input", "refresh_callout_secret")
