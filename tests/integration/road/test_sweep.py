"""What a worker left behind is found, and nobody is harmed by it."""

import asyncio

from road import Road
from token_server import Said, TokenServer, says
from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.lease import Phase


async def phase_of(road: Road, account_id: object) -> Phase:
    [row] = await road.sql("SELECT phase FROM leases WHERE account_id = :id", id=account_id)
    return Phase(row["phase"])


async def abandon(road: Road, account_id: object, phase: str) -> None:
    """As a worker leaves a row that is killed in this phase, its time over."""
    await road.sql(
        """UPDATE leases SET phase = :phase, fence = fence + 1, attempt_id = gen_random_uuid(),
                  lease_until = now() - interval '1 second', due_at = now() - interval '1 second',
                  sent_at = now() - interval '3 seconds', presented_generation = 1
            WHERE account_id = :id""",
        id=account_id,
        phase=phase,
    )


async def test_a_lease_that_was_never_used_is_free_at_once(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    await abandon(road, account_id, "leased")
    assert await road.jobs.sweep() == 1
    await road.refresh(account_id)
    assert server.presented == ["grant.1"]
    assert await road.told(account_id) == ["created", "activated", "refreshed"]


async def test_a_sent_token_of_a_kept_kind_is_free_after_its_quarantine(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url, refresh_rotates="no"), expires_in_s=3600)
    await abandon(road, account_id, "sent")
    assert await road.jobs.sweep() == 1
    assert await road.told(account_id) == ["created", "activated"]
    assert await phase_of(road, account_id) is Phase.IDLE


async def test_a_strict_kind_is_taken_over_only_after_an_unbroken_watch(short_road: Road, server: TokenServer) -> None:
    road = short_road
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    await abandon(road, account_id, "sent")
    began = asyncio.get_running_loop().time()
    assert await road.jobs.sweep() == 0
    rounds = 0
    while await road.jobs.sweep() == 0:
        rounds += 1
        await asyncio.sleep(0.05)
        assert rounds < 200
    assert asyncio.get_running_loop().time() - began >= road.foundation.settings.quarantine_s
    assert await phase_of(road, account_id) is Phase.IDLE
    assert await road.told(account_id) == ["created", "activated", "in_doubt"]


async def test_a_doubt_that_its_holder_settled_needs_no_watch(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(12)]
    server.script.extend([Said(drop=True)] * 12)
    await road.refresh(*ids)
    for one in ids:
        await expire(road, one)
    assert await road.jobs.sweep() == 12
    assert {await phase_of(road, one) for one in ids} == {Phase.IDLE}


async def test_a_source_that_cannot_be_understood_holds_up_nobody_else(road: Road, server: TokenServer) -> None:
    strange, good = await road.source(server.url), await road.source(server.url)
    ids = [await road.account(strange, "strange"), await road.account(good, "good")]
    await road.sql("UPDATE sources SET provider = 'gone' WHERE id = :id", id=strange)
    for one in ids:
        await abandon(road, one, "leased")
    assert await road.jobs.sweep() == 2
    await road.refresh(*ids)
    assert server.presented == ["good.1"]
    assert (await road.view(ids[0])).account.state is AccountState.ACTIVE
    assert await phase_of(road, ids[0]) is Phase.IDLE


async def test_a_probe_of_a_living_token_recovers_the_account(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url, old_refresh_grace_s=3600))
    server.script.append(Said(drop=True))
    await road.refresh(account_id)
    await expire(road, account_id)
    assert await road.jobs.sweep() == 1
    await road.make_due(account_id)
    await road.refresh(account_id)
    view = await road.view(account_id)
    assert server.presented == ["grant.1", "grant.1"]
    assert view.generation == 2
    [lease] = await road.sql("SELECT doubts, doubt_since FROM leases WHERE account_id = :id", id=account_id)
    assert lease["doubts"] == 0
    assert lease["doubt_since"] is None


async def test_a_grant_lost_on_the_wire_is_told_apart_from_a_revocation(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url, old_refresh_grace_s=3600))
    server.script.extend([Said(drop=True), says(400, {"error": "invalid_grant"})])
    await road.refresh(account_id)
    await expire(road, account_id)
    await road.jobs.sweep()
    await road.make_due(account_id)
    await road.refresh(account_id)
    account = (await road.view(account_id)).account
    assert account.state is AccountState.DISABLED
    assert account.disabled is not None
    assert account.disabled.reason is DisabledReason.IN_DOUBT


async def test_no_number_of_unanswered_probes_disables(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url, old_refresh_grace_s=3600))
    server.script.extend([Said(502, b"<html>bad gateway</html>")] * 8)
    for _ in range(8):
        await road.refresh(account_id)
        await expire(road, account_id)
        await road.jobs.sweep()
        await road.make_due(account_id)
    assert (await road.view(account_id)).account.state is AccountState.ACTIVE
    await road.refresh(account_id)
    told = await road.told(account_id)
    assert told == ["created", "activated", "in_doubt", "failing", "refreshed", "recovered"]


async def test_credentials_that_ran_out_and_cannot_be_refreshed_are_disabled_as_expired(
    road: Road, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url), refreshable=False)
    assert await road.jobs.sweep() == 1
    account = (await road.view(account_id)).account
    assert account.disabled is not None
    assert account.disabled.reason is DisabledReason.EXPIRED
    assert await road.jobs.sweep() == 0


async def expire(road: Road, account_id: object) -> None:
    await road.sql(
        "UPDATE leases SET lease_until = now() - interval '1 second', due_at = now() - interval '1 second' "
        "WHERE account_id = :id AND phase <> 'idle'",
        id=account_id,
    )
