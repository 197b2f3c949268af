"""The main job, from end to end: real processes keep real OAuth accounts fresh, whatever is killed."""

import asyncio
import signal
from typing import Any

import httpx
import orjson

from connections import Connected, StartProvider
from household import CALM, Household, data
from tokenkeep.adapters.demo_provider import Fault, ProviderOptions


async def refreshes_of(api: httpx.AsyncClient, account_id: str) -> int:
    attempts = await data(await api.get(f"/v1/accounts/{account_id}/attempts"))
    return sum(attempt["outcome"] == "ok" for attempt in attempts)


async def all_fresh_since(
    household: Household, api: httpx.AsyncClient, connected: Connected, ids: list[str], *, more: int
) -> None:
    """Wait until each account was refreshed `more` times again; then every token handed out must work."""
    before = {one: await refreshes_of(api, one) for one in ids}

    async def all_have() -> bool:
        return all([await refreshes_of(api, one) >= before[one] + more for one in ids])

    await household.until(all_have)
    for one in ids:
        token = await data(await api.post(f"/v1/accounts/{one}/token", json={"min_ttl": 2}))
        assert await connected.works(token["access_token"]), one


async def stream(household: Household) -> list[dict[str, Any]]:
    async with household.valkey() as valkey:
        entries: Any = await valkey.xrange("tokenkeep:events")
    return [orjson.loads(fields[b"event"]) for _, fields in entries]


async def test_accounts_are_kept_fresh_one_is_revoked_and_the_stream_tells(
    household: Household, start_provider: StartProvider
) -> None:
    household.changes = CALM
    connected = await start_provider(ProviderOptions(token_lifetime_s=12))
    async with household, household.api() as api:
        source_id = await connected.create_source(api, reuse_detection="revokes")
        ids = [await connected.connect(api, source_id, user) for user in ("alice", "bob", "carol")]
        await all_fresh_since(household, api, connected, ids, more=2)

        grant = connected.provider.active_grant("carol")
        assert grant is not None
        connected.provider.revoke_grant(grant.id)
        carol = ids[2]

        async def is_disabled() -> bool:
            return bool((await data(await api.get(f"/v1/accounts/{carol}")))["state"] == "disabled")

        await household.until(is_disabled)
        account = await data(await api.get(f"/v1/accounts/{carol}"))
        assert account["disabled"]["reason"] == "revoked"
        refused = await api.post(f"/v1/accounts/{carol}/token", json={})
        assert refused.status_code == 409
        assert refused.json()["code"] == "reauthorization_required"

        async def is_told() -> bool:
            return any(event["type"].endswith("disabled") for event in await stream(household))

        await household.until(is_told)
        told = await stream(household)
        assert [event["subject"] for event in told if event["type"].endswith("disabled")] == [carol]
        for subject in ids:
            sequences = [int(event["sequence"]) for event in told if event["subject"] == subject]
            assert sequences == list(range(1, len(sequences) + 1))
        await all_fresh_since(household, api, connected, ids[:2], more=1)
        assert connected.provider.counters().reuses == 0


async def test_a_flushed_valkey_and_a_killed_worker_cost_nothing(
    household: Household, start_provider: StartProvider
) -> None:
    connected = await start_provider(ProviderOptions(token_lifetime_s=12, grace_s=60))
    async with household, household.api() as api:
        source_id = await connected.create_source(api, old_refresh_grace_s=60)
        ids = [await connected.connect(api, source_id, f"user{n}") for n in range(5)]
        await all_fresh_since(household, api, connected, ids, more=1)

        async with household.valkey() as valkey:
            await valkey.flushall()
        await all_fresh_since(household, api, connected, ids, more=1)

        household.child("worker").send_signal(signal.SIGKILL)
        await all_fresh_since(household, api, connected, ids, more=2)
        assert "worker" in household.said()
        states = {(await data(await api.get(f"/v1/accounts/{one}")))["state"] for one in ids}
        assert states == {"active"}


async def test_valkey_and_postgres_may_die_and_come_back(household: Household, start_provider: StartProvider) -> None:
    connected = await start_provider(ProviderOptions(token_lifetime_s=12, grace_s=60))
    async with household, household.api() as api:
        source_id = await connected.create_source(api, old_refresh_grace_s=60)
        ids = [await connected.connect(api, source_id, f"user{n}") for n in range(3)]
        for server in ("valkey-server", "postgres"):
            next(one for one in household.everyone() if server in one.name()).send_signal(signal.SIGKILL)
            await household.until(household._is_ready, within_s=60)
            await all_fresh_since(household, api, connected, ids, more=2)
        assert connected.provider.counters().reuses == 0


async def test_a_second_start_finds_everything_again(household: Household, start_provider: StartProvider) -> None:
    household.changes = CALM
    connected = await start_provider(ProviderOptions(token_lifetime_s=12))
    async with household, household.api() as api:
        source_id = await connected.create_source(api)
        account_id = await connected.connect(api, source_id, "alice")
        left = household.everyone()
    assert [one for one in left if one.is_running()] == []
    again = Household(household.data_dir, CALM, port=household.port, metrics_port=household.metrics_port)
    async with again, again.api() as api:
        await all_fresh_since(again, api, connected, [account_id], more=1)


async def test_many_callers_share_one_refresh_and_get_the_same_token(
    household: Household, start_provider: StartProvider
) -> None:
    household.changes = CALM
    connected = await start_provider(ProviderOptions(token_lifetime_s=600))
    async with household, household.api() as api:
        source_id = await connected.create_source(api)
        account_id = await connected.connect(api, source_id, "alice")
        before = connected.provider.counters().presentations
        # Who asks after the answer is there may be given another token: let all have asked before, on a slow machine too.
        connected.provider.inject(Fault(delay_ms=4_000))
        limits = httpx.Limits(max_connections=60)
        async with httpx.AsyncClient(base_url=household.url, headers=api.headers, timeout=40, limits=limits) as many:
            calls = [many.post(f"/v1/accounts/{account_id}/token", json={"force": True, "wait": 20}) for _ in range(60)]
            tokens = [await data(answer) for answer in await asyncio.gather(*calls)]
        assert all(token["refreshed"] for token in tokens)
        spent = connected.provider.counters().presentations - before
        assert 1 <= spent <= 3
        assert await connected.works(tokens[-1]["access_token"]) or spent > 1
