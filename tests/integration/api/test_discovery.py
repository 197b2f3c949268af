"""Sources whose options come from their servers' own metadata."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from api_service import data, problem
from tokenkeep.adapters.demo_provider import DemoProvider, ProviderOptions, ProviderServer


@pytest.fixture
async def provider() -> AsyncIterator[ProviderServer]:
    async with ProviderServer(DemoProvider(ProviderOptions())) as started:
        yield started


def body(discovery_url: str, **options: object) -> dict[str, object]:
    return {
        "provider": "generic-oauth2",
        "name": "discovered",
        "client_id": "demo-client",
        "client_secret": "demo-secret",
        "options": {"discovery_url": discovery_url, **options},
    }


async def test_a_servers_metadata_fill_the_options(admin: httpx.AsyncClient, provider: ProviderServer) -> None:
    source = data(await admin.post("/v1/sources", json=body(provider.url)), 201)
    assert source["options"] == {
        "discovery_url": provider.url,
        "issuer": provider.url,
        "authorization_url": f"{provider.url}/authorize",
        "token_url": f"{provider.url}/token",
        "revocation_url": f"{provider.url}/revoke",
        "userinfo_url": f"{provider.url}/api/me",
        "external_id_path": "sub",
        "token_endpoint_auth_method": "client_secret_basic",
        "pkce": "supported",
        "offline_scopes": ["offline_access"],
    }


async def test_what_the_caller_says_outranks_the_metadata(admin: httpx.AsyncClient, provider: ProviderServer) -> None:
    own = {"token_endpoint_auth_method": "client_secret_post", "refresh_rotates": "yes"}
    source = data(await admin.post("/v1/sources", json=body(provider.url, **own)), 201)
    assert own.items() <= source["options"].items()
    changed = await admin.patch(f"/v1/sources/{source['id']}", json={"options": {"discovery_url": provider.url}})
    assert data(changed)["options"]["token_endpoint_auth_method"] == "client_secret_basic"


async def test_an_address_without_metadata_is_named(admin: httpx.AsyncClient, provider: ProviderServer) -> None:
    elsewhere = f"{provider.url}/.well-known/nothing"
    found = problem(
        await admin.post("/v1/sources", json=body(elsewhere)), 422, "invalid_input", "options.discovery_url"
    )
    assert "404" in found["detail"]


async def test_metadata_of_another_issuer_are_refused(admin: httpx.AsyncClient, provider: ProviderServer) -> None:
    moved = provider.url.replace("127.0.0.1", "localhost")
    answer = await admin.post("/v1/sources", json=body(f"{moved}/.well-known/oauth-authorization-server/x"))
    problem(answer, 422, "forbidden_address", "options.discovery_url")


async def test_a_server_that_can_not_be_had_is_no_fault_of_the_options(admin: httpx.AsyncClient) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        answer = await admin.post("/v1/sources", json=body(f"http://127.0.0.1:{port}"))
    problem(answer, 503, "provider_unavailable")
    assert int(answer.headers["retry-after"]) > 0
