"""API keys over HTTP, and what they open."""

from hashlib import sha256

import httpx
import pytest

from api_service import ADMIN_KEY, Service, data, open_service, problem


def body(service: Service, *scopes: str, environment: str | None = None, **more: str) -> dict[str, object]:
    return {"name": "k", "environment": environment or service.environment, "scopes": scopes, **more}


async def test_a_key_is_shown_once_and_stops_working_when_withdrawn(service: Service, admin: httpx.AsyncClient) -> None:
    made = data(await admin.post("/v1/api-keys", json=body(service, "sources:read")), 201)
    assert list(made)[:2] == ["id", "key"]
    assert made["key"].startswith("tk_")
    listed = await admin.get("/v1/api-keys")
    assert made["key"] not in listed.text
    assert [key["id"] for key in data(listed)] == [made["id"]]
    async with service.client(made["key"]) as client:
        data(await client.get("/v1/sources"))
        assert (await admin.delete(f"/v1/api-keys/{made['id']}")).status_code == 204
        problem(await client.get("/v1/sources"), 401, "not_authenticated")
    problem(await admin.delete(f"/v1/api-keys/{made['id']}"), 404, "not_found")


async def test_a_key_that_is_withdrawn_or_has_run_out_is_refused_at_once_by_every_process(
    service: Service, admin: httpx.AsyncClient, api_database_url: str, redis_url: str
) -> None:
    later = "2100-01-01T00:00:00Z"
    made = [data(await admin.post("/v1/api-keys", json=body(service, "sources:read", expires_at=later)), 201)]
    made.append(data(await admin.post("/v1/api-keys", json=body(service, "sources:read")), 201))
    assert [key["expires_at"] for key in made] == ["2100-01-01T00:00:00.000Z", None]
    async with open_service(api_database_url, redis_url) as second:
        clients = [[each.client(key["key"]) for each in (service, second)] for key in made]
        for client in (one for pair in clients for one in pair):
            data(await client.get("/v1/sources"))
        await service.sql(
            "UPDATE api_keys SET expires_at = clock_timestamp() WHERE id = CAST(:id AS uuid)",
            id=made[0]["id"].removeprefix("key_"),
        )
        assert (await admin.delete(f"/v1/api-keys/{made[1]['id']}")).status_code == 204
        for client in (one for pair in clients for one in pair):
            problem(await client.get("/v1/sources"), 401, "not_authenticated")
            await client.aclose()


async def test_a_key_is_stored_as_its_hash_only(service: Service, admin: httpx.AsyncClient) -> None:
    made = data(await admin.post("/v1/api-keys", json=body(service, "sources:read")), 201)
    [row] = await service.sql("SELECT * FROM api_keys WHERE environment = :e", e=service.environment)
    assert row["key_hash"] == sha256(made["key"].encode()).digest()
    assert made["key"] not in str(dict(row))
    assert len(made["key"]) >= 43  # 256 random bits


async def test_the_last_use_of_a_key_is_written_down(service: Service, admin: httpx.AsyncClient) -> None:
    key = await service.key("sources:read")
    async with service.client(key) as client:
        await client.get("/v1/sources")
    await service.flush()
    [shown] = data(await admin.get("/v1/api-keys"))
    assert shown["last_used_at"] is not None


async def test_nobody_gives_away_more_than_they_have(service: Service) -> None:
    async with service.client(await service.key("admin")) as client:
        elsewhere = body(service, "sources:read", environment="elsewhere")
        problem(await client.post("/v1/api-keys", json=elsewhere), 422, "invalid_input", "environment")
        data(await client.post("/v1/api-keys", json=body(service, "audit:read")), 201)
    async with service.client(await service.key("audit:read", "sources:read")) as client:
        refused = problem(await client.post("/v1/api-keys", json=body(service, "audit:read")), 403, "missing_scope")
        assert refused["scope"] == "admin"


async def test_the_admin_key_makes_keys_for_any_environment(service: Service) -> None:
    key = await service.key("sources:read", "audit:read", environment="another-one")
    async with service.client(key) as client:
        data(await client.get("/v1/sources"))
        actions = [entry["action"] for entry in data(await client.get("/v1/audit"))]
        assert "api_key.create" in actions


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"scopes": []}, "scopes"),
        ({"environment": "Not Good"}, "environment"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
    ],
)
async def test_a_key_that_cannot_be_is_refused(
    service: Service, admin: httpx.AsyncClient, changes: dict[str, object], field: str
) -> None:
    wanted = {**body(service, "sources:read"), **changes}
    problem(await admin.post("/v1/api-keys", json=wanted), 422, "invalid_input", field)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer tk_unknown", "Basic dGs6eA==", f"Bearer {ADMIN_KEY}x", "Bearer tk_ä", "tk_x"],
)
async def test_without_a_valid_key_nothing_is_told(service: Service, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with service.client(None) as client:
        for path in ("/v1/sources", "/v1/nothing", "/v1"):
            encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
            answer = await client.get(path, headers=encoded)
            problem(answer, 401, "not_authenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_of_another_environment_cannot_be_turned(service: Service) -> None:
    async with service.client(await service.key("sources:read"), **{"X-Tokenkeep-Environment": "other"}) as client:
        problem(await client.get("/v1/sources"), 422, "invalid_input", "X-Tokenkeep-Environment")
    async with service.client(ADMIN_KEY, **{"X-Tokenkeep-Environment": "Bad Name"}) as client:
        problem(await client.get("/v1/sources"), 422, "invalid_input", "X-Tokenkeep-Environment")
