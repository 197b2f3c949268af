"""Credentials in a store of their own: durable there before anything is committed, and never lost between the two."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from road import Road, open_road
from token_server import TokenServer, says
from tokenkeep.adapters.postgres.credential_rows import PostgresCredentialRows
from tokenkeep.adapters.postgres.instance_keys import PostgresStoreKey
from tokenkeep.application.credential_stores import POINTER_MARK, CredentialStores
from tokenkeep.application.sealing import ACCESS, REFRESH
from tokenkeep.application.sweep_stores import SweepStores
from tokenkeep.domain.account import AccountState, Health
from tokenkeep.domain.credential_store import KeptName
from tokenkeep.domain.errors import SettingsError, StoreTaken, StoreUnavailable
from tokenkeep.domain.ids import AccountId
from tokenkeep_worker.storekeeping import claim_stores


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the credentials lie."""
    home = tmp_path / "credentials"
    home.mkdir()
    return home


@pytest.fixture
async def road(database_url: str, redis_url: str, home: Path) -> AsyncIterator[Road]:
    async with open_road(database_url, redis_url, credential_store=f"directory:{home}") as opened:
        await opened.foundation.redis.flushall()
        yield opened


def lying(home: Path) -> list[KeptName]:
    """What lies there, by the order of generations."""
    paths = [path for path in home.glob("*/*") if path.name != "owner"]
    names = [KeptName.parse(f"{path.parent.name}/{path.name}") for path in paths]
    found = [name for name in names if name is not None]
    assert len(found) == len(names)
    return sorted(found, key=lambda name: (name.epoch, name.generation, name.fence))


def content(home: Path) -> bytes:
    """All of it."""
    return b"".join(path.read_bytes() for path in home.glob("*/*"))


def empty(home: Path) -> None:
    for shard in home.iterdir():
        shutil.rmtree(shard)


async def move(road: Road) -> None:
    """One round of the mover."""
    while await road.refreshing.move():
        pass


async def columns(road: Road, account_id: AccountId) -> tuple[bytes, bytes | None]:
    [row] = await road.sql(
        "SELECT access_ciphertext, refresh_ciphertext FROM credentials WHERE account_id = :id", id=account_id
    )
    return row["access_ciphertext"], row["refresh_ciphertext"]


async def stored(road: Road, account_id: AccountId) -> tuple[str, str | None]:
    """Both tokens, wherever they lie."""
    async with road.works() as work:
        full = await work.full_accounts.lock(account_id, "default")
    assert full is not None
    assert full.stored is not None
    it, stores = full.stored, road.refreshing.stores
    access = await stores.column(account_id, it.sealed_key, ACCESS, it.access_ciphertext, it.version)
    token = road.sealer.open_access(account_id, it.sealed_key, access, it.version).reveal()
    if it.refresh_ciphertext is None:
        return token, None
    refresh = await stores.column(account_id, it.sealed_key, REFRESH, it.refresh_ciphertext, it.version)
    return token, road.sealer.open_refresh(account_id, it.sealed_key, refresh, it.version).reveal()


async def test_a_refresh_leaves_the_token_set_in_the_store_and_its_place_in_the_row(
    road: Road, server: TokenServer, home: Path
) -> None:
    account_id = await road.account(await road.source(server.url))
    await move(road)
    await road.refresh(account_id)
    await road.refreshing.refresh.drain()
    access, refresh = await columns(road, account_id)
    assert access[:1] == POINTER_MARK
    assert refresh is not None
    assert refresh[:1] == POINTER_MARK
    assert await stored(road, account_id) == ("access-grant.2", "grant.2")
    [name] = lying(home)  # the former one is gone
    assert (name.account_id, name.epoch, name.generation, name.fence) == (account_id, 1, 2, 1)
    assert b"grant" not in content(home)


async def test_a_chain_of_refreshes_presents_what_the_store_holds(road: Road, server: TokenServer, home: Path) -> None:
    account_id = await road.account(await road.source(server.url))
    for _ in range(4):
        await road.refresh(account_id)
        await road.make_due(account_id)
        await move(road)
    await road.refreshing.refresh.drain()
    assert server.presented == [f"grant.{n}" for n in range(1, 5)]
    assert [name.generation for name in lying(home)] == [5]


