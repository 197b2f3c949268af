"""Refreshes by an address of the developer's own: signed, asked once, and settled as any other."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from callout_server import SECRET, CalloutServer
from road import CALLER, Road
from source_clients import SIGNER, source_clients
from token_server import Said, TokenServer, says
from tokenkeep.application.manage_sources import CreateSource, NewSource, SourceChange, UpdateSource
from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import AccountId, IdKind, SourceId, format_id
from tokenkeep.domain.secret import Secret


@pytest.fixture
async def callouts() -> AsyncIterator[CalloutServer]:
    async with CalloutServer() as started:
        yield started


async def source_of(road: Road, url: str, **options: object) -> SourceId:
    chosen = {"token_url": "https://93.184.215.14/token", "refresh_callout_url": url, **options}
    wanted = NewSource("generic-oauth2", "a source", "client", Secret("shh"), (), chosen, Secret(SECRET))
    create = CreateSource(road.foundation.catalogue, road.sealer.vault, source_clients(road.sealer.vault), SIGNER)
    async with road.works() as work:
        return (await create(work, CALLER, wanted)).id


async def account_of(road: Road, callouts: CalloutServer, **options: object) -> AccountId:
    return await road.account(await source_of(road, callouts.url, **options))


async def doubts_of(road: Road, account_id: AccountId) -> tuple[str, int]:
    [row] = await road.sql("SELECT phase, doubts FROM leases WHERE account_id = :id", id=account_id)
    return row["phase"], row["doubts"]


async def test_a_callout_is_signed_and_says_all_that_its_receiver_needs(road: Road, callouts: CalloutServer) -> None:
    account_id = await account_of(road, callouts)
    await road.sql("UPDATE accounts SET external_id = 'northwind', properties = '{\"shop\": \"n\"}'")
    before = datetime.now(UTC)
    await road.refresh(account_id)
    [message], [headers] = callouts.messages, callouts.headers
    [attempt] = await road.sql("SELECT id, source_id FROM refresh_attempts")
    deadline = datetime.fromisoformat(message.pop("deadline"))
    assert 19 < (deadline - before).total_seconds() < 60
    assert message == {
        "attempt_id": format_id(IdKind.ATTEMPT, attempt["id"]),
        "account_id": format_id(IdKind.ACCOUNT, account_id),
        "source_id": format_id(IdKind.SOURCE, attempt["source_id"]),
        "provider": "generic-oauth2",
        "external_id": "northwind",
        "properties": {"shop": "n"},
        "refresh_token": "grant.1",
        "scopes": [],
    }
    assert headers["webhook-id"] == message["attempt_id"]
    assert headers["content-type"] == "application/json"
    assert "authorization" not in headers
    assert (await road.view(account_id)).generation == 2


async def test_the_answer_is_read_in_the_form_of_the_standard(road: Road, callouts: CalloutServer) -> None:
    account_id = await account_of(road, callouts, access_token_path="payload.token")
    await road.refresh(account_id)
    await road.make_due(account_id)
    callouts.script.append(says(400, {"error": "invalid_grant"}))
    await road.refresh(account_id)
    account = (await road.view(account_id)).account
    assert callouts.presented == ["grant.1", "grant.2"]
    assert account.disabled is not None
    assert account.disabled.reason is DisabledReason.REVOKED


@pytest.mark.parametrize(
    "said", [Said(drop=True), Said(502, b"oops"), Said(200, b"{"), says(302, {}, location="http://127.0.0.1:1/")]
)
async def test_an_answer_that_is_lost_is_a_doubt(road: Road, callouts: CalloutServer, said: Said) -> None:
    account_id = await account_of(road, callouts)
    callouts.script.append(said)
    await road.refresh(account_id)
    assert await doubts_of(road, account_id) == ("doubt", 1)
    await road.make_due(account_id)
    assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    assert callouts.presented == ["grant.1"]


@pytest.mark.parametrize(
    "said",
    [
        says(401, {"detail": "Token has been revoked"}),
        says(401, {"error": "login_required"}),
        says(403, {"error": "account_disabled"}),
    ],
)
async def test_a_proxy_in_front_of_the_receiver_disables_nobody(
    road: Road, callouts: CalloutServer, said: Said
) -> None:
    source_id = await source_of(road, callouts.url)
    account_ids = [await road.account(source_id, f"grant-{number}") for number in range(3)]
    callouts.script.extend([said] * 3)
    await road.refresh(*account_ids)
    assert len(callouts.presented) == 3
    assert [await doubts_of(road, account_id) for account_id in account_ids] == [("doubt", 1)] * 3
    assert {(await road.view(account_id)).account.state for account_id in account_ids} == {AccountState.ACTIVE}


async def test_a_receiver_that_is_too_busy_costs_no_doubt(road: Road, callouts: CalloutServer) -> None:
    account_id = await account_of(road, callouts)
    callouts.script.append(says(503, {"error": "temporarily_unavailable"}))
    await road.refresh(account_id)
    assert await doubts_of(road, account_id) == ("idle", 0)


async def test_a_receiver_that_is_away_costs_no_doubt(road: Road) -> None:
    account_id = await road.account(await source_of(road, "http://127.0.0.1:9/refresh"))
    await road.refresh(account_id)
    assert await doubts_of(road, account_id) == ("idle", 0)
    assert (await road.view(account_id)).account.state is AccountState.ACTIVE


async def test_a_message_that_comes_twice_in_one_attempt_has_one_id(road: Road, callouts: CalloutServer) -> None:
    account_id = await account_of(road, callouts, old_refresh_grace_s=3600, old_refresh_grace_answer="same")
    callouts.script.append(Said(drop=True))
    await road.refresh(account_id)
    assert callouts.presented == ["grant.1", "grant.1"]
    assert len({headers["webhook-id"] for headers in callouts.headers}) == 1
    assert (await road.view(account_id)).generation == 2


async def test_an_answer_that_comes_while_the_database_is_away_is_spooled(road: Road, callouts: CalloutServer) -> None:
    account_id = await account_of(road, callouts)
    callouts.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await callouts.arrived.wait()
    await road.sql("ALTER TABLE credentials RENAME TO gone")
    callouts.gate.set()
    await road.observed("refresh_spooled")
    await road.sql("ALTER TABLE gone RENAME TO credentials")
    await flight
    assert (await road.view(account_id)).generation == 2
    assert callouts.presented == ["grant.1"]


async def test_a_new_secret_signs_from_then_on(road: Road, callouts: CalloutServer) -> None:
    source_id = await source_of(road, callouts.url)
    account_id = await road.account(source_id)
    callouts.secret = "whsec_" + "bmV3" * 8
    update = UpdateSource(road.foundation.catalogue, road.sealer.vault, source_clients(road.sealer.vault), SIGNER)
    async with road.works() as work:
        await update(work, CALLER, source_id, SourceChange(callout_secret=Secret(callouts.secret)))
    await road.sql("UPDATE sources SET proving = false, probe_at = NULL")
    await road.refresh(account_id)
    assert callouts.presented == ["grant.1"]


async def test_a_secret_is_kept_when_the_client_changes_and_missed_when_it_is_taken_away(
    road: Road, callouts: CalloutServer
) -> None:
    source_id = await source_of(road, callouts.url)
    account_id = await road.account(source_id)
    update = UpdateSource(road.foundation.catalogue, road.sealer.vault, source_clients(road.sealer.vault), SIGNER)
    async with road.works() as work:
        await update(work, CALLER, source_id, SourceChange(client_secret=Secret("other")))
        with pytest.raises(InvalidInput, match="refresh_callout_secret: refresh_callout_url needs one"):
            await update(work, CALLER, source_id, SourceChange(drop_callout_secret=True))
    await road.sql("UPDATE sources SET proving = false, probe_at = NULL")
    await road.refresh(account_id)
    assert callouts.presented == ["grant.1"]


async def test_a_source_without_a_hook_asks_the_token_endpoint(
    road: Road, server: TokenServer, callouts: CalloutServer
) -> None:
    account_id = await road.account(await road.source(server.url))
    await road.refresh(account_id)
    assert (server.presented, callouts.presented) == (["grant.1"], [])
