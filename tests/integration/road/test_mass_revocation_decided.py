"""An operator decides about a mass revocation, or a rollback, by resuming the source."""

from contextlib import AbstractAsyncContextManager

import pytest

from road import CALLER, Road
from source_changes_on_road import pause_by_hand, pause_for, resume, source_now, tend
from token_server import TokenServer
from tokenkeep.adapters.postgres.unit_of_work import PostgresWork
from tokenkeep.application.refreshing import RevocationNote, SettlementWrite
from tokenkeep.application.resume_source import Decision, ResumeSource
from tokenkeep.application.telling import number_events
from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.mass_revocation import RevocationGuard
from tokenkeep.domain.source import MASS_REVOCATION, ROLLBACK, SourceState
from tokenkeep.domain.transitions import disable


async def test_confirmed_revocations_disable_the_held_accounts_and_tell_it_once(
    road: Road, server: TokenServer
) -> None:
    source_id, held, disabled, renewed = await a_mass_revocation(road, server)
    resumed = await resume(road, source_id, confirm=True)
    assert resumed.state is SourceState.ACTIVE
    for account_id in held:
        account = (await road.view(account_id)).account
        assert account.disabled is not None
        assert (account.disabled.reason, account.disabled.by) == (DisabledReason.REVOKED, "tokenkeep")
        assert account.disabled.detail == "so they say"
        assert (await road.told(account_id))[-1] == "disabled"
        assert (await road.told(account_id)).count("disabled") == 1
    assert (await road.view(disabled)).account.state is AccountState.DISABLED
    assert (await road.view(renewed)).account.state is AccountState.ACTIVE
    assert await road.sql("SELECT 1 FROM source_revocations") == []


async def test_unconfirmed_revocations_bring_everybody_back(road: Road, server: TokenServer) -> None:
    source_id, held, disabled, renewed = await a_mass_revocation(road, server)
    await resume(road, source_id)
    for account_id in [*held, disabled, renewed]:
        assert (await road.view(account_id)).account.state is AccountState.ACTIVE
    assert await road.told(disabled) == ["created", "activated", "disabled", "enabled"]
    for account_id in held:
        assert await road.told(account_id) == ["created", "activated"]
    await tend(road)
    assert await road.tick() == 4
    assert await road.sql("SELECT 1 FROM source_revocations") == []


async def test_a_decision_that_broke_off_is_carried_on(road: Road, server: TokenServer) -> None:
    source_id, held, _, _ = await a_mass_revocation(road, server)
    left = [1, 2]

    def breaking_off() -> AbstractAsyncContextManager[PostgresWork]:
        left.pop()
        return road.works()

    with pytest.raises(IndexError):
        await ResumeSource(breaking_off, RevocationGuard(), road.foundation.links)(
            source_id, Decision(CALLER, believed=True, correlation_id="c")
        )
    assert (await source_now(road, source_id)).paused_reason == MASS_REVOCATION
    await resume(road, source_id, confirm=True)
    for account_id in held:
        assert (await road.told(account_id)).count("disabled") == 1


async def test_nothing_can_be_confirmed_of_which_there_is_nothing(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    with pytest.raises(InvalidInput):
        await resume(road, source_id, confirm=True)
    await pause_by_hand(road, source_id)
    with pytest.raises(InvalidInput):
        await resume(road, source_id, confirm=True)
    assert (await source_now(road, source_id)).state is SourceState.PAUSED


async def test_resuming_after_a_rollback_accepts_it(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    await pause_for(road, source_id, ROLLBACK)
    resumed = await resume(road, source_id)
    assert resumed.rollback_accepted_at is not None
    assert (await source_now(road, source_id)).rollback_accepted_at == resumed.rollback_accepted_at


async def a_mass_revocation(road: Road, server: TokenServer) -> tuple[SourceId, list[AccountId], AccountId, AccountId]:
    """Two held accounts, one that was disabled before the guard tripped, and one held whose grant was renewed since."""
    source_id = await road.source(server.url)
    held = [await road.account(source_id, f"held{n}") for n in range(2)]
    disabled, renewed = await road.account(source_id, "disabled"), await road.account(source_id, "renewed")
    await road.sql(
        "UPDATE leases SET next_refresh_at = now() + interval '10 minutes', due_at = now() + interval '10 minutes',"
        " not_before = now() + interval '5 minutes' WHERE account_id = ANY(:ids)",
        ids=held,
    )
    async with road.works() as work:
        notes = [(one, 1, True) for one in held] + [(disabled, 1, False), (renewed, 7, True)]
        await work.ledger.sources.note_revocations(
            [
                RevocationNote(source_id, one, 1, generation, held=is_held, reason="revoked", detail="so they say")
                for one, generation, is_held in notes
            ]
        )
        locked = (await work.ledger.lock([disabled]))[disabled]
        off = disable(locked.standing, DisabledReason.REVOKED, by="tokenkeep", now=locked.now)
        assert off is not None
        settlement, events = number_events(off, now=locked.now, correlation_id="cor_test")
        await work.ledger.write([SettlementWrite(locked.standing, settlement, None, events, locked.now)])
    await pause_for(road, source_id, MASS_REVOCATION)
    return source_id, held, disabled, renewed
