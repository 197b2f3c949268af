"""What verdicts do to a source: nobody is disabled for somebody else's fault."""

from collections.abc import Collection, Sequence

from busy_metrics import value
from road import Road, open_road
from token_server import Said, TokenServer, says
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.domain.account import AccountState, DisabledReason, FailureReason, Health
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, IdKind, SourceId, format_id
from tokenkeep_worker.wiring import wire as wire_worker

REVOKED = says(400, {"error": "invalid_grant"})
WRONG_CLIENT = says(401, {"error": "invalid_client"})


async def accounts(road: Road, source_id: SourceId, count: int) -> list[AccountId]:
    return [await road.account(source_id, f"g{n}") for n in range(count)]


async def source_row(road: Road, source_id: SourceId) -> dict[str, object]:
    [row] = await road.sql("SELECT * FROM sources WHERE id = :id", id=source_id)
    return dict(row)


async def told_of_source(road: Road, source_id: SourceId) -> list[tuple[str, object]]:
    rows = await road.sql("SELECT type, data FROM events WHERE subject = :id ORDER BY sequence", id=source_id)
    return [(row["type"].removeprefix("tokenkeep.source."), row["data"].get("reason")) for row in rows]


async def states(road: Road, ids: Sequence[AccountId]) -> list[AccountState]:
    return [(await road.view(one)).account.state for one in ids]


async def test_after_three_accounts_the_source_is_paused_and_no_account_is_touched(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 10)
    server.script.extend([WRONG_CLIENT] * 10)
    for one in ids:
        await road.refresh(one)
    assert len(server.presented) == 3
    assert await told_of_source(road, source_id) == [("paused", "invalid_client")]
    for one in ids:
        view = await road.view(one)
        assert view.account.state is AccountState.ACTIVE
        assert view.account.health is Health.HEALTHY
        assert view.consecutive_failures == 0
        assert await road.told(one) == ["created", "activated"]


async def test_refusals_in_which_nothing_can_be_read_pause_the_source_after_five(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 10)
    server.script.extend([Said(400, b"")] * 10)
    for one in ids:
        await road.refresh(one)
    assert len(server.presented) == 5
    assert await told_of_source(road, source_id) == [("paused", "provider_4xx")]
    assert set(await states(road, ids)) == {AccountState.ACTIVE}


async def test_an_account_that_is_refreshed_meanwhile_clears_the_source(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 5)
    server.script.extend([WRONG_CLIENT, WRONG_CLIENT])
    for one in ids[:3]:
        await road.refresh(one)
    server.script.extend([WRONG_CLIENT, WRONG_CLIENT])
    for one in ids[3:]:
        await road.refresh(one)
    assert await told_of_source(road, source_id) == []


async def test_a_paused_source_is_probed_with_one_account_and_resumes_itself(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 6)
    server.script.extend([WRONG_CLIENT] * 3)
    for one in ids[:3]:
        await road.refresh(one)
    assert await road.refresh(*ids[3:]) == []
    await road.sql(
        "UPDATE sources SET probe_at = now(), probe_account_id = :one WHERE id = :id", one=ids[4], id=source_id
    )
    assert len(await road.refresh(*ids[3:])) == 1
    assert server.presented[3:] == ["g4.1"]
    assert await told_of_source(road, source_id) == [("paused", "invalid_client"), ("resumed", None)]
    row = await source_row(road, source_id)
    assert (row["state"], row["probe_account_id"], row["proving"], row["waking"]) == ("active", None, False, True)
    assert len(await road.refresh(ids[3], ids[5])) == 2


async def test_a_failed_probe_leaves_the_source_paused_and_tells_nothing(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 4)
    server.script.extend([WRONG_CLIENT] * 4)
    for one in ids[:3]:
        await road.refresh(one)
    await road.sql(
        "UPDATE sources SET probe_at = now(), probe_account_id = :one WHERE id = :id", one=ids[3], id=source_id
    )
    await road.refresh(ids[3])
    assert len(server.presented) == 4
    assert await told_of_source(road, source_id) == [("paused", "invalid_client")]


