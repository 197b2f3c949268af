"""Refreshes by code of somebody's own: it stands where the exchange stands, and everything around it stays as it is."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from installed_packages import install_refreshers
from road import Road, open_road
from scripted_refresher import SCRIPTED, Scripted, gives, raises, rotated
from tokenkeep.domain.account import AccountState, DisabledReason, FailureReason, Health
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.refresher import MaybeSpent, Misconfigured, RefreshCall, Refused, TryLater

URL = "http://127.0.0.1:9/token"
IN_A_MOMENT = {"provider_deadline_s": "2", "write_ahead_s": "10", "lease_s": "10", "quarantine_s": "30"}


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """An installed refresher."""
    install_refreshers(tmp_path, scripted="scripted_refresher:refresh")
    monkeypatch.syspath_prepend(tmp_path)
    SCRIPTED.calls.clear()
    SCRIPTED.script.clear()
    return SCRIPTED


@pytest.fixture
async def road(scripted: Scripted, database_url: str, redis_url: str) -> AsyncIterator[Road]:
    """A system whose worker has found it."""
    assert scripted.calls == []
    async with open_road(database_url, redis_url) as opened:
        await opened.foundation.redis.flushall()
        yield opened


async def account_of(road: Road, **options: object) -> AccountId:
    return await road.account(await road.source(URL, refresher="scripted", **options))


async def doubts_of(road: Road, account_id: AccountId) -> tuple[str, int]:
    [row] = await road.sql("SELECT phase, doubts FROM leases WHERE account_id = :id", id=account_id)
    return row["phase"], row["doubts"]


async def test_a_refresher_is_called_where_the_token_endpoint_would_be_asked(road: Road, scripted: Scripted) -> None:
    account_id = await account_of(road)
    seen: list[object] = []

    async def looks(call: RefreshCall) -> Mapping[str, object]:
        """The intent is written, and the account in nobody else's reach."""
        seen.extend(
            await road.sql("SELECT l.phase, a.outcome FROM leases l JOIN refresh_attempts a ON a.id = attempt_id")
        )
        return await rotated(call)

    scripted.script.append(looks)
    await road.refresh(account_id)
    assert seen == [{"phase": "sent", "outcome": None}]
    assert (await road.view(account_id)).generation == 2
    assert await road.told(account_id) == ["created", "activated", "refreshed"]
    await road.make_due(account_id)
    await road.refresh(account_id)
    assert scripted.presented == ["grant.1", "grant.2"]


async def test_a_refresher_is_told_whose_token_it_is(road: Road, scripted: Scripted) -> None:
    account_id = await account_of(road, revocation_url="https://93.184.215.14/revoke")
    await road.sql("UPDATE accounts SET external_id = 'northwind', properties = '{\"shop\": \"n\"}'")
    await road.sql("UPDATE credentials SET scopes = '{a,b}'")
    await road.refresh(account_id)
    [call] = scripted.calls
    [attempt] = await road.sql("SELECT id, source_id FROM refresh_attempts")
    assert call.attempt_id == format_id(IdKind.ATTEMPT, attempt["id"])
    assert call.account_id == format_id(IdKind.ACCOUNT, account_id)
    assert call.source_id == format_id(IdKind.SOURCE, attempt["source_id"])
    assert (call.provider, call.client_id, call.external_id) == ("generic-oauth2", "client", "northwind")
    assert call.client_secret is not None
    assert call.client_secret.reveal() == "shh"
    assert call.properties == {"shop": "n"}
    assert call.options["revocation_url"] == "https://93.184.215.14/revoke"
    assert call.scopes == ("a", "b")
    assert "grant.1" not in repr(call)
    assert "shh" not in repr(call)


async def test_a_token_set_without_a_refresh_token_keeps_the_former_one(road: Road, scripted: Scripted) -> None:
    account_id = await account_of(road)
    scripted.script.append(gives({"access_token": "a", "expires_in": 3600}))
    for _ in range(2):
        await road.refresh(account_id)
        await road.make_due(account_id)
    assert scripted.presented == ["grant.1", "grant.1"]


async def test_an_entry_that_puts_its_tokens_elsewhere_does_not_matter_to_a_refresher(
    road: Road, scripted: Scripted
) -> None:
    account_id = await account_of(road, access_token_path="payload.token", scope_separator=",")
    scripted.script.append(gives({"access_token": "a", "expires_in": 3600, "scope": "x y"}))
    await road.refresh(account_id)
    assert (await road.view(account_id)).generation == 2
    [row] = await road.sql("SELECT scopes FROM credentials WHERE account_id = :id", id=account_id)
    assert row["scopes"] == ["x", "y"]


async def test_a_grant_that_a_refresher_says_is_dead_is_given_up(road: Road, scripted: Scripted) -> None:
    account_id = await account_of(road)
    scripted.script.append(raises(Refused("invalid_grant")))
    await road.refresh(account_id)
    account = (await road.view(account_id)).account
    assert account.state is AccountState.DISABLED
    assert account.disabled is not None
    assert account.disabled.reason is DisabledReason.REVOKED


async def test_a_token_that_a_refresher_did_not_spend_is_in_no_doubt(road: Road, scripted: Scripted) -> None:
    account_id = await account_of(road)
    scripted.script.append(raises(TryLater(600)))
    await road.refresh(account_id)
    assert await doubts_of(road, account_id) == ("idle", 0)
    [row] = await road.sql("SELECT not_before > now() + interval '9 minutes' AS waits FROM leases")
    assert row["waits"]


