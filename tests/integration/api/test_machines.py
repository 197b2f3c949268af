"""Accounts of machines: client credentials and signed assertions, from creation to the refresh ahead of time."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from api_service import Service, data, problem
from machine_server import MachineServer
from source_clients import pem, rsa_key
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, IdKind, parse_id

KEY = rsa_key()
PEM = pem(KEY)
GOOGLE = {"type": "service_account", "client_email": "robot@p.test", "private_key": PEM, "private_key_id": "kid-1"}
OWN = {"client_id": "customer", "client_secret": "canary-customer-secret"}


@pytest.fixture
async def machines() -> AsyncIterator[MachineServer]:
    async with MachineServer() as started:
        yield started


async def source(admin: httpx.AsyncClient, server: MachineServer, provider: str, **changes: Any) -> str:
    body = {"provider": provider, "name": "machines", "options": {"token_url": server.url}, **changes}
    return str(data(await admin.post("/v1/sources", json=body), 201)["id"])


async def account(admin: httpx.AsyncClient, source_id: str, credentials: Any, **changes: Any) -> dict[str, Any]:
    body = {"source_id": source_id, "credentials": credentials, **changes}
    made: dict[str, Any] = data(await admin.post("/v1/accounts", json=body), 201)
    return made


async def refresh(service: Service, account_id: str) -> None:
    assert service.queue.refreshing is not None
    parsed = AccountId(parse_id(IdKind.ACCOUNT, account_id))
    await service.sql(
        "UPDATE leases SET next_refresh_at = now(), due_at = now(), not_before = NULL WHERE account_id = :id", id=parsed
    )
    await service.queue.refreshing.refresh([parsed], trigger=Trigger.SCHEDULE, correlation_id="cor_test")


async def told(admin: httpx.AsyncClient, account_id: str) -> list[str]:
    events = data(await admin.get(f"/v1/accounts/{account_id}/events"))
    return [event["type"].removeprefix("tokenkeep.account.") for event in reversed(events)]


def claims(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    read = jwt.decode(assertion, RSAKey.import_key(KEY.public_key()))
    return dict(read.header), dict(read.claims)


async def test_the_sources_client_comes_by_a_token_at_once_and_again_ahead_of_time(
    service: Service, admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    client = {"client_id": "app", "client_secret": "canary-app-secret", "scopes": ["read", "write"]}
    source_id = await source(admin, machines, "generic-client-credentials", **client)
    made = await account(admin, source_id, {})
    assert (made["state"], made["custody"], made["authenticated"]) == ("active", "held", True)
    assert made["expires_at"] is not None
    assert made["next_refresh_at"] is not None
    assert made["scopes"] == ["read", "write"]
    assert machines.posts[0].form == {"grant_type": "client_credentials", "scope": "read write"}
    assert machines.posts[0].headers["authorization"].startswith("Basic ")
    token = data(await admin.post(f"/v1/accounts/{made['id']}/token"))
    assert token["headers"] == {"Authorization": "Bearer machine-1"}
    await refresh(service, made["id"])
    token = data(await admin.post(f"/v1/accounts/{made['id']}/token"))
    assert token["access_token"] == "machine-2"
    assert await told(admin, made["id"]) == ["created", "activated", "refreshed"]
    forced = data(await admin.post(f"/v1/accounts/{made['id']}/token", json={"force": True}))
    assert (forced["access_token"], forced["refreshed"]) == ("machine-3", True)
    another = await account(admin, source_id, {})
    assert another["id"] != made["id"]


async def test_an_application_of_the_accounts_own_outranks_the_sources(
    admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    client = {"client_id": "app", "client_secret": "app-secret", "scopes": ["all"]}
    options = {"token_url": machines.url, "token_endpoint_auth_method": "client_secret_post"}
    source_id = await source(admin, machines, "generic-client-credentials", **client, options=options)
    made = await account(admin, source_id, {**OWN, "scope": "only.this"})
    form = machines.posts[0].form
    assert (form["client_id"], form["client_secret"], form["scope"]) == ("customer", OWN["client_secret"], "only.this")
    shown = await admin.get(f"/v1/accounts/{made['id']}", params={"include_credentials": "1"})
    assert "canary" not in shown.text
    assert data(shown)["credentials"]["oauth_access_token"] == "machine-1"


async def test_what_the_provider_refuses_is_not_stored(admin: httpx.AsyncClient, machines: MachineServer) -> None:
    source_id = await source(admin, machines, "generic-client-credentials")
    machines.script.append((401, {"error": "invalid_client", "error_description": OWN["client_secret"]}))
    answer = await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": OWN})
    refused = problem(answer, 422, "credentials_rejected", "credentials")
    assert refused["detail"] == "the provider refuses the credentials: invalid_client"
    assert "canary" not in answer.text
    machines.script.append((503, {"error": "temporarily_unavailable"}))
    problem(
        await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": OWN}), 503, "provider_unavailable"
    )
    missing = await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": {}})
    problem(missing, 422, "invalid_input", "credentials.client_id")
    assert data(await admin.get("/v1/accounts", params={"source_id": source_id})) == []


async def test_a_service_account_signs_for_its_tokens_wherever_its_file_points(
    service: Service, admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    source_id = await source(admin, machines, "google-service-account", scopes=["calendar", "drive"])
    google = {**GOOGLE, "token_uri": "https://evil.example/token", "subject": "user@acme.test"}
    made = await account(admin, source_id, google)
    form = machines.posts[0].form
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert set(form) == {"grant_type", "assertion"}
    assert "authorization" not in machines.posts[0].headers
    header, said = claims(form["assertion"])
    assert (header["alg"], header["kid"]) == ("RS256", "kid-1")
    assert (said["iss"], said["sub"], said["aud"]) == ("robot@p.test", "user@acme.test", machines.url)
    assert said["scope"] == "calendar drive"
    await refresh(service, made["id"])
    again = claims(machines.posts[1].form["assertion"])[1]
    assert again["jti"] != said["jti"]
    assert data(await admin.post(f"/v1/accounts/{made['id']}/token"))["access_token"] == "machine-2"


async def test_a_key_of_the_sources_signs_for_accounts_that_only_name_whom_it_is_about(
    admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    source_id = await source(admin, machines, "docusign-jwt", client_id="integration", client_secret=PEM)
    machines.lifetime_s = None
    made = await account(admin, source_id, {"subject": "user-1"})
    said = claims(machines.posts[0].form["assertion"])[1]
    assert (said["iss"], said["sub"], said["aud"]) == ("integration", "user-1", "account.docusign.com")
    assert made["expires_at"] is not None


async def test_an_app_shows_its_assertion_in_the_header_where_the_provider_wants_that(
    admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    source_id = await source(admin, machines, "github-app", client_id="12345", client_secret=PEM)
    machines.script.append((201, {"token": "ghs_1", "expires_at": "2199-01-01T00:00:00Z"}))
    made = await account(admin, source_id, {}, properties={"installation_id": "77"})
    assert machines.posts[0].form == {}
    said = claims(machines.posts[0].headers["authorization"].removeprefix("Bearer "))[1]
    assert said["iss"] == "12345"
    assert data(await admin.post(f"/v1/accounts/{made['id']}/token"))["access_token"] == "ghs_1"


@pytest.mark.parametrize(
    ("provider", "changes", "field"),
    [
        ("generic-client-credentials", {"client_secret": "s"}, "client_id"),
        ("generic-jwt-bearer", {"client_id": "c", "client_secret": "canary"}, "client_secret"),
        ("generic-oauth2", {}, "client_id"),
    ],
)
async def test_a_source_of_machines_whose_client_does_not_serve_is_refused(
    admin: httpx.AsyncClient, machines: MachineServer, provider: str, changes: dict[str, Any], field: str
) -> None:
    body = {"provider": provider, "name": "n", "options": {"token_url": machines.url}, **changes}
    problem(await admin.post("/v1/sources", json=body), 422, "invalid_input", field)


async def test_a_key_that_does_not_sign_is_named(admin: httpx.AsyncClient, machines: MachineServer) -> None:
    source_id = await source(admin, machines, "generic-jwt-bearer")
    for credentials, field in (
        ({"issuer": "i", "private_key": "canary"}, "credentials.private_key"),
        ({"issuer": "i"}, "credentials.private_key"),
    ):
        answer = await admin.post("/v1/accounts", json={"source_id": source_id, "credentials": credentials})
        problem(answer, 422, "invalid_input", field)
        assert "canary" not in answer.text
    assert machines.posts == []


async def test_a_refused_client_of_an_accounts_own_ends_that_account_alone(
    service: Service, admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    options = {"token_url": machines.url, "token_endpoint_auth_method": "client_secret_post"}
    source_id = await source(admin, machines, "generic-client-credentials", options=options)
    others = [await account(admin, source_id, {"client_id": f"other-{n}", "client_secret": "s"}) for n in range(3)]
    mine = await account(admin, source_id, OWN)
    machines.refused["'customer'"] = "invalid_client"
    await refresh(service, mine["id"])
    seen = data(await admin.get(f"/v1/accounts/{mine['id']}"))
    # Asked a second time before it is believed: to ask costs a machine nothing.
    assert (seen["state"], seen["last_error"]["reason"]) == ("active", "invalid_client")
    await service.sql(
        "UPDATE leases SET suspected_at = suspected_at - interval '2 minutes' WHERE account_id = :id",
        id=UUID(parse_id(IdKind.ACCOUNT, mine["id"]).hex),
    )
    await refresh(service, mine["id"])
    seen = data(await admin.get(f"/v1/accounts/{mine['id']}"))
    assert (seen["state"], seen["disabled"]["reason"], seen["authenticated"]) == ("disabled", "revoked", False)
    assert seen["last_error"]["reason"] == "invalid_client"
    assert (await told(admin, mine["id"]))[-1] == "disabled"
    shown = data(await admin.get(f"/v1/sources/{source_id}"))
    assert (shown["state"], shown["proving"]) == ("active", False)
    for other in others:
        await refresh(service, other["id"])
        assert data(await admin.get(f"/v1/accounts/{other['id']}"))["last_refreshed_at"] is not None
    machines.refused.clear()
    healed = data(await admin.put(f"/v1/accounts/{mine['id']}/credentials", json=OWN))
    assert (healed["state"], healed["authenticated"]) == ("active", True)


async def test_a_refused_client_of_the_source_ends_no_account(
    service: Service, admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    client = {"client_id": "app", "client_secret": "app-secret"}
    source_id = await source(admin, machines, "generic-client-credentials", **client)
    accounts = [await account(admin, source_id, {}) for _ in range(3)]
    machines.refused["Basic"] = "invalid_client"
    for one in accounts:
        await refresh(service, one["id"])
    shown = data(await admin.get(f"/v1/sources/{source_id}"))
    assert (shown["state"], shown["paused_reason"]) == ("paused", "invalid_client")
    for one in accounts:
        assert data(await admin.get(f"/v1/accounts/{one['id']}"))["state"] == "active"


async def test_a_machine_has_no_refresh_token_to_hand_back(admin: httpx.AsyncClient, machines: MachineServer) -> None:
    made = await account(admin, await source(admin, machines, "generic-client-credentials"), OWN)
    problem(await admin.post(f"/v1/accounts/{made['id']}/release"), 409, "not_held")
    assert (await admin.delete(f"/v1/accounts/{made['id']}")).status_code == 204


async def test_a_machine_that_waits_for_a_property_gets_its_token_when_that_comes(
    service: Service, admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    source_id = await source(admin, machines, "zoom-s2s", client_id="app", client_secret="s")
    made = await account(admin, source_id, {})
    assert (made["state"], made["missing"]) == ("pending", ["properties.account_id"])
    assert machines.posts == []
    problem(await admin.post(f"/v1/accounts/{made['id']}/token"), 409, "account_pending")
    patched = await admin.patch(f"/v1/accounts/{made['id']}", json={"properties": {"account_id": "abc"}})
    assert (data(patched)["state"], data(patched)["missing"]) == ("active", [])
    token = data(await admin.post(f"/v1/accounts/{made['id']}/token"))
    assert token["access_token"] == "machine-1"
    assert machines.posts[0].form == {"grant_type": "account_credentials", "account_id": "abc"}
    assert await told(admin, made["id"]) == ["created", "activated", "refreshed"]
    await service.queue.drain()


async def on_trial(service: Service, source_id: str, account_id: str, *, paused: bool) -> None:
    """The source proves its client with this account, or is paused over it and probes."""
    await service.sql(
        "UPDATE sources SET proving = NOT :paused, probe_account_id = :account, probe_at = now(), probes = 1,"
        " state = CASE WHEN :paused THEN 'paused' ELSE 'active' END,"
        " paused_reason = CASE WHEN :paused THEN 'invalid_client' END,"
        " paused_at = CASE WHEN :paused THEN now() END WHERE id = :source",
        paused=paused,
        account=parse_id(IdKind.ACCOUNT, account_id),
        source=parse_id(IdKind.SOURCE, source_id),
    )


async def test_a_client_of_an_accounts_own_shows_that_a_changed_source_leads_somewhere(
    service: Service, admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    source_id = await source(admin, machines, "generic-client-credentials")
    mine = await account(admin, source_id, OWN)
    await on_trial(service, source_id, mine["id"], paused=False)
    await refresh(service, mine["id"])
    assert data(await admin.get(f"/v1/sources/{source_id}"))["proving"] is False


async def test_a_client_of_an_accounts_own_ends_no_pause_over_the_sources(
    service: Service, admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    client = {"client_id": "app", "client_secret": "app-secret"}
    source_id = await source(admin, machines, "generic-client-credentials", **client)
    mine = await account(admin, source_id, OWN)
    await on_trial(service, source_id, mine["id"], paused=True)
    await refresh(service, mine["id"])
    shown = data(await admin.get(f"/v1/sources/{source_id}"))
    assert (shown["state"], shown["paused_reason"]) == ("paused", "invalid_client")
    assert data(await admin.get(f"/v1/accounts/{mine['id']}"))["last_refreshed_at"] is not None


async def test_a_wrong_request_of_a_machine_pauses_nobody(
    service: Service, admin: httpx.AsyncClient, machines: MachineServer
) -> None:
    source_id = await source(admin, machines, "generic-client-credentials")
    accounts = [await account(admin, source_id, {"client_id": f"own-{n}", "client_secret": "s"}) for n in range(6)]
    machines.refused["Basic"] = "invalid_scope"
    for one in accounts:
        await refresh(service, one["id"])
    assert data(await admin.get(f"/v1/sources/{source_id}"))["state"] == "active"
    assert {data(await admin.get(f"/v1/accounts/{one['id']}"))["state"] for one in accounts} == {"active"}
