"""Sources that pause, are tried with one account, and go on: the scheduler's side of it."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from road import Road
from source_changes_on_road import (
    change,
    many_like,
    passed,
    pause_by_hand,
    pause_for,
    probe_time_has_come,
    resume,
    source_now,
    tend,
)
from token_server import TokenServer, says
from tokenkeep.adapters.postgres.fleet import count_fleet
from tokenkeep.adapters.postgres.source_tending import PostgresTendings
from tokenkeep.application.tend_sources import TendSources
from tokenkeep.domain.account import AccountState
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import MASS_REVOCATION, ROLLBACK, SourceState

CLIENT_FAULT = "invalid_client"


async def test_accounts_of_a_paused_source_wait_and_come_back_through_the_scheduler(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(5)]
    await pause_by_hand(road, source_id)
    assert await road.tick() == 0
    assert await road.refresh(*ids) == []
    await resume(road, source_id)
    assert await road.tick() == 0
    assert await tend(road) == (0, 5)
    assert await road.tick() == 5
    assert len(await road.refresh(*ids)) == 5


async def test_a_pause_by_hand_is_not_probed(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    account_id = await road.account(source_id)
    await pause_for(road, source_id, CLIENT_FAULT)
    await pause_by_hand(road, source_id)
    assert await tend(road) == (0, 0)
    assert (await source_now(road, source_id)).paused_reason == "by_operator"
    assert await road.refresh(account_id) == []


@pytest.mark.parametrize("reason", [MASS_REVOCATION, ROLLBACK])
async def test_a_pause_that_asks_for_a_decision_is_not_probed_nor_covered_by_a_pause_by_hand(
    road: Road, server: TokenServer, reason: str
) -> None:
    source_id = await road.source(server.url)
    await road.account(source_id)
    await pause_for(road, source_id, reason)
    assert await tend(road) == (0, 0)
    assert (await pause_by_hand(road, source_id)).paused_reason == reason


async def test_a_source_at_fault_is_tried_with_one_account_that_alone_is_let_through(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(4)]
    await pause_for(road, source_id, CLIENT_FAULT)
    assert await tend(road) == (0, 0)  # it is not time yet
    await probe_time_has_come(road)
    assert await tend(road) == (1, 0)
    picked = (await source_now(road, source_id)).probe_account_id
    assert picked in ids
    claimed = await road.jobs.emit_due.schedule.claim_due(
        limit=10, trust=timedelta(seconds=60), paused=timedelta(minutes=10)
    )
    assert [(one.account_id, one.probe) for one in claimed.accounts] == [(picked, True)]
    assert len(await road.refresh(*ids, trigger=Trigger.PROBE)) == 1
    assert len(server.presented) == 1


async def test_a_probe_goes_before_the_backlog(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    await road.account(source_id)
    await pause_for(road, source_id, CLIENT_FAULT)
    await probe_time_has_come(road)
    await tend(road)
    assert await road.tick() == 1
    assert await road.foundation.redis.llen("tokenkeep:queue:refresh_now") == 1
    assert await road.foundation.redis.llen("tokenkeep:queue:refresh") == 0


async def test_an_account_that_is_not_due_is_tried_when_none_is(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    account_id = await road.account(source_id, expires_in_s=3600)
    planned = (await road.view(account_id)).next_refresh_at
    await change(road, source_id, client_secret=Secret("another"))
    assert await tend(road) == (1, 0)
    assert (await road.view(account_id)).next_refresh_at == planned
    assert await road.tick() == 1
    assert len(await road.refresh(account_id, trigger=Trigger.PROBE)) == 1


async def test_probes_take_turns(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = {await road.account(source_id, f"g{n}") for n in range(2)}
    await pause_for(road, source_id, CLIENT_FAULT)
    seen = []
    for _ in range(4):
        await probe_time_has_come(road)
        await tend(road)
        seen.append((await source_now(road, source_id)).probe_account_id)
    assert set(seen) == ids
    assert all(one != after for one, after in pairwise(seen))


async def test_an_account_in_doubt_is_no_probe_before_it_is_due(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    doubtful = await road.account(source_id, "doubtful", expires_in_s=3600)
    await road.sql("UPDATE leases SET doubts = 1, doubt_since = now()")
    await pause_for(road, source_id, CLIENT_FAULT)
    await probe_time_has_come(road)
    assert await tend(road) == (0, 0)
    source = await source_now(road, source_id)
    assert source.probe_account_id is None
    assert source.probe_at is not None
    await road.make_due(doubtful)
    await probe_time_has_come(road)
    assert await tend(road) == (1, 0)


async def test_schedulers_that_pick_at_the_same_time_pick_once(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    for n in range(10):
        await road.account(source_id, f"g{n}")
    await pause_for(road, source_id, CLIENT_FAULT)
    await probe_time_has_come(road)
    picks = await asyncio.gather(*(tend(road) for _ in range(3)))
    assert sorted(picks) == [(0, 0), (0, 0), (1, 0)]
    assert (await source_now(road, source_id)).probes == 1


async def test_a_changed_client_is_proven_by_one_account_and_then_all_go(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(4)]
    changed = await change(road, source_id, client_secret=Secret("another"))
    assert (changed.state, changed.proving) == (SourceState.ACTIVE, True)
    assert await road.refresh(*ids) == []
    assert await road.tick() == 0
    assert await tend(road) == (1, 0)
    assert len(await road.refresh(*ids, trigger=Trigger.PROBE)) == 1
    await passed(road, source_id)
    assert (await tend(road))[1] == 3
    assert await road.tick() == 3
    assert len(await road.refresh(*ids)) == 3
    assert server.most_presented() == 1


async def test_a_source_that_is_paused_during_a_refresh_keeps_the_new_token(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    account_id = await road.account(source_id)
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    await pause_by_hand(road, source_id)
    server.gate.set()
    await flight
    view = await road.view(account_id)
    assert (view.account.state, view.generation) == (AccountState.ACTIVE, 2)
    await road.make_due(account_id)
    assert await road.refresh(account_id) == []
    assert server.presented == ["grant.1"]


async def test_a_client_secret_that_is_changed_during_a_refresh_is_not_blamed_for_its_end(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(3)]
    server.script.extend([says(401, {"error": "invalid_client"})] * 3)
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(*ids))
    await server.arrived.wait()
    await change(road, source_id, client_secret=Secret("another"))
    server.gate.set()
    await flight
    source = await source_now(road, source_id)
    assert (source.state, source.proving) == (SourceState.ACTIVE, True)
    for account_id in ids:
        assert (await road.view(account_id)).account.state is AccountState.ACTIVE


async def test_a_refresh_with_the_old_client_does_not_prove_the_new_one(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    account_id = await road.account(source_id)
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    await change(road, source_id, client_id="another")
    server.gate.set()
    await flight
    assert (await road.view(account_id)).generation == 2
    assert (await source_now(road, source_id)).proving


async def test_a_new_secret_is_what_is_sent_and_the_old_one_is_kept_when_something_else_changes(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    vault = road.sealer.vault
    steps: list[tuple[dict[str, Any], bytes]] = [
        ({"client_id": "other"}, b"shh"),
        ({"client_secret": Secret("new")}, b"new"),
    ]
    for changes, secret in steps:
        changed = await change(road, source_id, **changes)
        async with road.works() as work:
            config = await work.sources.config(source_id)
        assert config.client_secret_ciphertext is not None
        assert config.secret_version == changed.secret_version
        version = (config.secret_version, 0)
        assert (
            vault.open(source_id, config.sealed_key, "client_secret", version, config.client_secret_ciphertext)
            == secret
        )
        assert config.on_trial
    assert changed.secret_version == 3
    await change(road, source_id, drop_secret=True)
    async with road.works() as work:
        assert (await work.sources.config(source_id)).client_secret_ciphertext is None


async def test_a_new_secret_resumes_a_source_at_fault_and_tells_it_once(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    await road.account(source_id)
    await pause_for(road, source_id, CLIENT_FAULT)
    changed = await change(road, source_id, client_secret=Secret("another"))
    assert (changed.state, changed.paused_reason, changed.proving) == (SourceState.ACTIVE, None, True)
    told = await road.sql("SELECT type, sequence FROM events WHERE subject = :id", id=source_id)
    assert [(one["type"], one["sequence"]) for one in told] == [("tokenkeep.source.resumed", 2)]


async def test_thousands_are_woken_by_the_scheduler_and_looked_at_twice(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    first = await road.account(source_id)
    await pause_by_hand(road, source_id)
    await many_like(road, first, count=11_999)
    await road.sql("UPDATE leases SET due_at = now() + interval '10 minutes'")
    await resume(road, source_id)
    assert await tend(road) == (0, 12_000)
    [row] = await road.sql("SELECT count(*) AS due FROM leases WHERE due_at <= now()")
    assert row["due"] == 12_000
    job = TendSources(PostgresTendings(road.foundation.database))
    await job()
    await job()
    [row] = await road.sql("SELECT waking FROM sources")
    assert row["waking"] is False
    assert job.walks == {}


async def test_a_source_that_was_paused_again_is_not_woken(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    await road.account(source_id)
    await pause_by_hand(road, source_id)
    await road.tick()
    await resume(road, source_id)
    await pause_by_hand(road, source_id)
    assert await tend(road) == (0, 0)
    await resume(road, source_id)
    assert await tend(road) == (0, 1)


async def test_waking_does_not_end_when_the_source_was_resumed_anew_meanwhile(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    await pause_by_hand(road, source_id)
    await resume(road, source_id)
    tendings = PostgresTendings(road.foundation.database)
    [waking] = await tendings.waking()
    await pause_by_hand(road, source_id)
    await resume(road, source_id)
    await tendings.woken(waking)
    [again] = await tendings.waking()
    assert again == replace(waking, updated_at=again.updated_at)
    await tendings.woken(again)
    assert await tendings.waking() == []


async def test_waking_does_not_get_round_a_providers_retry_after(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    await road.account(source_id)
    await pause_by_hand(road, source_id)
    await road.tick()
    await road.sql("UPDATE leases SET not_before = now() + interval '1 hour', due_at = now() + interval '2 hours'")
    await resume(road, source_id)
    assert await tend(road) == (0, 1)
    [lease] = await road.sql("SELECT due_at = not_before AS same FROM leases")
    assert lease["same"]


async def test_a_source_whose_client_is_refused_pauses_shows_why_and_heals(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(6)]
    server.script.extend([says(401, {"error": "invalid_client"})] * 3)
    for account_id in ids[:3]:
        await road.refresh(account_id)
    assert (await source_now(road, source_id)).paused_reason == CLIENT_FAULT
    assert (await count_fleet(road.foundation.database)).paused == {source_id: CLIENT_FAULT}
    assert await road.tick() == 0
    await probe_time_has_come(road)
    assert await tend(road) == (1, 0)
    probe = (await source_now(road, source_id)).probe_account_id
    assert probe in ids[3:]  # the others were told to wait
    assert len(await road.refresh(probe, trigger=Trigger.PROBE)) == 1
    assert (await source_now(road, source_id)).admits_all
    await tend(road)
    assert await road.tick() >= 2
    told = await road.sql("SELECT type FROM events WHERE subject = :id ORDER BY sequence", id=source_id)
    assert [one["type"] for one in told] == ["tokenkeep.source.paused", "tokenkeep.source.resumed"]
    for account_id in ids:
        assert (await road.view(account_id)).account.state is AccountState.ACTIVE
