"""Many accounts stored at once: who wins what only one can have, whoever comes between."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from api_service import Service, data
from databases import UNHURRIED
from tokenkeep.application.create_account import NewAccount
from tokenkeep.application.keep_credentials import LiveTokens, fingerprint
from tokenkeep.application.prepared_account import Existing, PreparedAccount, Stored, Storing
from tokenkeep.domain.ids import IdKind, SourceId, parse_id
from tokenkeep.domain.secret import Secret


class Making:
    """Accounts of one source, prepared and stored."""

    def __init__(self, service: Service, source_id: SourceId, environment: str | None = None) -> None:
        self._service = service
        self._source_id = source_id
        self._environment = environment or service.environment

    async def prepare(self, grant: str | None, identity: str | None = None) -> PreparedAccount:
        tokens = None if grant is None else LiveTokens(Secret("at"), Secret(grant), expires_in_s=3600)
        async with self._service.wired.works() as work:
            source = await work.sources.get(self._source_id, self._environment)
            assert source is not None
            now = await work.accounts.now()
        wanted = NewAccount(self._source_id, tokens, identity, {}, {})
        made = self._service.wired.create_account.prepare(source, wanted, tokens, now=now, correlation_id="c")
        verified = replace(made.account, external_id_verified=identity is not None)
        return replace(made, account=verified)

    async def store(self, accounts: Sequence[PreparedAccount]) -> list[Storing]:
        async with self._service.wired.works() as work:
            await work.connection.execute(UNHURRIED)
            return await work.new_accounts.add(accounts)

    async def stored(self) -> set[UUID]:
        rows = await self._service.sql("SELECT id FROM accounts WHERE source_id = :s", s=self._source_id)
        return {row["id"] for row in rows}


@pytest.fixture
async def making(service: Service) -> Making:
    source_id = await service.source("https://93.184.215.14/token")
    return Making(service, SourceId(parse_id(IdKind.SOURCE, source_id)))


@pytest.fixture
async def elsewhere(service: Service) -> Making:
    """A source of the same client in another environment."""
    environment = f"{service.environment}-staging"
    body = {
        "provider": "generic-oauth2",
        "name": "staging",
        "client_id": "client",
        "client_secret": "canary-client-secret",
        "options": {"token_url": "https://93.184.215.14/token"},
    }
    async with service.client(**{"X-Tokenkeep-Environment": environment}) as admin:
        source_id = data(await admin.post("/v1/sources", json=body), 201)["id"]
    return Making(service, SourceId(parse_id(IdKind.SOURCE, source_id)), environment)


async def test_of_two_in_a_batch_the_earlier_one_is_stored_and_the_other_is_told_of_it(making: Making) -> None:
    first, second, third = [await making.prepare("g"), await making.prepare("g"), await making.prepare("h")]
    assert await making.store([first, second, third]) == [Stored(), Existing(first.account.id), Stored()]
    assert await making.stored() == {first.account.id, third.account.id}


async def test_a_verified_external_id_is_one_accounts_only(making: Making) -> None:
    known = await making.prepare("g0", "alice")
    assert await making.store([known]) == [Stored()]
    again, other, twin = [
        await making.prepare("g1", "alice"),
        await making.prepare("g2", "bob"),
        await making.prepare(None, "bob"),
    ]
    results = await making.store([again, other, twin])
    assert results == [Existing(known.account.id), Stored(), Existing(other.account.id)]


async def test_who_loses_by_one_claim_takes_nothing_away_by_the_other(making: Making) -> None:
    known = await making.prepare("g0", "alice")
    await making.store([known])
    loser, heir, last = [
        await making.prepare("g1", "alice"),
        await making.prepare("g1", "bob"),
        await making.prepare("g2", "bob"),
    ]
    assert await making.store([loser, heir, last]) == [
        Existing(known.account.id),
        Stored(),
        Existing(heir.account.id),
    ]
    assert await making.stored() == {known.account.id, heir.account.id}


async def test_without_anything_to_tell_them_apart_all_are_stored(making: Making) -> None:
    accounts = [await making.prepare(None) for _ in range(5)]
    assert await making.store(accounts) == [Stored()] * 5
    assert await making.store([]) == []


async def test_a_grant_that_comes_back_is_not_revoked_any_more(service: Service, making: Making) -> None:
    gone, returned = await making.prepare("g1", "alice"), await making.prepare("g2", "bob")
    insert = (
        "INSERT INTO revocation_requests (id, account_id, source_id, key_id, wrapped_key, ciphertext, fingerprint, external_id)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), :s, 'k', '', '', CAST(:f AS bytea), :e)"
    )
    source_id = gone.account.source_id
    await service.sql(insert, s=source_id, f=fingerprint(Secret("g1")), e=None)
    await service.sql(insert, s=source_id, f=b"another", e="bob")
    await service.sql(insert, s=source_id, f=b"a third", e="carol")
    await making.store([gone, returned])
    left = await service.sql("SELECT external_id FROM revocation_requests WHERE source_id = :s", s=source_id)
    assert [row["external_id"] for row in left] == ["carol"]


async def test_a_race_is_lost_without_a_trace(service: Service, making: Making) -> None:
    theirs, mine, free = [await making.prepare("g"), await making.prepare("g"), await making.prepare("h")]
    async with service.wired.works() as work:
        await work.connection.execute(UNHURRIED)
        assert await work.new_accounts.add([theirs]) == [Stored()]
        # They have not committed: I see nothing, and wait at the claim.
        storing = asyncio.create_task(making.store([mine, free]))
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%imported_grants%'"
        while not await service.sql(waits):  # noqa: ASYNC110 - it asks another process
            await asyncio.sleep(0.01)
    assert await storing == [Existing(theirs.account.id), Stored()]
    assert await making.stored() == {theirs.account.id, free.account.id}


async def test_one_grant_is_taken_once_for_all_sources_of_a_client(service: Service, making: Making) -> None:
    twin = Making(service, SourceId(parse_id(IdKind.SOURCE, await service.source("https://93.184.215.14/token"))))
    first, second, third = [await making.prepare("g"), await twin.prepare("g"), await twin.prepare("h")]
    assert await making.store([first, second, third]) == [Stored(), Existing(first.account.id), Stored()]
    assert await making.store([await making.prepare("h")]) == [Existing(third.account.id)]


async def test_an_account_of_another_environment_is_not_named(making: Making, elsewhere: Making) -> None:
    here, there = await making.prepare("g"), await elsewhere.prepare("g")
    assert await making.store([here, there]) == [Stored(), Existing(None)]
    assert await elsewhere.store([await elsewhere.prepare("g")]) == [Existing(None)]


async def test_two_sources_of_a_client_race_for_a_grant_and_one_gets_it(
    service: Service, making: Making, elsewhere: Making
) -> None:
    theirs, mine, free = [await making.prepare("g"), await elsewhere.prepare("g"), await elsewhere.prepare("h")]
    async with service.wired.works() as work:
        await work.connection.execute(UNHURRIED)
        assert await work.new_accounts.add([theirs]) == [Stored()]
        storing = asyncio.create_task(elsewhere.store([mine, free]))
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%imported_grants%'"
        while not await service.sql(waits):  # noqa: ASYNC110 - it asks another process
            await asyncio.sleep(0.01)
    assert await storing == [Existing(None), Stored()]
    assert await elsewhere.stored() == {free.account.id}


async def test_a_claim_counts_for_the_client_that_its_source_has_now_and_for_the_one_that_it_had(
    service: Service, making: Making, elsewhere: Making
) -> None:
    """A client id that was mistyped, and rows that the release before has written."""
    await making.store([await making.prepare("g")])
    await service.sql("UPDATE imported_grants SET client = NULL")
    assert await elsewhere.store([await elsewhere.prepare("g")]) == [Existing(None)]
    await elsewhere.store([await elsewhere.prepare("h")])
    await service.sql("UPDATE sources SET client_id = 'mended' WHERE environment = :e", e=service.environment)
    assert await elsewhere.store([await elsewhere.prepare("g")]) == [Stored()]
    await elsewhere.store([await elsewhere.prepare("i")])
    await service.sql("UPDATE sources SET client_id = 'client' WHERE environment = :e", e=service.environment)
    assert await making.store([await making.prepare("i")]) == [Existing(None)]
    await service.sql("UPDATE sources SET client_id = 'other' WHERE environment <> :e", e=service.environment)
    assert await making.store([await making.prepare("i"), await making.prepare("j")]) == [Existing(None), Stored()]


async def test_other_clients_and_sources_without_one_have_grants_of_their_own(service: Service, making: Making) -> None:
    await making.store([await making.prepare("g")])
    others = []
    for client in ("another", None, None):
        source_id = SourceId(parse_id(IdKind.SOURCE, await service.source("https://93.184.215.14/token")))
        await service.sql("UPDATE sources SET client_id = :c WHERE id = :s", c=client, s=source_id)
        others.append(Making(service, source_id))
    accounts = [await one.prepare("g") for one in others]
    assert await making.store(accounts) == [Stored()] * 3
    assert await others[2].store([await others[2].prepare("g")]) == [Existing(accounts[2].account.id)]
