"""The straight road: leased, written ahead, sent, settled."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from road import Road
from token_server import Said, TokenServer, says
from tokenkeep.adapters.postgres.token_reads import PostgresDemands
from tokenkeep.application.refreshing import LeaseRequest, WriteAhead
from tokenkeep.domain.account import AccountState, DisabledReason, FailureReason, Health
from tokenkeep.domain.attempt import Outcome, Trigger
from tokenkeep.domain.conflicts import AccountExists
from tokenkeep.domain.ids import AttemptId, IdKind, format_id, new_id
from tokenkeep.domain.lease import Phase


async def outcome_of(road: Road, account_id: object) -> tuple[str, str | None]:
    [row] = await road.sql(
        "SELECT outcome, reason FROM refresh_attempts WHERE account_id = :id ORDER BY id DESC LIMIT 1", id=account_id
    )
    return row["outcome"], row["reason"]


async def test_a_due_account_is_refreshed_and_the_news_told_in_one_transaction(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    [settled] = await road.refresh(account_id)
    view = await road.view(account_id)
    assert settled.settlement is not None
    assert settled.settlement.outcome is Outcome.OK
    assert server.presented == ["grant.1"]
    assert view.generation == 2
    assert view.expires_at is not None
    assert view.next_refresh_at is not None
    assert view.next_refresh_at < view.expires_at
    assert await road.told(account_id) == ["created", "activated", "refreshed"]
    assert [event.sequence for event in await road.events(account_id)] == [1, 2, 3]


async def test_a_chain_of_refreshes_presents_each_token_once(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    for _ in range(5):
        await road.refresh(account_id)
        await road.make_due(account_id)
    assert server.presented == [f"grant.{n}" for n in range(1, 6)]


async def test_a_provider_that_names_no_new_refresh_token_keeps_the_old_one(road: Road, server: TokenServer) -> None:
    server.rotates = False
    account_id = await road.account(await road.source(server.url, refresh_rotates="no"))
    for _ in range(3):
        await road.refresh(account_id)
        await road.make_due(account_id)
    assert server.presented == ["grant.1"] * 3
    assert (await road.view(account_id)).generation == 4


async def test_an_account_that_is_not_due_is_left_alone(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3600)
    assert await road.refresh(account_id) == []
    assert server.presented == []


async def test_a_whole_batch_is_refreshed_each_account_by_itself(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(60)]
    server.script.extend([says(400, {"error": "invalid_grant"}), Said(500, b"oops"), says(429, {}, retry_after="7")])
    settled = await road.refresh(*ids)
    outcomes = [one.settlement.outcome for one in settled if one.settlement is not None]
    assert outcomes.count(Outcome.OK) == 57
    assert server.most_presented() == 1


@pytest.mark.parametrize(
    ("said", "outcome", "reason"),
    [
        (says(401, {"error": "invalid_client"}), Outcome.FAILED, FailureReason.INVALID_CLIENT),
        (says(400, {"error": "invalid_client"}), Outcome.FAILED, FailureReason.INVALID_CLIENT),
        (says(400, {"error": "unsupported_grant_type"}), Outcome.FAILED, None),
        (says(429, {"error": "rate_limited"}, retry_after="120"), Outcome.FAILED, FailureReason.RATE_LIMITED),
        (says(503, {"error": "temporarily_unavailable"}, retry_after="5"), Outcome.FAILED, FailureReason.PROVIDER_5XX),
        (Said(500, b"<html>oops</html>"), Outcome.IN_DOUBT, FailureReason.PROVIDER_5XX),
        (Said(504, b""), Outcome.IN_DOUBT, FailureReason.PROVIDER_5XX),
        (Said(200, b"rubbish"), Outcome.IN_DOUBT, FailureReason.MALFORMED_RESPONSE),
        (says(200, {"hello": "world"}), Outcome.IN_DOUBT, FailureReason.INSUFFICIENT_RESPONSE),
        (Said(403, b"<html>Access denied by the firewall</html>"), Outcome.FAILED, FailureReason.PROVIDER_4XX),
        (Said(400, b""), Outcome.FAILED, FailureReason.PROVIDER_4XX),
        (Said(drop=True), Outcome.IN_DOUBT, FailureReason.NETWORK_ERROR),
    ],
)
async def test_whatever_is_not_the_grants_end_leaves_the_account_active(
    road: Road, server: TokenServer, said: Said, outcome: Outcome, reason: FailureReason | None
) -> None:
    account_id = await road.account(await road.source(server.url))
    server.script.append(said)
    [settled] = await road.refresh(account_id)
    view = await road.view(account_id)
    assert settled.settlement is not None
    assert settled.settlement.outcome is outcome
    assert reason in {None, settled.settlement.reason}
    assert view.account.state is AccountState.ACTIVE
    assert view.account.last_error is not None
    assert view.consecutive_failures == (
        0 if reason is FailureReason.INVALID_CLIENT or (said.status == 400 and said.body) else 1
    )
    assert view.next_refresh_at is not None
    assert "disabled" not in await road.told(account_id)


async def test_invalid_grant_disables_and_says_why(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    server.script.append(says(400, {"error": "invalid_grant", "error_description": "the user said no: grant.1"}))
    await road.refresh(account_id)
    account = (await road.view(account_id)).account
    assert account.state is AccountState.DISABLED
    assert account.disabled is not None
    assert account.disabled.reason is DisabledReason.REVOKED
    assert await road.told(account_id) == ["created", "activated", "disabled"]
    last = (await road.events(account_id))[-1]
    assert last.data["reason"] == "revoked"
    assert last.data["state"] == "disabled"
    assert "grant.1" not in str(last)
    assert await road.refresh(account_id) == []


async def test_a_refused_connection_is_not_sent_and_no_doubt(road: Road) -> None:
    account_id = await road.account(await road.source("http://127.0.0.1:9/token"))
    await road.refresh(account_id)
    assert await outcome_of(road, account_id) == ("not_sent", "network_error")
    [lease] = await road.sql("SELECT phase, doubts FROM leases WHERE account_id = :id", id=account_id)
    assert lease["phase"] == Phase.IDLE
    assert lease["doubts"] == 0


async def test_an_address_that_is_not_allowed_is_never_called(road: Road) -> None:
    account_id = await road.account(await road.source("https://169.254.169.254/token"))
    await road.refresh(account_id)
    assert await outcome_of(road, account_id) == ("not_sent", "network_error")


async def test_three_failures_in_a_row_are_told_once_and_so_is_the_recovery(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url, refresh_rotates="no"))
    server.script.extend([Said(500, b"")] * 6)
    for _ in range(6):
        await road.refresh(account_id)
        await road.make_due(account_id)
    assert (await road.view(account_id)).account.health is Health.FAILING
    await road.refresh(account_id)
    view = await road.view(account_id)
    assert view.account.health is Health.HEALTHY
    assert view.consecutive_failures == 0
    assert await road.told(account_id) == ["created", "activated", "failing", "refreshed", "recovered"]


async def test_a_providers_retry_after_binds_on_demand_callers_too(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    server.script.append(says(429, {}, retry_after="120"))
    await road.refresh(account_id)
    await road.sql(
        "UPDATE leases SET next_refresh_at = now(), demanded_at = now() WHERE account_id = :id", id=account_id
    )
    assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    assert server.presented == ["grant.1"]


async def test_a_doubtful_token_is_not_presented_again_before_its_quarantine(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    server.script.append(Said(drop=True))
    await road.refresh(account_id)
    await road.make_due(account_id)
    await road.sql("UPDATE leases SET demanded_at = now() WHERE account_id = :id", id=account_id)
    assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    assert server.presented == ["grant.1"]
    assert await road.told(account_id) == ["created", "activated", "in_doubt", "failing"]


async def test_a_late_worker_cannot_overwrite_newer_credentials(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    await road.sql(
        "UPDATE leases SET fence = fence + 5, phase = 'idle', attempt_id = NULL, lease_until = NULL WHERE account_id = :id",
        id=account_id,
    )
    await road.sql("UPDATE credentials SET installed_fence = 4 WHERE account_id = :id", id=account_id)
    server.gate.set()
    [settled] = await flight
    assert settled.settlement is not None
    assert settled.settlement.stale
    assert (await road.view(account_id)).generation == 1
    [receipt] = await road.sql("SELECT disposition, ciphertext FROM receipts WHERE account_id = :id", id=account_id)
    assert receipt["disposition"] == "orphan"
    assert b"grant.2" not in bytes(receipt["ciphertext"])


async def test_a_fenced_off_workers_invalid_grant_disables_nobody(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    server.script.append(says(400, {"error": "invalid_grant"}))
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    await road.sql(
        "UPDATE leases SET fence = fence + 1, phase = 'idle', attempt_id = NULL, lease_until = NULL WHERE account_id = :id",
        id=account_id,
    )
    server.gate.set()
    await flight
    assert (await road.view(account_id)).account.state is AccountState.ACTIVE


async def test_a_token_that_was_replaced_while_the_write_ahead_waited_is_not_sent(
    road: Road, server: TokenServer
) -> None:
    """PostgreSQL re-reads the row it waited for, not the ones joined to it."""
    account_id = await road.account(await road.source(server.url))
    async with road.works() as work:
        request = LeaseRequest(account_id, AttemptId(new_id()))
        [leased] = await work.ledger.lease([request], lease=timedelta(seconds=30), look=timedelta(seconds=60))
    intent = WriteAhead(leased, Trigger.SCHEDULE, "cor_test", secret_version=1, quarantine_s=120)

    async def write_ahead() -> int:
        async with road.works() as work:
            await work.connection.execute(text("SET LOCAL lock_timeout = 0"))
            return len(await work.ledger.write_ahead([intent]))

    async with road.works() as late:
        await late.ledger.lock([account_id])
        waiting = asyncio.create_task(write_ahead())
        await road.blocked(1)
        await late.connection.execute(text("UPDATE credentials SET generation = 2, obtained_at = now()"))
        await late.connection.execute(text("UPDATE leases SET obtained_at = now()"))
    assert await waiting == 0


async def test_a_late_intent_is_not_let_through_by_the_present_one_beside_it(road: Road, server: TokenServer) -> None:
    """A worker that stood still may have both of them at once, and journals what it has in one statement."""
    account_id = await road.account(await road.source(server.url))

    async def lease() -> WriteAhead:
        async with road.works() as work:
            request = LeaseRequest(account_id, AttemptId(new_id()))
            [leased] = await work.ledger.lease([request], lease=timedelta(seconds=30), look=timedelta(seconds=60))
        return WriteAhead(leased, Trigger.SCHEDULE, "cor_test", secret_version=1, quarantine_s=120)

    late = await lease()
    await road.sql(
        "UPDATE leases SET fence = fence + 1, phase = 'idle', attempt_id = NULL, lease_until = NULL WHERE account_id = :id",
        id=account_id,
    )
    present = await lease()
    twin = replace(present, leased=replace(present.leased, attempt_id=AttemptId(new_id())))
    async with road.works() as work:
        admitted = await work.ledger.write_ahead([late, present, twin])
    assert list(admitted) == [present.leased.attempt_id]
    journal = await road.sql("SELECT id FROM refresh_attempts WHERE account_id = :id", id=account_id)
    assert {row["id"] for row in journal} == set(admitted)


async def test_the_same_grant_is_never_taken_into_custody_twice(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    first = await road.account(source_id)
    with pytest.raises(AccountExists) as refusal:
        await road.account(source_id)
    assert refusal.value.account_id == format_id(IdKind.ACCOUNT, first)
    other = await road.source(server.url)
    with pytest.raises(AccountExists) as refusal:
        await road.account(other)
    assert refusal.value.account_id == format_id(IdKind.ACCOUNT, first)
    assert len(await road.sql("SELECT id FROM accounts")) == 1
    await road.sql("UPDATE sources SET client_id = 'another' WHERE id = :id", id=other)
    await road.account(other)


@pytest.mark.parametrize("scope", ["a\u0000b", "profile \u0007bell"])
async def test_what_postgresql_cannot_store_does_not_wedge_an_account(
    road: Road, server: TokenServer, scope: str
) -> None:
    account_id = await road.account(await road.source(server.url))
    server.script.append(
        says(200, {"access_token": "a", "refresh_token": "grant.2", "expires_in": 3600, "scope": scope})
    )
    await road.refresh(account_id)
    assert (await road.view(account_id)).generation == 2


async def test_an_answer_that_tells_no_life_does_not_make_a_token_immortal(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=3)
    await road.make_due(account_id)
    server.script.append(says(200, {"access_token": "a", "refresh_token": "grant.2"}))
    await road.refresh(account_id)
    view = await road.view(account_id)
    assert view.expires_at is not None
    assert view.last_refreshed_at is not None
    assert timedelta(minutes=55) < view.expires_at - view.last_refreshed_at < timedelta(minutes=61)


async def test_a_client_that_was_refused_is_not_shown_again_on_demand(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    server.script.append(says(401, {"error": "invalid_client"}))
    await road.refresh(account_id)
    await PostgresDemands(road.foundation.database)({account_id: None})
    assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    assert server.presented == ["grant.1"]


async def test_a_database_that_fails_before_the_token_leaves_costs_nothing(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    await road.sql("ALTER TABLE refresh_attempts RENAME TO gone")
    assert await road.refresh(account_id) == []
    await road.sql("ALTER TABLE gone RENAME TO refresh_attempts")
    assert server.presented == []
    await road.sql("UPDATE leases SET lease_until = now() - interval '1 second', due_at = now() - interval '1 second'")
    assert await road.jobs.sweep() == 1
    await road.refresh(account_id)
    assert server.presented == ["grant.1"]


async def test_an_answer_survives_a_database_that_goes_away(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    await road.sql("ALTER TABLE credentials RENAME TO gone")
    server.gate.set()
    await road.observed("refresh_settle_delayed")
    await road.sql("ALTER TABLE gone RENAME TO credentials")
    await flight
    assert (await road.view(account_id)).generation == 2
    assert server.presented == ["grant.1"]
