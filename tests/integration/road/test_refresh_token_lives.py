"""Refresh tokens that end, or die when they lie idle; and who is told before."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from road import CALLER, Road
from token_server import TokenServer, says
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.application.replace_credentials import ReplaceCredentials
from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.events import Event, rfc3339
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.secret import Secret
from tokenkeep_scheduler.main import wire as wire_scheduler

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
A_DAY_S = 86_400
SOON = timedelta(minutes=1)


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


async def expiring(road: Road, account_id: AccountId) -> list[Event]:
    return [event for event in await road.events(account_id) if event.type == "tokenkeep.account.expiring"]


async def refresh(road: Road, account_id: AccountId) -> None:
    await road.make_due(account_id)
    [settled] = await road.refresh(account_id)
    assert settled.settlement is not None


async def test_a_refresh_token_that_dies_idle_is_used_in_time(road: Road, server: TokenServer) -> None:
    server.lifetime_s = 60 * A_DAY_S
    source_id = await road.source(server.url, refresh_token_idle_ttl_s=14 * A_DAY_S)
    account_id = await road.account(source_id, expires_in_s=60 * A_DAY_S)
    for n in (1, 2):
        view = await road.view(account_id)
        assert view.next_refresh_at is not None
        assert in_days(11) < view.next_refresh_at < in_days(14)
        await road.pass_time(account_id, 14 * DAY - SOON)
        assert await road.tick() == 1
        await road.refresh(account_id)
        assert len(server.presented) == n
    assert await expiring(road, account_id) == []


async def test_without_an_idle_life_a_long_access_token_is_left_to_live(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=60 * A_DAY_S)
    view = await road.view(account_id)
    assert view.next_refresh_at is not None
    assert view.next_refresh_at > in_days(40)


async def test_an_account_that_is_switched_on_is_scheduled_by_its_sources_idle_life(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url, refresh_token_idle_ttl_s=14 * A_DAY_S)
    account_id = await road.account(source_id, expires_in_s=3600)
    await road.sql("UPDATE credentials SET expires_at = NULL")
    await road.toggle(account_id, on=False)
    await road.toggle(account_id, on=True)
    assert await road.tick() == 1
    plain_id = await road.account(await road.source(server.url), "plain", expires_in_s=3600)
    await road.sql("UPDATE credentials SET expires_at = NULL")
    await road.toggle(plain_id, on=False)
    await road.toggle(plain_id, on=True)
    assert (await road.view(plain_id)).next_refresh_at is None


async def test_the_usual_life_begins_with_each_new_token_and_with_no_old_one(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url, refresh_token_ttl_s=30 * A_DAY_S))
    assert (await road.view(account_id)).refresh_token_expires_at is None
    await refresh(road, account_id)
    first = (await road.view(account_id)).refresh_token_expires_at
    assert first is not None
    assert in_days(29.9) < first < in_days(30.1)
    await road.pass_time(account_id, 10 * DAY)
    answer = {"access_token": "access-again", "expires_in": 3600}
    server.script.extend([says(200, {**answer, "refresh_token": "grant.2"}), says(200, answer)])
    for _ in range(2):
        await refresh(road, account_id)
        assert (await road.view(account_id)).refresh_token_expires_at == first - 10 * DAY
    await refresh(road, account_id)
    renewed = (await road.view(account_id)).refresh_token_expires_at
    assert renewed is not None
    assert renewed > in_days(29.9)
    assert server.presented == ["grant.1", "grant.2", "grant.2", "grant.2"]


async def test_a_refresh_token_tells_its_own_end_if_nobody_else_does(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    # {"exp": 4102444800}: the first second of 2100, cut to ten years
    token = "e30.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln"
    server.script.append(says(200, {"access_token": "at", "refresh_token": token, "expires_in": 60}))
    await refresh(road, account_id)
    end = (await road.view(account_id)).refresh_token_expires_at
    assert end is not None
    assert end > in_days(3649)


@pytest.mark.parametrize(
    ("derived", "reason"), [(False, DisabledReason.EXPIRED), (True, DisabledReason.REVOKED)], ids=["told", "derived"]
)
async def test_past_its_end_a_refresh_token_is_tried_and_the_providers_word_decides(
    road: Road, server: TokenServer, *, derived: bool, reason: DisabledReason
) -> None:
    server.rotates = False
    account_id = await road.account(await road.source(server.url), refresh_ends_at=in_days(3))
    await road.sql("UPDATE credentials SET refresh_end_derived = :derived", derived=derived)
    await road.pass_time(account_id, 4 * DAY)
    await refresh(road, account_id)
    view = await road.view(account_id)
    assert view.account.state is AccountState.ACTIVE
    assert view.next_refresh_at is not None
    # Whose token was dead for days takes any place in the round; an end that is told has its own time.
    assert view.next_refresh_at > datetime.now(UTC) + (timedelta(0) if derived else HOUR / 2)
    assert view.expires_at is not None
    assert view.next_refresh_at < view.expires_at
    server.script.append(says(400, {"error": "invalid_grant"}))
    await refresh(road, account_id)
    disabled = (await road.view(account_id)).account.disabled
    assert disabled is not None
    assert disabled.reason is reason


async def test_a_refresh_token_that_has_ended_is_not_presented_while_its_access_token_lives(
    road: Road, server: TokenServer
) -> None:
    account_id = await road.account(
        await road.source(server.url), expires_in_s=30 * A_DAY_S, refresh_ends_at=in_days(-1)
    )
    assert await road.tick() == 0
    view = await road.view(account_id)
    assert view.next_refresh_at == view.expires_at
    server.script.append(says(400, {"error": "invalid_grant"}))
    await road.pass_time(account_id, 30 * DAY)
    assert await road.tick() == 1
    await road.refresh(account_id)
    assert server.presented == ["grant.1"]
    disabled = (await road.view(account_id)).account.disabled
    assert disabled is not None
    assert disabled.reason is DisabledReason.EXPIRED


async def test_an_end_that_refreshes_do_not_move_is_told_twice(road: Road, server: TokenServer) -> None:
    server.rotates = False
    account_id = await road.account(await road.source(server.url), refresh_ends_at=in_days(60))
    for _ in range(3):
        await refresh(road, account_id)
    assert await expiring(road, account_id) == []
    for days, stages in ((53, 1), (2, 1), (4, 2), (0.5, 2)):
        await road.pass_time(account_id, timedelta(days=days) + SOON)
        for _ in range(2):
            await refresh(road, account_id)
        told = await expiring(road, account_id)
        assert len(told) == stages
        view = await road.view(account_id)
        assert view.refresh_token_expires_at is not None
        assert told[-1].data["reason"] == "refresh_token"
    sequences = [event.sequence for event in await road.events(account_id)]
    assert sequences == list(range(1, len(sequences) + 1))


async def test_the_event_names_the_end_that_it_is_about(road: Road, server: TokenServer) -> None:
    server.rotates = False
    account_id = await road.account(await road.source(server.url), refresh_ends_at=in_days(60))
    await road.pass_time(account_id, 54 * DAY)
    await refresh(road, account_id)
    [told] = await expiring(road, account_id)
    view = await road.view(account_id)
    assert view.refresh_token_expires_at is not None
    assert view.refresh_token_expires_at != view.expires_at
    assert told.data["expires_at"] == rfc3339(view.refresh_token_expires_at)
    assert told.data["state"] == "active"


async def test_an_end_that_is_told_anew_second_by_second_is_told_once(road: Road, server: TokenServer) -> None:
    server.rotates = False
    account_id = await road.account(await road.source(server.url), refresh_ends_at=in_days(60))
    await road.pass_time(account_id, 54 * DAY)
    for left_s in (6 * A_DAY_S - 7, 6 * A_DAY_S + 2, 6 * A_DAY_S - 40):
        answer = {"access_token": "at", "expires_in": 3600, "x_refresh_token_expires_in": left_s}
        server.script.append(says(200, answer))
        await refresh(road, account_id)
    assert len(await expiring(road, account_id)) == 1


async def test_an_end_that_each_refresh_moves_away_is_never_told(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), refresh_ends_at=in_days(20))
    for n in range(2, 8):
        answer = {"access_token": "at", "refresh_token": f"grant.{n}", "refresh_expires_in": 20 * A_DAY_S}
        server.script.append(says(200, {**answer, "expires_in": 60 * A_DAY_S}))
        await road.pass_time(account_id, 13 * DAY + SOON)
        assert await road.tick() == 1
        await road.refresh(account_id)
    assert len(server.presented) == 6
    assert await expiring(road, account_id) == []


async def test_an_account_that_is_seldom_refreshed_is_refreshed_and_told_at_each_stage(
    road: Road, server: TokenServer
) -> None:
    server.rotates, server.lifetime_s = False, 60 * A_DAY_S
    account_id = await road.account(
        await road.source(server.url), expires_in_s=60 * A_DAY_S, refresh_ends_at=in_days(90)
    )
    await refresh(road, account_id)
    for passed, stages in ((83, 1), (6, 2)):
        await road.pass_time(account_id, passed * DAY + SOON)
        assert await road.tick() == 1
        await road.refresh(account_id)
        assert len(await expiring(road, account_id)) == stages


async def test_credentials_that_cannot_be_refreshed_are_told_of_by_one_scheduler_of_many(
    road: Road, server: TokenServer
) -> None:
    schedulers = [road.jobs, *(wire_scheduler(road.foundation) for _ in range(3))]
    account_id = await road.account(await road.source(server.url), expires_in_s=60 * A_DAY_S, refreshable=False)
    assert await road.jobs.sweep() == 0
    for passed, stages in ((53 * DAY, 1), (3 * DAY, 1), (3 * DAY, 2)):
        await road.pass_time(account_id, passed + SOON)
        looks = [scheduler.sweep() for scheduler in schedulers]
        await asyncio.gather(*looks)
        told = await expiring(road, account_id)
        assert len(told) == stages
    view = await road.view(account_id)
    assert view.expires_at is not None
    assert (told[-1].data["reason"], told[-1].data["expires_at"]) == ("access_token", rfc3339(view.expires_at))
    await road.pass_time(account_id, DAY)
    await asyncio.gather(*(scheduler.sweep() for scheduler in schedulers))
    disabled = (await road.view(account_id)).account.disabled
    assert disabled is not None
    assert disabled.reason is DisabledReason.EXPIRED
    assert await road.told(account_id) == ["created", "activated", "expiring", "expiring", "disabled"]


async def test_what_was_not_committed_was_not_told(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=60 * A_DAY_S, refreshable=False)
    await road.pass_time(account_id, 54 * DAY)
    await road.sql("ALTER TABLE events ADD CONSTRAINT full_up CHECK (type <> 'tokenkeep.account.expiring')")
    assert await road.jobs.sweep() == 0
    await road.sql("ALTER TABLE events DROP CONSTRAINT full_up")
    assert await expiring(road, account_id) == []
    assert await road.jobs.sweep() == 1
    assert await road.jobs.sweep() == 0
    assert len(await expiring(road, account_id)) == 1


async def test_a_disabled_account_tells_nothing_until_it_is_switched_on(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=60 * A_DAY_S, refreshable=False)
    await road.toggle(account_id, on=False)
    await road.pass_time(account_id, 54 * DAY)
    assert await road.jobs.sweep() == 0
    await road.toggle(account_id, on=True)
    assert await road.jobs.sweep() == 1
    assert await road.told(account_id) == ["created", "activated", "disabled", "enabled", "expiring"]


async def test_a_new_authorisation_has_an_end_of_its_own_to_be_told(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url), expires_in_s=60 * A_DAY_S, refreshable=False)
    await road.pass_time(account_id, 54 * DAY)
    assert await road.jobs.sweep() == 1
    replace_credentials = ReplaceCredentials(road.foundation.catalogue, road.sealer, road.foundation.policy)
    async with road.works() as work:
        tokens = LiveTokens(Secret("access"), expires_in_s=6 * A_DAY_S)
        await replace_credentials(work, CALLER, account_id, tokens=tokens, correlation_id="cor_test")
    assert await road.jobs.sweep() == 0
    await road.pass_time(account_id, 5 * DAY + SOON)
    assert await road.jobs.sweep() == 1
    assert len(await expiring(road, account_id)) == 2