async def test_the_token_set_is_there_before_the_row_says_so(road: Road, server: TokenServer, home: Path) -> None:
    account_id = await road.account(await road.source(server.url))
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    await road.sql("ALTER TABLE credentials RENAME TO gone")
    server.gate.set()
    await road.observed("refresh_spooled")
    assert [name.generation for name in lying(home)] == [2]
    await road.sql("ALTER TABLE gone RENAME TO credentials")
    await flight
    assert await stored(road, account_id) == ("access-grant.2", "grant.2")


async def away(home: Path) -> Path:
    """The disk is not mounted."""
    gone = home.with_name("unmounted")
    await asyncio.to_thread(home.rename, gone)
    return gone


async def test_an_answer_that_the_store_cannot_take_is_spooled_and_settled_when_it_is_back(
    road: Road, server: TokenServer, home: Path
) -> None:
    account_id = await road.account(await road.source(server.url))
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    gone = await away(home)
    server.gate.set()
    await road.observed("refresh_spooled")
    assert (await road.view(account_id)).generation == 1
    await asyncio.to_thread(gone.rename, home)
    await flight
    assert await stored(road, account_id) == ("access-grant.2", "grant.2")
    assert list(road.foundation.settings.spool_path.glob("*.answer")) == []
    assert server.presented == ["grant.1"]


async def test_a_spool_is_drained_only_when_the_store_is_there(road: Road, server: TokenServer, home: Path) -> None:
    account_id = await road.account(await road.source(server.url))
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    gone = await away(home)
    server.gate.set()
    await road.observed("refresh_spooled")
    flight.cancel()  # the process is gone
    with pytest.raises(asyncio.CancelledError):
        await flight
    with pytest.raises(StoreUnavailable):
        await road.refreshing.drain_spool()
    await asyncio.to_thread(gone.rename, home)
    assert await road.refreshing.drain_spool() == 0
    assert await stored(road, account_id) == ("access-grant.2", "grant.2")


async def test_while_the_store_is_away_nothing_is_spent_and_nobody_is_called_failing(
    road: Road, server: TokenServer, home: Path
) -> None:
    account_id = await road.account(await road.source(server.url))
    await move(road)
    gone = await away(home)
    for _ in range(4):
        await road.refresh(account_id)
        await road.make_due(account_id)
    account = (await road.view(account_id)).account
    assert server.presented == []
    assert (account.state, account.health) == (AccountState.ACTIVE, Health.HEALTHY)
    [lease] = await road.sql("SELECT phase, doubts, consecutive_failures FROM leases")
    assert dict(lease) == {"phase": "idle", "doubts": 0, "consecutive_failures": 0}
    await asyncio.to_thread(gone.rename, home)
    await road.refresh(account_id)
    assert server.presented == ["grant.1"]


async def test_credentials_that_are_lost_in_the_store_are_no_word_of_the_provider(
    road: Road, server: TokenServer, home: Path
) -> None:
    account_id = await road.account(await road.source(server.url))
    await move(road)
    await asyncio.to_thread(empty, home)
    await road.refresh(account_id)
    assert server.presented == []
    assert (await road.view(account_id)).account.state is AccountState.ACTIVE


async def test_what_the_api_took_is_moved_and_only_once(road: Road, server: TokenServer, home: Path) -> None:
    source_id = await road.source(server.url)
    ids = [await road.account(source_id, f"g{n}") for n in range(5)]
    ids.append(await road.account(source_id, "static", refreshable=False))
    await asyncio.gather(move(road), move(road))
    await move(road)
    assert sorted(name.account_id for name in lying(home)) == sorted(ids)
    assert await stored(road, ids[0]) == ("access-g0.1", "g0.1")
    assert await stored(road, ids[-1]) == ("access-static.1", None)
    assert (await columns(road, ids[-1]))[1] is None