async def refuse(road: Road, server: TokenServer, account_id: AccountId, times: int) -> None:
    """The account asks so often, and is told that the client is wrong."""
    for _ in range(times):
        server.script.append(WRONG_CLIENT)
        await road.make_due(account_id)
        await road.refresh(account_id)
        assert not server.script


async def probe_with(road: Road, source_id: SourceId, account_id: AccountId) -> None:
    await road.make_due(account_id)
    await road.sql(
        "UPDATE sources SET probe_at = now(), probe_account_id = :one WHERE id = :id", one=account_id, id=source_id
    )


async def test_one_accounts_refusals_pause_its_source_once_and_it_is_noticed_still_when_the_client_breaks(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    barred, served = await accounts(road, source_id, 2)
    await refuse(road, server, barred, 6)
    await probe_with(road, source_id, served)
    await road.refresh(served)
    once = [("paused", "invalid_client"), ("resumed", None)]
    assert await told_of_source(road, source_id) == once
    await refuse(road, server, barred, 12)
    assert await told_of_source(road, source_id) == once
    await refuse(road, server, served, 6)
    assert await told_of_source(road, source_id) == [*once, ("paused", "invalid_client")]


async def refresh_elsewhere(road: Road, source_id: SourceId, account_id: AccountId) -> None:
    """Another worker is handed the account."""
    other = wire_worker(road.foundation)
    await other.refresh([account_id], trigger=Trigger.SCHEDULE, correlation_id="cor_test", source_id=source_id)
    await other.refresh.drain()
    await other.close()


async def test_a_worker_learns_from_the_source_that_another_one_was_granted(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    barred, served = await accounts(road, source_id, 2)
    await refuse(road, server, barred, 6)
    await probe_with(road, source_id, served)
    await refresh_elsewhere(road, source_id, served)
    once = [("paused", "invalid_client"), ("resumed", None)]
    assert await told_of_source(road, source_id) == once
    await refuse(road, server, barred, 18)
    assert await told_of_source(road, source_id) == once
    await refuse(road, server, served, 6)
    assert await told_of_source(road, source_id) == [*once, ("paused", "invalid_client")]


async def test_the_only_account_of_a_source_pauses_it_again_whoever_resumed_it(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    [only] = await accounts(road, source_id, 1)
    await refuse(road, server, only, 6)
    await probe_with(road, source_id, only)
    await refresh_elsewhere(road, source_id, only)
    await refuse(road, server, only, 6)
    told = [("paused", "invalid_client"), ("resumed", None), ("paused", "invalid_client")]
    assert await told_of_source(road, source_id) == told


async def test_changed_options_are_not_judged_by_an_account_that_is_refused_for_its_own(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    barred, served = await accounts(road, source_id, 2)
    await refuse(road, server, barred, 1)
    await road.refresh(served)
    await pick(road, source_id, barred)
    await refuse(road, server, barred, 1)
    row = await source_row(road, source_id)
    assert (row["state"], row["proving"], row["probe_account_id"]) == ("active", True, None)


async def test_an_account_that_is_refused_for_long_while_its_source_goes_on_is_failing(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    barred, served = await accounts(road, source_id, 2)
    await refuse(road, server, barred, 1)
    await road.refresh(served)
    await road.sql("UPDATE leases SET failing_since = failing_since - interval '11 minutes'")
    await refuse(road, server, barred, 4)
    view = await road.view(barred)
    assert (view.account.state, view.account.health) == (AccountState.ACTIVE, Health.FAILING)
    assert view.consecutive_failures == 4
    assert (await road.told(barred)).count("failing") == 1
    assert await told_of_source(road, source_id) == []


async def test_an_account_that_probes_a_source_for_long_is_not_called_failing(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 3)
    for one in ids:
        await refuse(road, server, one, 1)
    for _ in range(4):
        await road.sql("UPDATE leases SET failing_since = failing_since - interval '11 minutes'")
        await probe_with(road, source_id, ids[0])
        await refuse(road, server, ids[0], 1)
    view = await road.view(ids[0])
    assert (view.account.health, view.consecutive_failures) == (Health.HEALTHY, 0)
    assert await road.told(ids[0]) == ["created", "activated"]


async def test_a_refusal_of_the_old_secret_says_nothing_of_the_new_one(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 3)
    server.script.extend([WRONG_CLIENT] * 3)
    await road.refresh(ids[0])
    await road.refresh(ids[1])
    # The secret is changed after the third account was leased and before its answer is settled.
    server.on_request = lambda: road.sql(
        "UPDATE sources SET secret_version = secret_version + 1 WHERE id = :id", id=source_id
    )
    await road.refresh(ids[2])
    server.on_request = None
    assert await told_of_source(road, source_id) == []
    [lease] = await road.sql(
        "SELECT not_before - now() < interval '5 seconds' AS soon FROM leases WHERE account_id = :id", id=ids[2]
    )
    assert lease["soon"]


async def test_when_everybody_seems_revoked_at_once_nobody_is_believed(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 40)
    server.script.extend([REVOKED] * 40)
    await road.refresh(*ids)
    disabled = (await states(road, ids)).count(AccountState.DISABLED)
    assert disabled < 10
    assert await told_of_source(road, source_id) == [("paused", "mass_revocation")]
    rows = await road.sql("SELECT held FROM source_revocations WHERE source_id = :id", id=source_id)
    assert sum(row["held"] for row in rows) == len(server.presented) - disabled
    assert await road.refresh(*ids) == []


async def test_a_few_revocations_among_many_grants_are_believed(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 60)
    for n, one in enumerate(ids):
        if n % 6 == 0:
            server.script.append(REVOKED)
        await road.refresh(one)
    assert (await states(road, ids)).count(AccountState.DISABLED) == 10
    assert await told_of_source(road, source_id) == []


async def test_the_only_account_of_a_source_can_be_revoked(road: Road, server: TokenServer) -> None:
    [account_id] = await accounts(road, await road.source(server.url), 1)
    server.script.append(REVOKED)
    await road.refresh(account_id)
    assert await states(road, [account_id]) == [AccountState.DISABLED]


async def test_a_changed_client_that_finds_grants_dead_is_not_believed_either(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 4)
    server.script.extend([REVOKED] * 4)
    for one in ids[:3]:
        await road.sql(
            "UPDATE sources SET proving = true, probe_at = now(), probe_account_id = :one WHERE id = :id",
            one=one,
            id=source_id,
        )
        await road.refresh(*ids)
    assert len(server.presented) == 3
    assert set(await states(road, ids)) == {AccountState.ACTIVE}
    assert await told_of_source(road, source_id) == [("paused", "mass_revocation")]


async def test_an_endpoint_that_loses_answers_is_left_alone_after_two(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 6)
    server.script.extend([Said(drop=True)] * 6)
    for one in ids:
        await road.refresh(one)
    assert len(server.presented) == 2
    for one in ids[2:]:
        view = await road.view(one)
        assert view.consecutive_failures == 0
        assert view.account.last_error is None
    assert await told_of_source(road, source_id) == []
    resting = format_id(IdKind.SOURCE, source_id)
    labels = {"provider": "generic-oauth2", "source": resting}
    assert value(road.foundation.metrics, "tokenkeep_source_resting", **labels) == 1


async def test_lost_rotations_are_no_mass_revocation(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 12)
    await road.sql("UPDATE leases SET doubts = 1, doubt_since = now()")
    server.script.extend([REVOKED] * 12)
    await road.refresh(*ids)
    reasons = [(await road.view(one)).account.disabled for one in ids]
    assert [one.reason for one in reasons if one is not None] == [DisabledReason.IN_DOUBT] * 12


async def test_a_changed_client_is_not_believed_about_a_grant_in_doubt(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 2)
    await road.sql("UPDATE leases SET doubts = 1, doubt_since = now()")
    await pick(road, source_id, ids[0])
    server.script.append(REVOKED)
    await road.refresh(ids[0])
    assert await states(road, ids) == [AccountState.ACTIVE] * 2


async def test_the_only_account_of_a_changed_client_that_seems_dead_is_an_operators_to_decide(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    [account_id] = await accounts(road, source_id, 1)
    await pick(road, source_id, account_id)
    server.script.append(REVOKED)
    await road.refresh(account_id)
    assert await states(road, [account_id]) == [AccountState.ACTIVE]
    assert await told_of_source(road, source_id) == [("paused", "mass_revocation")]


async def test_probes_that_find_grants_dead_disable_nobody(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 6)
    server.script.extend([WRONG_CLIENT] * 3)
    for one in ids[:3]:
        await road.refresh(one)
    for one in ids[3:]:
        await road.sql(
            "UPDATE sources SET probe_at = now(), probe_account_id = :one WHERE id = :id", one=one, id=source_id
        )
        server.script.append(REVOKED)
        await road.refresh(one)
    assert set(await states(road, ids)) == {AccountState.ACTIVE}
    assert await told_of_source(road, source_id) == [("paused", "invalid_client"), ("paused", "mass_revocation")]


async def test_an_account_is_probed_once_for_each_time_that_it_is_picked(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    [account_id, _] = await accounts(road, source_id, 2)
    await pick(road, source_id, account_id)
    server.script.extend([says(429, {}), says(429, {})])
    await road.refresh(account_id)
    await road.make_due(account_id)
    assert await road.refresh(account_id) == []
    assert len(server.presented) == 1


async def test_a_client_that_changes_between_lease_and_sending_is_proven_first(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 8)
    reading = road.refreshing.refresh._sources

    async def after_a_change(source_ids: Collection[SourceId]) -> dict[SourceId, SourceConfig]:
        await road.sql("UPDATE sources SET secret_version = 2, proving = true, probe_at = now()")
        return await reading(source_ids)

    road.refreshing.refresh._sources = after_a_change
    assert await road.refresh(*ids) == []
    assert server.presented == []
    held = await road.sql("SELECT count(*) AS n FROM leases WHERE phase <> 'idle'")
    assert held[0]["n"] == 0


async def test_where_everybody_is_in_doubt_one_of_them_is_tried_in_the_end(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 2)
    server.script.extend([Said(drop=True)] * 2)
    await road.refresh(*ids)
    await road.sql("UPDATE leases SET lease_until = now() - interval '1 s', due_at = now() - interval '1 s'")
    await road.jobs.sweep()
    breaker = road.refreshing.refresh._watch._breakers[source_id]
    assert breaker.resting_until is not None
    breaker.resting_until -= 100.0
    for one in ids:
        await road.make_due(one)
    await road.refresh(*ids)
    assert len(server.presented) == 3


async def test_a_worker_that_is_too_slow_to_send_blames_no_endpoint(
    database_url: str, redis_url: str, server: TokenServer
) -> None:
    async with open_road(database_url, redis_url, write_ahead_s="0.000001") as slow:
        source_id = await slow.source(server.url)
        ids = await accounts(slow, source_id, 30)
        await slow.refresh(*ids)
        assert server.presented == []
        assert slow.refreshing.refresh._watch.admits(source_id, doubtful=False)
        errors = [(await slow.view(one)).account.last_error for one in ids]
        assert {None if one is None else one.reason for one in errors} == {FailureReason.INTERNAL_ERROR}


async def test_revocations_that_an_operator_has_confirmed_are_believed_for_a_while(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    ids = await accounts(road, source_id, 30)
    await road.sql("UPDATE sources SET revocations_confirmed_at = now()")
    server.script.extend([REVOKED] * 30)
    await road.refresh(*ids)
    assert set(await states(road, ids)) == {AccountState.DISABLED}
    assert await told_of_source(road, source_id) == []


async def pick(road: Road, source_id: SourceId, account_id: AccountId) -> None:
    """The source has to prove a changed client, and this account is to show that it works."""
    await road.sql(
        "UPDATE sources SET proving = true, probe_at = now(), probe_account_id = :one WHERE id = :id",
        one=account_id,
        id=source_id,
    )