async def test_a_client_that_a_refresher_calls_wrong_is_no_fault_of_the_account(road: Road, scripted: Scripted) -> None:
    account_id = await account_of(road)
    scripted.script.append(raises(Misconfigured()))
    await road.refresh(account_id)
    account = (await road.view(account_id)).account
    assert account.last_error is not None
    assert account.last_error.reason is FailureReason.INVALID_CLIENT
    assert (account.state, account.health) == (AccountState.ACTIVE, Health.HEALTHY)
    assert await doubts_of(road, account_id) == ("idle", 0)


@pytest.mark.parametrize(
    "act", [raises(MaybeSpent()), raises(ValueError("canary-grant")), gives("canary-grant"), gives({"id": 1})]
)
async def test_whatever_leaves_it_open_is_a_doubt_and_nobody_presents_the_token_meanwhile(
    road: Road, scripted: Scripted, act: object
) -> None:
    account_id = await account_of(road)
    scripted.script.append(act)  # type: ignore[arg-type]
    await road.refresh(account_id)
    assert await doubts_of(road, account_id) == ("doubt", 1)
    await road.make_due(account_id)
    assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    assert scripted.presented == ["grant.1"]
    assert (await road.view(account_id)).account.state is AccountState.ACTIVE
    assert "in_doubt" in await road.told(account_id)
    assert "canary" not in repr(road.log)


async def test_where_a_second_presentation_is_harmless_a_lost_answer_is_no_doubt(
    road: Road, scripted: Scripted
) -> None:
    account_id = await account_of(road, refresh_rotates="no")
    scripted.script.append(raises(MaybeSpent()))
    await road.refresh(account_id)
    assert "in_doubt" not in await road.told(account_id)


async def test_where_the_successor_is_the_same_the_refresher_is_asked_again_in_the_same_attempt(
    road: Road, scripted: Scripted
) -> None:
    account_id = await account_of(road, old_refresh_grace_s=3600, old_refresh_grace_answer="same")
    scripted.script.append(raises(MaybeSpent()))
    await road.refresh(account_id)
    assert scripted.presented == ["grant.1", "grant.1"]
    assert len({call.attempt_id for call in scripted.calls}) == 1
    assert (await road.view(account_id)).generation == 2


async def test_an_answer_that_the_database_cannot_take_is_spooled_as_any_other(road: Road, scripted: Scripted) -> None:
    account_id = await account_of(road)

    async def meanwhile_the_database_goes(call: RefreshCall) -> Mapping[str, object]:
        await road.sql("ALTER TABLE credentials RENAME TO gone")
        return await rotated(call)

    scripted.script.append(meanwhile_the_database_goes)
    flight = asyncio.create_task(road.refresh(account_id))
    await road.observed("refresh_spooled")
    flight.cancel()  # the process is gone
    with pytest.raises(asyncio.CancelledError):
        await flight
    await road.sql("ALTER TABLE gone RENAME TO credentials")
    assert await road.refreshing.drain_spool() == 0
    assert (await road.view(account_id)).generation == 2
    assert scripted.presented == ["grant.1"]


async def test_an_answer_for_a_holder_that_was_fenced_off_becomes_a_receipt(road: Road, scripted: Scripted) -> None:
    account_id = await account_of(road)

    async def meanwhile_another_installs(call: RefreshCall) -> Mapping[str, object]:
        await road.sql("UPDATE leases SET fence = fence + 1, phase = 'idle', attempt_id = NULL, lease_until = NULL")
        await road.sql("UPDATE credentials SET installed_fence = installed_fence + 5")
        return await rotated(call)

    scripted.script.append(meanwhile_another_installs)
    await road.refresh(account_id)
    [receipt] = await road.sql("SELECT disposition FROM receipts WHERE account_id = :id", id=account_id)
    assert receipt["disposition"] == "orphan"
    assert (await road.view(account_id)).generation == 1


async def test_a_refresher_that_takes_too_long_leaves_a_doubt_and_holds_nobody(
    scripted: Scripted, database_url: str, redis_url: str
) -> None:
    async with open_road(database_url, redis_url, **IN_A_MOMENT) as road:
        await road.foundation.redis.flushall()
        source_id = await road.source(URL, refresher="scripted")
        slow, quick = await road.account(source_id, "slow"), await road.account(source_id, "quick")
        ended = asyncio.Event()

        async def waits(_call: RefreshCall) -> Mapping[str, object]:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

        scripted.script.append(waits)
        await road.refresh(slow)
        await asyncio.wait_for(ended.wait(), 5)
        assert await doubts_of(road, slow) == ("doubt", 1)
        [row] = await road.sql("SELECT reason FROM refresh_attempts WHERE account_id = :id", id=slow)
        assert row["reason"] == "timeout"
        await road.refresh(quick)
        assert (await road.view(quick)).generation == 2


async def test_where_a_refresher_is_not_installed_nothing_is_spent(road: Road, scripted: Scripted) -> None:
    account_id = await road.account(await road.source(URL, refresher="elsewhere"))
    await road.refresh(account_id)
    assert scripted.calls == []
    view = await road.view(account_id)
    assert (view.generation, view.account.state) == (1, AccountState.ACTIVE)
    assert await doubts_of(road, account_id) == ("idle", 0)
    assert {line["error"] for line in road.log if line["event"] == "refresh_not_prepared"} == {"UnknownRefresher"}
