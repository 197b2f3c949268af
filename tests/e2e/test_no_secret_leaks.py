"""A full run, with every secret that was used in it; then everything that anybody may see is searched for them."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from connections import Connected, StartProvider
from household import Household, data
from token_server import Said
from tokenkeep.adapters.demo_provider import ProviderOptions
from tokenkeep.adapters.demo_provider.faults import Fault
from trace_collector import Collector, collecting
from webhook_receiver import Receiver


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """What traces are sent to, by every process that is started."""
    with collecting() as listening:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", listening.url)
        yield listening


async def everything_in_valkey(household: Household) -> bytes:
    """Every key with what it holds, whatever its type."""
    held: list[bytes] = []
    async with household.valkey() as valkey:
        async for key in valkey.scan_iter(count=1000):
            held += [key, await valkey.dump(key) or b""]
            kind: Any = await valkey.type(key)
            if kind == b"stream":
                entries: Any = await valkey.xrange(key)
                held.append(repr(entries).encode())
            elif kind == b"hash":
                hashed: Any = await valkey.hgetall(key)
                held.append(repr(hashed).encode())
            elif kind == b"list":
                listed: Any = await valkey.lrange(key, 0, -1)
                held.append(repr(listed).encode())
    return b"\n".join(held)


async def metrics_of_all(household: Household) -> str:
    pages = []
    async with httpx.AsyncClient() as client:
        for address in household.metrics_at():
            answer = await client.get(f"http://{address}/metrics")
            assert answer.status_code == 200
            assert "tokenkeep_build_info" in answer.text
            pages.append(answer.text)
    return "\n".join(pages)


async def error_bodies(api: httpx.AsyncClient, account_id: str, source_id: str, secrets: list[str]) -> str:
    """Requests that fail with secrets in them: bodies, headers, paths and queries."""
    one = secrets[0]
    tokens = {"access_token": one, "refresh_token": one, "expires_in": one}
    answers = [
        await api.post("/v1/accounts", json={"source_id": source_id, "credentials": tokens}),
        await api.post("/v1/accounts", json={"source_id": source_id, "credentials": one}),
        await api.post("/v1/accounts", json={"source_id": one, "credentials": {"access_token": one, one: one}}),
        await api.post("/v1/accounts", content=f'{{"credentials": "{one}"'.encode()),
        await api.post("/v1/sources", json={"provider": one, "name": "x", "client_secret": {"a": one}}),
        await api.post(f"/v1/accounts/{account_id}/token", json={"min_ttl": one}),
        await api.get(f"/v1/accounts/{one}"),
        await api.get(f"/v1/{one}", params={"token": one}),
        await api.get("/v1/accounts", headers={"Authorization": f"Bearer tk_{one}"}),
        await api.get("/v1/accounts", headers={"Authorization": f"Basic {one}"}),
    ]
    assert all(400 <= answer.status_code < 500 for answer in answers)
    return "\n".join(answer.text + repr(answer.headers) for answer in answers)


async def a_full_run(household: Household, api: httpx.AsyncClient, connected: Connected) -> tuple[str, list[str]]:
    """Refreshes, a revocation, failures of each kind; returns the source and the accounts."""
    source_id = await connected.create_source(api)
    ids = [await connected.connect(api, source_id, user) for user in ("alice", "bob")]
    connected.provider.inject(Fault(status=500, body="boom"))
    connected.provider.inject(Fault(status=400, body='{"error": "invalid_client"}'))
    for one in ids:
        await api.post(f"/v1/accounts/{one}/token", json={"force": True, "wait": 5})
        await api.get(f"/v1/accounts/{one}", params={"include_credentials": "1"})

    async def is_fresh() -> bool:
        attempts = await data(await api.get(f"/v1/accounts/{ids[0]}/attempts"))
        return any(attempt["outcome"] == "ok" for attempt in attempts)

    await household.until(is_fresh)
    grant = connected.provider.active_grant("bob")
    assert grant is not None
    connected.provider.revoke_grant(grant.id)
    await api.post(f"/v1/accounts/{ids[1]}/token", json={"force": True, "wait": 5})
    return source_id, ids


async def test_no_secret_is_in_any_log_key_metric_event_trace_or_error(
    household: Household, start_provider: StartProvider, collector: Collector
) -> None:
    connected = await start_provider(ProviderOptions(token_lifetime_s=6))
    async with household, household.api() as api, Receiver() as receiver:
        source_id, ids = await a_full_run(household, api, connected)
        made = await data(
            await api.post("/v1/api-keys", json={"name": "k", "environment": "default", "scopes": ["accounts:read"]})
        )
        hook = await data(await api.post("/v1/webhooks", json={"url": receiver.url}))
        await api.post(f"/v1/webhooks/{hook['id']}/test")
        rotated = await data(await api.post(f"/v1/webhooks/{hook['id']}/rotate-secret"))
        receiver.script.append(Said(500, f"not signed by {hook['secret']}".encode()))
        await api.post(f"/v1/accounts/{ids[0]}/disable")
        await receiver.come(2)
        ledger = connected.provider._ledger
        secrets = [*ledger.refresh_tokens, *ledger.access_tokens, "demo-secret", household.admin_key, made["key"]]
        secrets += [hook["secret"], rotated["secret"]]
        assert len(secrets) > 8
        seen = {
            "errors": await error_bodies(api, ids[0], source_id, secrets),
            "accounts": (await api.get("/v1/accounts")).text,
            "sources": (await api.get("/v1/sources")).text,
            "attempts": (await api.get(f"/v1/accounts/{ids[0]}/attempts")).text,
            "events": (await api.get(f"/v1/accounts/{ids[1]}/events")).text,
            "keys": (await api.get("/v1/api-keys")).text,
            "webhooks": (await api.get("/v1/webhooks")).text,
            "deliveries": (await api.get(f"/v1/webhooks/{hook['id']}/deliveries")).text,
            "audit": (await api.get("/v1/audit")).text,
            "metrics": await metrics_of_all(household),
            "valkey": (await everything_in_valkey(household)).decode("latin-1"),
        }
        keyring = (household.data_dir / "keyring").read_text().split(":", 1)[1].strip()
    seen["logs"] = household.said()
    assert "refresh_settled" in seen["logs"]
    seen["traces"] = repr(collector.spans)
    assert {"provider call", "settle", "deliver tokenkeep.account.disabled"} <= collector.names()
    for secret in [*secrets, keyring]:
        spellings = {secret, base64.b64encode(secret.encode()).decode().rstrip("=")}
        for place, content in seen.items():
            assert not any(spelling in content for spelling in spellings), f"a secret stands in {place}"


async def test_a_correlation_id_follows_an_account_from_the_tick_to_the_event(
    household: Household, start_provider: StartProvider
) -> None:
    connected = await start_provider(ProviderOptions(token_lifetime_s=6))
    async with household, household.api() as api:
        source_id = await connected.create_source(api)
        account_id = await connected.connect(api, source_id, "alice")

        async def has_refreshed() -> bool:
            events = await data(await api.get(f"/v1/accounts/{account_id}/events"))
            return any(event["type"].endswith("refreshed") for event in events)

        await household.until(has_refreshed)
        events = await data(await api.get(f"/v1/accounts/{account_id}/events"))
        refreshed = next(event for event in events if event["type"].endswith("refreshed"))
        correlation_id = refreshed["correlationid"]
        attempts = await data(await api.get(f"/v1/accounts/{account_id}/attempts"))
        assert correlation_id in {attempt["correlation_id"] for attempt in attempts}
    lines = [line for line in household.said().splitlines() if correlation_id in line]
    assert any('"refresh_settled"' in line and account_id in line for line in lines)
    assert any('"due_emitted"' in line for line in lines)