async def test_what_a_refresh_replaced_meanwhile_is_not_moved_over_it(
    road: Road, server: TokenServer, home: Path
) -> None:
    account_id = await road.account(await road.source(server.url))
    rows = PostgresCredentialRows(road.foundation.database)
    [row], _ = await rows.page(UUID(int=0), limit=10, mark=POINTER_MARK, marked=False)
    await road.refresh(account_id)
    assert not await rows.replace(row, b"P-old", b"P-old")
    assert await stored(road, account_id) == ("access-grant.2", "grant.2")
    assert [name.generation for name in lying(home)] == [2]


async def test_a_late_answer_becomes_a_receipt_and_leaves_nothing_in_the_store(
    road: Road, server: TokenServer, home: Path
) -> None:
    account_id = await road.account(await road.source(server.url))

    async def another_installs() -> None:
        await road.sql("UPDATE leases SET fence = fence + 1, phase = 'idle', attempt_id = NULL, lease_until = NULL")
        await road.sql("UPDATE credentials SET installed_fence = installed_fence + 5")

    server.on_request = another_installs
    await road.refresh(account_id)
    await road.refreshing.refresh.drain()
    [receipt] = await road.sql("SELECT disposition FROM receipts WHERE account_id = :id", id=account_id)
    assert receipt["disposition"] == "orphan"
    assert await stored(road, account_id) == ("access-grant.1", "grant.1")
    assert lying(home) == []


async def test_an_orphan_that_is_tried_works_and_is_moved(road: Road, server: TokenServer, home: Path) -> None:
    account_id = await road.account(await road.source(server.url))
    await move(road)

    async def another_installs() -> None:
        await road.sql("UPDATE leases SET fence = 5, phase = 'idle', attempt_id = NULL, lease_until = NULL")
        await road.sql("UPDATE credentials SET installed_fence = 5")

    server.on_request = another_installs
    await road.refresh(account_id)  # grant.2 becomes an orphan
    server.on_request = None
    server.script.append(says(400, {"error": "invalid_grant"}))
    await road.make_due(account_id)
    await road.refresh(account_id)  # refused: the orphan is installed
    await road.make_due(account_id)
    await road.refresh(account_id)
    assert server.presented == ["grant.1", "grant.1", "grant.2"]
    assert await stored(road, account_id) == ("access-grant.3", "grant.3")
    assert 3 in [name.generation for name in lying(home)]


async def test_an_install_of_another_number_than_was_foreseen_is_kept_in_the_row_until_it_is_moved(
    road: Road, server: TokenServer, home: Path
) -> None:
    """Another generation came in between by an older holder; what was put away as the next one does not fit its place."""
    account_id = await road.account(await road.source(server.url))
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    [row] = await road.sql("SELECT key_id, wrapped_key FROM credentials")
    await road.sql("UPDATE credentials SET generation = generation + 1")
    server.gate.set()
    await flight
    await road.refreshing.refresh.drain()
    access, _ = await columns(road, account_id)
    assert access[:1] != POINTER_MARK
    assert row["key_id"]
    assert lying(home) == []  # what did not fit is gone
    await move(road)
    assert await stored(road, account_id) == ("access-grant.2", "grant.2")
    assert [name.generation for name in lying(home)] == [3]


