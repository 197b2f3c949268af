"""What is received is kept, what may be alive is tried, and what went back in time is not spent again."""

import asyncio
import stat
from pathlib import Path

import pytest

from road import Road, open_road
from token_server import Said, TokenServer, says
from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId

REVOKED = says(400, {"error": "invalid_grant"})


async def without_credentials(road: Road, account_id: AccountId, server: TokenServer) -> "asyncio.Task[object]":
    """A refresh whose answer has been received while the database can't take it."""
    server.gate = asyncio.Event()
    flight: asyncio.Task[object] = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    await road.sql("ALTER TABLE credentials RENAME TO gone")
    server.gate.set()
    await road.observed("refresh_spooled")
    return flight


def spooled(road: Road) -> list[Path]:
    return sorted(road.foundation.settings.spool_path.glob("*.answer"))


async def test_an_answer_that_cannot_be_committed_waits_sealed_on_the_disk(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    flight = await without_credentials(road, account_id, server)
    [path] = spooled(road)
    assert b"grant" not in path.read_bytes()
    assert b"access-" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await road.sql("ALTER TABLE gone RENAME TO credentials")
    await flight
    assert spooled(road) == []
    assert (await road.view(account_id)).generation == 2


async def test_the_next_process_settles_what_one_before_it_received(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    flight = await without_credentials(road, account_id, server)
    flight.cancel()  # the process is gone
    with pytest.raises(asyncio.CancelledError):
        await flight
    await road.refreshing.refresh.drain()  # what it was just committing goes on without it
    await road.sql("ALTER TABLE gone RENAME TO credentials")
    assert (await road.view(account_id)).generation == 1
    assert await road.refreshing.drain_spool() == 0
    assert spooled(road) == []
    assert (await road.view(account_id)).generation == 2
    assert await road.told(account_id) == ["created", "activated", "refreshed"]
    assert server.presented == ["grant.1"]


async def test_a_spool_that_is_drained_twice_changes_nothing(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    flight = await without_credentials(road, account_id, server)
    [path] = spooled(road)
    content = path.read_bytes()
    await road.sql("ALTER TABLE gone RENAME TO credentials")
    await flight
    path.write_bytes(content)
    await road.refreshing.drain_spool()
    assert (await road.view(account_id)).generation == 2
    assert await road.told(account_id) == ["created", "activated", "refreshed"]


async def test_a_spooled_answer_that_a_younger_one_overtook_is_kept_as_a_receipt(
    road: Road, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url))
    flight = await without_credentials(road, account_id, server)
    [path] = spooled(road)
    content = path.read_bytes()
    await road.sql("ALTER TABLE gone RENAME TO credentials")
    await flight
    await road.sql("UPDATE credentials SET installed_fence = installed_fence + 5")
    path.write_bytes(content)
    await road.refreshing.drain_spool()
    [receipt] = await road.sql("SELECT disposition FROM receipts WHERE account_id = :id", id=account_id)
    assert receipt["disposition"] == "orphan"
    assert (await road.view(account_id)).generation == 2


async def test_a_file_that_nobody_can_read_is_left_and_stops_nobody(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    flight = await without_credentials(road, account_id, server)
    [path] = spooled(road)
    await road.sql("ALTER TABLE gone RENAME TO credentials")
    await flight
    path.write_bytes(b"{")
    assert await road.refreshing.drain_spool() == 0
    assert path.exists()


async def test_a_process_that_can_put_an_answer_nowhere_takes_no_more_work(
    database_url: str, redis_url: str, server: TokenServer, tmp_path: Path
) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("not a directory")
    async with open_road(database_url, redis_url, spool_dir=str(nowhere / "spool")) as road:
        source_id = await road.source(server.url)
        account_id, other = await road.account(source_id), await road.account(source_id, "other")
        server.gate = asyncio.Event()
        flight = asyncio.create_task(road.refresh(account_id))
        await server.arrived.wait()
        await road.sql("ALTER TABLE credentials RENAME TO gone")
        server.gate.set()
        await road.observed("refresh_spool_failed")
        assert await road.refresh(other) == []
        await road.sql("ALTER TABLE gone RENAME TO credentials")
        await flight
        assert len(await road.refresh(other)) == 1
        assert server.presented == ["grant.1", "other.1"]


async def test_a_stop_leaves_what_is_spooled_to_the_next_process(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    flight = await without_credentials(road, account_id, server)
    road.refreshing.refresh.hurry(grace=road.foundation.times.write_ahead * 0)
    await flight
    assert len(spooled(road)) == 1
    await road.sql("ALTER TABLE gone RENAME TO credentials")
    await road.refreshing.drain_spool()
    assert (await road.view(account_id)).generation == 2


async def test_where_the_successor_comes_once_more_the_holder_asks_again_at_once(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url, old_refresh_grace_s=3600, old_refresh_grace_answer="same")
    account_id = await road.account(source_id)
    server.script.append(Said(drop=True))
    await road.refresh(account_id)
    assert server.presented == ["grant.1", "grant.1"]
    assert (await road.view(account_id)).generation == 2
    assert await road.told(account_id) == ["created", "activated", "refreshed"]
    [attempt] = await road.sql(
        "SELECT outcome, presentations FROM refresh_attempts WHERE account_id = :id", id=account_id
    )
    assert (attempt["outcome"], attempt["presentations"]) == ("ok", 2)


async def test_the_holder_asks_twice_more_at_most(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url, old_refresh_grace_s=3600, old_refresh_grace_answer="same")
    account_id = await road.account(source_id)
    server.script.extend([Said(drop=True)] * 5)
    await road.refresh(account_id)
    assert server.presented == ["grant.1"] * 3
    view = await road.view(account_id)
    assert view.in_doubt is not None
    assert view.in_doubt.presentations == 3


@pytest.mark.parametrize("options", [{"old_refresh_grace_s": 3600}, {}])
async def test_nobody_asks_again_at_once_where_that_may_cost_the_grant(
    road: Road, server: TokenServer, options: dict[str, object]
) -> None:
    account_id = await road.account(await road.source(server.url, **options))
    server.script.append(Said(drop=True))
    await road.refresh(account_id)
    assert server.presented == ["grant.1"]


async def test_a_spurious_refusal_disables_nobody(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url, confirm_revocation_s=60))
    server.script.append(REVOKED)
    await road.refresh(account_id)
    assert (await road.view(account_id)).account.state is AccountState.ACTIVE
    assert await road.refresh(account_id) == []
    await road.make_due(account_id)
    await road.refresh(account_id)
    assert (await road.view(account_id)).generation == 2
    assert "disabled" not in await road.told(account_id)


async def test_a_refusal_that_is_repeated_a_minute_later_is_believed(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url, confirm_revocation_s=60))
    server.script.extend([REVOKED, REVOKED])
    await road.refresh(account_id)
    await road.sql("UPDATE leases SET suspected_at = suspected_at - interval '61 seconds'")
    await road.make_due(account_id)
    await road.refresh(account_id)
    disabled = (await road.view(account_id)).account.disabled
    assert disabled is not None
    assert disabled.reason is DisabledReason.REVOKED


async def test_an_orphan_is_tried_before_the_grant_is_given_up(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    # The answer to the first presentation comes so late that a younger attempt has installed another token set.
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    await road.sql("UPDATE credentials SET installed_fence = 5")
    await road.sql(
        "UPDATE leases SET fence = 5, phase = 'idle', attempt_id = NULL, lease_until = NULL WHERE account_id = :id",
        id=account_id,
    )
    server.gate.set()
    await flight
    server.gate = None
    server.script.append(REVOKED)
    await road.make_due(account_id)
    await road.refresh(account_id)
    view = await road.view(account_id)
    assert view.account.state is AccountState.ACTIVE
    assert view.generation == 2
    await road.make_due(account_id)
    await road.refresh(account_id)
    assert server.presented == ["grant.1", "grant.1", "grant.2"]
    assert (await road.view(account_id)).generation == 3
    [receipt] = await road.sql("SELECT disposition FROM receipts WHERE account_id = :id", id=account_id)
    assert receipt["disposition"] == "tried"
    assert "disabled" not in await road.told(account_id)


async def test_a_database_that_went_back_in_time_spends_nothing(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    account_id = await road.account(source_id)
    before = await road.sql("SELECT * FROM credentials WHERE account_id = :id", id=account_id)
    await road.refresh(account_id)
    await restored(road, account_id, before[0])
    await road.make_due(account_id)
    assert await road.refresh(account_id) == []
    assert server.presented == ["grant.1"]
    [source] = await road.sql("SELECT state, paused_reason FROM sources WHERE id = :id", id=source_id)
    assert (source["state"], source["paused_reason"]) == ("paused", "rollback")
    assert await road.told(account_id) == ["created", "activated", "refreshed", "in_doubt"]
    assert (await road.view(account_id)).in_doubt is not None


async def test_after_an_operator_has_looked_the_old_token_is_tried_as_one_in_doubt(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, name) for name in ("a", "b")]
    before = {one: (await road.sql("SELECT * FROM credentials WHERE account_id = :id", id=one))[0] for one in ids}
    await road.refresh(*ids)
    for one in ids:
        await restored(road, one, before[one])
        await road.make_due(one)
    await road.refresh(ids[0])
    await road.sql(
        "UPDATE sources SET state = 'active', paused_reason = NULL, rollback_accepted_at = now() + interval '1 second'"
    )
    server.script.extend([REVOKED, REVOKED])
    await road.make_due(ids[0])
    await road.refresh(ids[0])
    assert await road.refresh(ids[1]) == []  # noticed, put in doubt, and left for the next hint
    await road.make_due(ids[1])
    await road.refresh(ids[1])
    for one in ids:
        disabled = (await road.view(one)).account.disabled
        assert disabled is not None
        assert disabled.reason is DisabledReason.IN_DOUBT
    [source] = await road.sql("SELECT state FROM sources WHERE id = :id", id=source_id)
    assert source["state"] == "active"


async def restored(road: Road, account_id: AccountId, row: dict[str, object]) -> None:
    """The credentials as a backup had them."""
    await road.sql(
        "UPDATE credentials SET generation = :generation, installed_fence = :fence, access_ciphertext = :access,"
        " refresh_ciphertext = :refresh, obtained_at = :obtained WHERE account_id = :id",
        generation=row["generation"],
        fence=row["installed_fence"],
        access=row["access_ciphertext"],
        refresh=row["refresh_ciphertext"],
        obtained=row["obtained_at"],
        id=account_id,
    )
    await road.sql(
        "UPDATE leases SET obtained_at = :obtained WHERE account_id = :id", obtained=row["obtained_at"], id=account_id
    )


async def test_an_operator_can_hold_custody(database_url: str, redis_url: str, server: TokenServer) -> None:
    async with open_road(database_url, redis_url, custody_hold="1") as road:
        account_id = await road.account(await road.source(server.url))
        assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
        assert server.presented == []


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_failover_that_loses_the_lease_does_not_make_us_drop_the_answer(
    road: Road, server: TokenServer, lost: int
) -> None:
    account_id = await road.account(await road.source(server.url))
    await road.refresh(account_id)
    await road.make_due(account_id)
    await road.sql("UPDATE leases SET fence = fence + :n", n=lost - 1)
    server.gate, server.arrived = asyncio.Event(), asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    await road.sql("DELETE FROM refresh_attempts WHERE outcome IS NULL")
    await road.sql(
        "UPDATE leases SET fence = fence - :n, phase = 'idle', attempt_id = NULL, lease_until = NULL, sent_at = NULL,"
        " due_at = now(), next_refresh_at = now()",
        n=lost,
    )
    server.gate.set()
    await flight
    await road.make_due(account_id)
    await road.refresh(account_id)
    assert (await road.view(account_id)).generation == 4
    assert server.presented == ["grant.1", "grant.2", "grant.3"]


async def test_a_busy_answer_to_the_second_presentation_does_not_end_the_doubt_of_the_first(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url, old_refresh_grace_s=3600, old_refresh_grace_answer="same")
    account_id = await road.account(source_id)
    server.script.extend([Said(drop=True), says(429, {}, retry_after="3600")])
    await road.refresh(account_id)
    view = await road.view(account_id)
    assert view.in_doubt is not None
    assert "in_doubt" in await road.told(account_id)


async def test_a_token_that_is_never_spent_may_go_back_in_time(road: Road, server: TokenServer) -> None:
    server.rotates = False
    account_id = await road.account(await road.source(server.url, refresh_rotates="no"))
    before = await road.sql("SELECT * FROM credentials WHERE account_id = :id", id=account_id)
    await road.refresh(account_id)
    await restored(road, account_id, before[0])
    await road.make_due(account_id)
    assert len(await road.refresh(account_id)) == 1


async def test_a_demand_waits_for_the_probe_of_a_token_in_doubt(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    await road.sql(
        "UPDATE leases SET doubts = 1, doubt_since = now(), demanded_at = now(), next_refresh_at = now() + interval '9 min'"
    )
    assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    assert server.presented == []
