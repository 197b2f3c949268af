"""What may happen to an account while its refresh token is on the wire: each race by its name."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from road import CALLER, Road
from source_clients import SIGNER, source_clients
from token_server import Said, TokenServer, says
from tokenkeep.adapters.postgres.token_reads import PostgresDemands, write_demands
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.credential_stores import Fetched
from tokenkeep.application.delete_account import DeleteAccount
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.application.manage_sources import PauseSource, SourceChange, UpdateSource
from tokenkeep.application.refreshing import LeaseRequest, WriteAhead
from tokenkeep.application.release_custody import ReleaseCustody, ReleasedCredentials
from tokenkeep.application.replace_credentials import ReplaceCredentials
from tokenkeep.application.request_revocation import RequestRevocation
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.withdraw_account import WithdrawAccount
from tokenkeep.bootstrap import ProcessClocks
from tokenkeep.domain.account import AccountState, Custody, DisabledReason
from tokenkeep.domain.attempt import Outcome, Trigger
from tokenkeep.domain.conflicts import ReauthorizationRequired
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId, new_id
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.source import SourceState
from tokenkeep.providers.revocation_way import TokenKind

NEW = LiveTokens(Secret("access-new.1"), Secret("new.1"), expires_in_s=3600)


class Polling:
    """Wakes nobody: whoever waits looks again after his time."""

    async def wait(self, account_id: AccountId, timeout_s: float) -> None:  # noqa: ARG002 - a port's signature
        await asyncio.sleep(timeout_s)


@asynccontextmanager
async def in_flight(road: Road, server: TokenServer, account_id: AccountId) -> AsyncIterator[None]:
    """A scheduled refresh whose request has arrived; the provider answers at the end of the block."""
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await asyncio.wait_for(server.arrived.wait(), 10)
    try:
        yield
    finally:
        server.gate.set()
        await flight


async def stored_refresh_token(road: Road, account_id: AccountId, sealer: TokenSealer | None = None) -> str:
    async with road.works() as work:
        full = await work.full_accounts.lock(account_id, "default")
    assert full is not None
    assert full.stored is not None
    assert full.stored.refresh_ciphertext is not None
    opening = sealer or road.sealer
    return opening.open_refresh(
        account_id, full.stored.sealed_key, full.stored.refresh_ciphertext, full.stored.version
    ).reveal()


async def outcomes(road: Road, account_id: AccountId) -> list[str]:
    rows = await road.sql("SELECT outcome FROM refresh_attempts WHERE account_id = :id ORDER BY id", id=account_id)
    return [row["outcome"] for row in rows]


async def release(road: Road, account_id: AccountId) -> ReleasedCredentials:
    stores, catalogue = road.refreshing.stores, road.foundation.catalogue
    use_case = ReleaseCustody(road.works, Polling(), road.sealer, stores, ProcessClocks(boottime), catalogue)
    return await use_case(CALLER, account_id, correlation_id="cor_test")


async def reauthorize(road: Road, account_id: AccountId) -> None:
    replace_credentials = ReplaceCredentials(road.foundation.catalogue, road.sealer, road.foundation.policy)
    async with road.works() as work:
        await replace_credentials(work, CALLER, account_id, tokens=NEW, correlation_id="cor_test")


async def delete(road: Road, account_id: AccountId) -> None:
    fetched = Fetched(road.refreshing.stores)
    async with road.works() as work:
        delete_account = DeleteAccount(RequestRevocation(road.foundation.catalogue, road.sealer))
        await delete_account(work, CALLER, account_id, correlation_id="cor_test", fetched=fetched)


async def withdraw(road: Road, account_id: AccountId) -> None:
    fetched = Fetched(road.refreshing.stores)
    async with road.works() as work:
        withdraw_account = WithdrawAccount(RequestRevocation(road.foundation.catalogue, road.sealer))
        await withdraw_account(work, CALLER, account_id, correlation_id="cor_test", fetched=fetched)


async def test_two_workers_on_one_account_present_its_token_once(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    await asyncio.gather(*(road.refresh(account_id) for _ in range(10)))
    assert server.presented == ["grant.1"]
    assert await stored_refresh_token(road, account_id) == "grant.2"
    assert await road.told(account_id) == ["created", "activated", "refreshed"]


async def test_two_workers_present_it_once_even_without_redis(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    await road.foundation.redis.aclose()
    road.foundation.redis.connection_pool.connection_kwargs["path"] = "/nowhere.sock"
    await asyncio.gather(*(road.refresh(account_id) for _ in range(10)))
    assert server.presented == ["grant.1"]
    assert await stored_refresh_token(road, account_id) == "grant.2"


async def test_a_hint_finds_its_account_while_other_readers_demand_the_same(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    database = road.foundation.database
    [seen] = await road.sql("SELECT obtained_at FROM leases WHERE account_id = :id", id=account_id)
    asked = await PostgresDemands(database)({account_id: seen["obtained_at"]})
    async with database.transaction() as connection:
        # Another process's readers ask; their transaction is not over yet.
        assert await write_demands(connection, {account_id: seen["obtained_at"]}) == asked
        await road.refresh(account_id, trigger=Trigger.DEMAND)
    assert server.presented == ["grant.1"]


async def test_a_later_demand_outranks_an_earlier_one_and_is_not_taken_back(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    demands = PostgresDemands(road.foundation.database)
    demanded = "SELECT obtained_at, demanded_at FROM leases WHERE account_id = :id"
    [seen] = await road.sql(demanded, id=account_id)
    first = await demands({account_id: seen["obtained_at"]})
    forced = await demands({account_id: None})
    assert forced[account_id] > first[account_id]
    assert await demands({account_id: seen["obtained_at"]}) == first
    [lease] = await road.sql(demanded, id=account_id)
    assert lease["demanded_at"] == forced[account_id]


async def test_on_demand_during_a_scheduled_refresh_is_met_by_it(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    [seen] = await road.sql("SELECT obtained_at FROM credentials WHERE account_id = :id", id=account_id)
    async with in_flight(road, server, account_id):
        await PostgresDemands(road.foundation.database)({account_id: seen["obtained_at"]})
        assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    assert server.presented == ["grant.1"]
    assert await road.told(account_id) == ["created", "activated", "refreshed"]


async def test_force_during_a_scheduled_refresh_asks_for_a_second_one_after_it(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    async with in_flight(road, server, account_id):
        await PostgresDemands(road.foundation.database)({account_id: None})
        assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    [lease] = await road.sql(
        "SELECT due_at <= clock_timestamp() AS soon FROM leases WHERE account_id = :id", id=account_id
    )
    assert lease["soon"]
    assert await road.tick() == 1
    await road.refresh(account_id, trigger=Trigger.DEMAND)
    assert server.presented == ["grant.1", "grant.2"]
    assert await road.told(account_id) == ["created", "activated", "refreshed", "refreshed"]


async def test_force_before_a_refresh_left_is_met_by_that_refresh(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    await PostgresDemands(road.foundation.database)({account_id: None})
    async with in_flight(road, server, account_id):
        pass
    assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    assert server.presented == ["grant.1"]


async def test_a_report_about_an_old_token_does_nothing(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    [old] = await road.sql("SELECT obtained_at FROM credentials WHERE account_id = :id", id=account_id)
    await road.refresh(account_id)
    [before] = await road.sql("SELECT due_at FROM leases WHERE account_id = :id", id=account_id)
    await PostgresDemands(road.foundation.database)({account_id: old["obtained_at"]})
    [after] = await road.sql("SELECT due_at FROM leases WHERE account_id = :id", id=account_id)
    assert after == before
    assert await road.refresh(account_id, trigger=Trigger.DEMAND) == []
    assert server.presented == ["grant.1"]


async def test_a_release_during_a_refresh_waits_for_it_and_hands_its_token_back(
    road: Road, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url))
    async with in_flight(road, server, account_id):
        releasing = [asyncio.create_task(release(road, account_id)) for _ in range(3)]
        await asyncio.wait(releasing, timeout=0.5)
        assert not any(task.done() for task in releasing)
        assert (await road.view(account_id)).account.custody is Custody.HELD
    released = await asyncio.gather(*releasing)
    assert [one.refresh_token.reveal() for one in released] == ["grant.2"] * 3
    assert not any(one.in_doubt for one in released)
    assert await road.refresh(account_id) == []
    assert server.presented == ["grant.1"]
    view = await road.view(account_id)
    assert (view.account.state, view.account.custody) == (AccountState.DISABLED, Custody.RELEASED)
    assert await road.told(account_id) == ["created", "activated", "refreshed", "released"]


async def test_a_release_during_a_refresh_that_is_refused_hands_nothing_back(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    server.script.append(says(400, {"error": "invalid_grant"}))
    async with in_flight(road, server, account_id):
        releasing = asyncio.create_task(release(road, account_id))
        await asyncio.wait([releasing], timeout=0.3)
    with pytest.raises(ReauthorizationRequired, match="revoked"):
        await releasing
    assert await road.told(account_id) == ["created", "activated", "disabled"]


async def tokens_to_revoke(road: Road) -> set[str]:
    rows = await road.sql("SELECT account_id, key_id, wrapped_key, ciphertext FROM revocation_requests")
    return {
        road.sealer.open_revocation(
            row["account_id"], SealedKey(row["key_id"], row["wrapped_key"]), TokenKind.REFRESH, row["ciphertext"]
        ).reveal()
        for row in rows
    }


async def test_a_delete_during_a_refresh_has_the_late_token_revoked(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url, revocation_url="http://127.0.0.1:9/revoke")
    account_id = await road.account(source_id)
    async with in_flight(road, server, account_id):
        await delete(road, account_id)
    tokens = await tokens_to_revoke(road)
    assert tokens == {"grant.1", "grant.2"}
    for table in ("accounts", "leases", "credentials", "receipts", "refresh_attempts"):
        assert await road.sql(f"SELECT 1 FROM {table}") == [], table  # noqa: S608 - a list of ours
    assert server.presented == ["grant.1"]
    assert await road.told(account_id) == ["created", "activated", "deleted"]


@pytest.mark.parametrize("said", [says(400, {"error": "invalid_grant"}), Said(drop=True)])
async def test_a_delete_during_a_refresh_that_brings_nothing_leaves_nothing(
    road: Road, server: TokenServer, said: Said
) -> None:
    account_id = await road.account(await road.source(server.url))
    server.script.append(said)
    async with in_flight(road, server, account_id):
        await delete(road, account_id)
    for table in ("accounts", "leases", "receipts", "refresh_attempts", "revocation_requests"):
        assert await road.sql(f"SELECT 1 FROM {table}") == [], table  # noqa: S608 - a list of ours
    assert await road.told(account_id) == ["created", "activated", "deleted"]


async def test_a_withdrawal_during_a_refresh_has_the_late_token_revoked_and_is_not_undone(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url, revocation_url="http://127.0.0.1:9/revoke")
    account_id = await road.account(source_id)
    async with in_flight(road, server, account_id):
        await withdraw(road, account_id)
    assert await tokens_to_revoke(road) == {"grant.1", "grant.2"}
    view = await road.view(account_id)
    assert (view.account.state, view.account.custody, view.generation) == (AccountState.DISABLED, Custody.NONE, None)
    for table in ("credentials", "receipts", "imported_grants"):
        assert await road.sql(f"SELECT 1 FROM {table}") == [], table  # noqa: S608 - a list of ours
    assert await road.told(account_id) == ["created", "activated", "disabled"]
    assert await road.refresh(account_id) == []
    assert await road.tick() == 0
    assert server.presented == ["grant.1"]


async def test_a_token_that_is_late_for_a_grant_that_was_replaced_is_left_alone(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url, revocation_url="http://127.0.0.1:9/revoke")
    account_id = await road.account(source_id)
    async with in_flight(road, server, account_id):
        await withdraw(road, account_id)
        await reauthorize(road, account_id)
        # The same end user is back: nothing that he has is taken from him for what he had.
        assert await tokens_to_revoke(road) == set()
    assert await tokens_to_revoke(road) == set()
    assert await stored_refresh_token(road, account_id) == "new.1"
    assert (await road.view(account_id)).account.state is AccountState.ACTIVE
    assert await road.sql("SELECT 1 FROM receipts") == []


async def test_a_disable_during_a_refresh_keeps_the_new_token_and_stays(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    async with in_flight(road, server, account_id):
        await road.toggle(account_id, on=False)
    view = await road.view(account_id)
    assert view.account.state is AccountState.DISABLED
    assert view.generation == 2
    assert view.next_refresh_at is None
    assert await road.told(account_id) == ["created", "activated", "disabled", "refreshed"]
    await road.toggle(account_id, on=True)
    await road.refresh(account_id)
    assert server.presented == ["grant.1", "grant.2"]
    assert (await road.view(account_id)).account.state is AccountState.ACTIVE


async def test_a_disable_during_a_refresh_that_is_refused_keeps_its_own_reason(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    server.script.append(says(400, {"error": "invalid_grant"}))
    async with in_flight(road, server, account_id):
        await road.toggle(account_id, on=False)
    disabled = (await road.view(account_id)).account.disabled
    assert disabled is not None
    assert disabled.reason is DisabledReason.BY_OPERATOR
    assert await road.told(account_id) == ["created", "activated", "disabled"]


@pytest.mark.parametrize("said", [None, says(400, {"error": "invalid_grant"}), Said(drop=True)])
async def test_a_reauthorisation_during_a_refresh_keeps_the_new_grant(
    road: Road, server: TokenServer, said: Said | None
) -> None:
    account_id = await road.account(await road.source(server.url))
    if said is not None:
        server.script.append(said)
    async with in_flight(road, server, account_id):
        await reauthorize(road, account_id)
    assert await stored_refresh_token(road, account_id) == "new.1"
    view = await road.view(account_id)
    assert view.account.state is AccountState.ACTIVE
    assert view.in_doubt is None
    assert await outcomes(road, account_id) == ["superseded"]
    await road.make_due(account_id)
    await road.refresh(account_id)
    assert server.presented == ["grant.1", "new.1"]
    assert await road.told(account_id) == ["created", "activated", "reauthorized", "refreshed"]


async def test_a_source_paused_during_a_refresh_keeps_its_token_and_sends_no_other(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    account_id = await road.account(source_id)
    async with in_flight(road, server, account_id), road.works() as work:
        await PauseSource()(work, CALLER, source_id, correlation_id="cor_test")
    assert await stored_refresh_token(road, account_id) == "grant.2"
    await road.make_due(account_id)
    assert await road.refresh(account_id) == []
    assert server.presented == ["grant.1"]
    assert (await road.view(account_id)).account.state is AccountState.ACTIVE
    assert await road.told(account_id) == ["created", "activated", "refreshed"]


async def change_secret(road: Road, source_id: SourceId) -> None:
    update = UpdateSource(road.foundation.catalogue, road.sealer.vault, source_clients(road.sealer.vault), SIGNER)
    async with road.works() as work:
        await update(work, CALLER, source_id, SourceChange(client_secret=Secret("newer")), correlation_id="cor_test")


async def test_a_client_secret_changed_during_a_refresh_leaves_its_token_alone(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    account_id = await road.account(source_id)
    async with in_flight(road, server, account_id):
        await change_secret(road, source_id)
    assert await stored_refresh_token(road, account_id) == "grant.2"
    rows = await road.sql("SELECT secret_version, outcome FROM refresh_attempts WHERE account_id = :id", id=account_id)
    assert [(row["secret_version"], row["outcome"]) for row in rows] == [(1, Outcome.OK)]
    assert server.presented == ["grant.1"]
    assert await road.told(account_id) == ["created", "activated", "refreshed"]


async def test_a_client_secret_changed_during_a_refresh_is_not_blamed_for_the_former_one(
    road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    account_id = await road.account(source_id)
    server.script.append(says(401, {"error": "invalid_client"}))
    async with in_flight(road, server, account_id):
        await change_secret(road, source_id)
    async with road.works() as work:
        source = await work.sources.get(source_id, "default")
    assert source is not None
    assert source.state is SourceState.ACTIVE
    [lease] = await road.sql(
        "SELECT next_refresh_at < clock_timestamp() + interval '10 seconds' AS soon FROM leases WHERE account_id = :id",
        id=account_id,
    )
    assert lease["soon"]
    assert (await road.view(account_id)).account.state is AccountState.ACTIVE
    assert await stored_refresh_token(road, account_id) == "grant.1"
    assert await road.told(account_id) == ["created", "activated"]


async def test_a_key_rotation_during_a_refresh_cannot_make_its_settlement_fail(road: Road, server: TokenServer) -> None:
    """The worker does not even know the new key: the data key that it opened before is the same."""
    old, new = road.keyring.reveal(), Keyring.generate().to_text().reveal()
    both = Vault(Keyring.parse(Secret(new + old)))
    account_id = await road.account(await road.source(server.url))
    async with in_flight(road, server, account_id):
        [row] = await road.sql("SELECT key_id, wrapped_key FROM credentials WHERE account_id = :id", id=account_id)
        wrapped = both.rewrap(account_id, SealedKey(row["key_id"], row["wrapped_key"]))
        assert wrapped.key_id != row["key_id"]
        await road.sql(
            "UPDATE credentials SET key_id = :key_id, wrapped_key = :wrapped WHERE account_id = :id",
            id=account_id,
            key_id=wrapped.key_id,
            wrapped=wrapped.wrapped,
        )
    [kept] = await road.sql("SELECT key_id FROM credentials WHERE account_id = :id", id=account_id)
    assert kept["key_id"] == wrapped.key_id
    assert await stored_refresh_token(road, account_id, TokenSealer(both)) == "grant.2"
    assert server.presented == ["grant.1"]
    assert await road.told(account_id) == ["created", "activated", "refreshed"]


@pytest.mark.parametrize("meanwhile", [release, reauthorize, delete, withdraw])
async def test_a_lease_that_was_overtaken_before_its_token_left_sends_nothing(
    road: Road, server: TokenServer, meanwhile: Callable[[Road, AccountId], Awaitable[object]]
) -> None:
    account_id = await road.account(await road.source(server.url))
    async with road.works() as work:
        request = LeaseRequest(account_id, AttemptId(new_id()))
        [leased] = await work.ledger.lease([request], lease=timedelta(seconds=30), look=timedelta(seconds=60))
    await meanwhile(road, account_id)
    async with road.works() as work:
        intent = WriteAhead(leased, Trigger.SCHEDULE, "cor_test", secret_version=1, quarantine_s=120)
        assert await work.ledger.write_ahead([intent]) == {}
    assert server.presented == []