class Clock:
    """A process's own clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def boottime(self) -> float:
        return self.now

    def loop_time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def sweeper(road: Road, clock: Clock) -> SweepStores:
    return SweepStores(road.refreshing.stores, PostgresCredentialRows(road.foundation.database), clock)


async def test_what_no_row_refers_to_is_swept_after_an_hours_own_watch(
    road: Road, server: TokenServer, home: Path
) -> None:
    source_id = await road.source(server.url)
    account_id, deleted = await road.account(source_id), await road.account(source_id, "deleted")
    await move(road)
    stores = road.refreshing.stores
    left = KeptName.new(account_id, epoch=1, generation=7, fence=9)  # of a worker that died before its commit
    await stores.put(left, b"sealed", None)
    (home / "000").mkdir(exist_ok=True)
    (home / "000" / "notes.txt").write_text("not ours")
    await road.sql("DELETE FROM accounts WHERE id = :id", id=deleted)
    clock = Clock()
    sweep = sweeper(road, clock)
    assert await sweep() == 0
    clock.now += 3599
    assert await sweep() == 0
    clock.now += 1
    assert await sweep() == 2
    (home / "000" / "notes.txt").unlink()
    assert [(name.account_id, name.generation) for name in lying(home)] == [(account_id, 1)]
    assert await stored(road, account_id) == ("access-grant.1", "grant.1")


async def test_a_row_that_refers_to_it_in_time_saves_what_was_about_to_be_swept(
    road: Road, server: TokenServer, home: Path
) -> None:
    account_id = await road.account(await road.source(server.url))
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await server.arrived.wait()
    await road.sql("ALTER TABLE accounts RENAME TO away")
    server.gate.set()
    await road.observed("refresh_spooled")
    clock = Clock()
    sweep = sweeper(road, clock)
    assert await sweep() == 0
    await road.sql("ALTER TABLE away RENAME TO accounts")
    await flight
    clock.now += 7200
    assert await sweep() == 0
    assert len(lying(home)) == 1


async def test_what_lies_elsewhere_goes_back_into_the_database_and_into_another_store(
    road: Road, server: TokenServer, home: Path, database_url: str, redis_url: str
) -> None:
    account_id = await road.account(await road.source(server.url))
    await move(road)
    changes: dict[str, Any] = {
        "keyring": road.keyring.reveal(),
        "credential_store": "postgres",
        "former_credential_stores": f"directory:{home}",
    }
    async with open_road(database_url, redis_url, **changes) as back:
        assert await stored(back, account_id) == ("access-grant.1", "grant.1")
        await move(back)
        access, refresh = await columns(back, account_id)
        assert access[:1] != POINTER_MARK
        assert refresh is not None
        assert lying(home) == []
        await back.refresh(account_id)
        assert server.presented == ["grant.1"]
    async with open_road(database_url, redis_url, keyring=road.keyring.reveal()) as plain:
        assert await stored(plain, account_id) == ("access-grant.2", "grant.2")


async def test_a_store_belongs_to_one_installation(road: Road, server: TokenServer, home: Path) -> None:
    """Another one would sweep away what it knows nothing of. So it neither writes nor sweeps, and its worker does not start."""
    account_id = await road.account(await road.source(server.url))
    await move(road)
    await road.sql("UPDATE instance_keys SET key = sha256(key)")  # another installation's database
    road.refreshing.stores._claimed.clear()
    other = CredentialStores(road.sealer.vault, road.refreshing.stores._stores, current="directory", owner=key_of(road))
    sweep = SweepStores(other, PostgresCredentialRows(road.foundation.database), Clock())
    with pytest.raises(StoreTaken):
        await other.put(KeptName.new(account_id, epoch=1, generation=2, fence=3), b"sealed", None)
    with pytest.raises(StoreTaken):
        await sweep()
    with pytest.raises(
        SettingsError, match="TOKENKEEP_CREDENTIAL_STORE: the store directory is another installation's"
    ):
        await claim_stores(other)
    assert len(lying(home)) == 1


def key_of(road: Road) -> PostgresStoreKey:
    return PostgresStoreKey(road.foundation.database)


async def test_a_store_that_is_away_when_a_worker_starts_is_claimed_later(
    road: Road, server: TokenServer, home: Path
) -> None:
    gone = await away(home)
    await claim_stores(road.refreshing.stores)
    await road.observed("store_not_claimed")
    await asyncio.to_thread(gone.rename, home)
    await road.account(await road.source(server.url))
    await move(road)
    assert len(lying(home)) == 1


async def test_a_worker_that_was_not_told_of_the_store_spends_nothing(
    road: Road, server: TokenServer, database_url: str, redis_url: str
) -> None:
    account_id = await road.account(await road.source(server.url))
    await move(road)
    async with open_road(database_url, redis_url, keyring=road.keyring.reveal()) as forgetful:
        await forgetful.refresh(account_id)
        assert server.presented == []
        assert (await forgetful.view(account_id)).account.health is Health.HEALTHY
