"""What a dead process left in its spool is settled once, whoever drains it, and one bad answer holds up no other."""

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError
from structlog.testing import capture_logs

from road import Road, open_road
from token_server import TokenServer
from tokenkeep.adapters.redis.custody_lock import RedisCustodyLocks
from tokenkeep.domain.ids import AccountId
from tokenkeep_worker.draining import OF_AGE, keep_draining
from tokenkeep_worker.main import Worker


async def left_behind(road: Road, server: TokenServer, account_ids: Sequence[AccountId]) -> None:
    """Answers for these accounts are in the spool, and the process that received them is gone."""
    server.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(*account_ids))
    async with asyncio.timeout(10):
        while len(server.presented) < len(account_ids):  # noqa: ASYNC110 - the server tells of the first one only
            await asyncio.sleep(0.01)
    await road.sql("ALTER TABLE credentials RENAME TO gone")
    server.gate.set()
    async with asyncio.timeout(20):
        while len(spooled(road)) < len(account_ids):  # noqa: ASYNC110 - the log tells nobody
            await asyncio.sleep(0.01)
    flight.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flight
    server.gate = None
    # The last batch of the settling that was under way ends before the table is back.
    await road.refreshing.refresh.drain()


async def back(road: Road) -> None:
    await road.sql("ALTER TABLE gone RENAME TO credentials")


def spooled(road: Road) -> list[Path]:
    return sorted(road.foundation.settings.spool_path.glob("*.answer"))


def contents(paths: Sequence[Path]) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in paths}


def put(files: dict[Path, bytes]) -> None:
    for path, content in files.items():
        path.write_bytes(content)


async def attempts(road: Road, account_id: AccountId) -> list[str]:
    rows = await road.sql("SELECT outcome FROM refresh_attempts WHERE account_id = :id ORDER BY id", id=account_id)
    return [row["outcome"] for row in rows]


async def test_two_processes_that_drain_one_spool_install_each_answer_once(
    database_url: str, redis_url: str, road: Road, server: TokenServer
) -> None:
    source_id = await road.source(server.url)
    accounts = [await road.account(source_id, f"grant{n}") for n in range(5)]
    await left_behind(road, server, accounts)
    await back(road)
    settings = road.foundation.settings
    async with open_road(
        database_url, redis_url, keyring=road.keyring.reveal(), spool_dir=str(settings.spool_path)
    ) as other:
        left = await asyncio.gather(road.refreshing.drain_spool(), other.refreshing.drain_spool())
    assert list(left) == [0, 0]
    assert spooled(road) == []
    for account_id in accounts:
        assert (await road.view(account_id)).generation == 2
        assert await road.told(account_id) == ["created", "activated", "refreshed"]
        assert await attempts(road, account_id) == ["ok"]
    assert server.most_presented() == 1
    assert await road.sql("SELECT 1 FROM receipts") == []


async def test_a_worker_that_is_there_all_the_time_settles_what_another_one_left_on_its_disk(
    road: Road, server: TokenServer, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await road.account(await road.source(server.url))
    await left_behind(road, server, [account_id])
    [(path, content)] = contents(spooled(road)).items()
    path.unlink()
    await back(road)
    monkeypatch.setattr("tokenkeep_worker.main.keep_draining", partial(keep_draining, every_s=0.05))
    stopping = asyncio.Event()
    with capture_logs() as log:
        running = asyncio.create_task(worker.run(stopping))
        async with asyncio.timeout(30):
            while not any(line["event"] == "worker_ready" for line in log):
                assert not running.done()
                await asyncio.sleep(0.01)
            put({path: content})
            long_ago = path.stat().st_mtime - OF_AGE.total_seconds()
            os.utime(path, (long_ago, long_ago))
            while spooled(road):  # noqa: ASYNC110 - the disk tells nobody
                await asyncio.sleep(0.01)
        stopping.set()
        await asyncio.wait_for(running, 60)
    assert (await road.view(account_id)).generation == 2
    assert server.presented == ["grant.1"]


async def test_an_answer_from_after_the_backup_keeps_its_place_and_is_not_taken_for_what_the_backup_had(
    road: Road, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url, refresh_rotates="yes", reuse_detection="revokes"))
    for _ in range(3):
        await road.pass_time(account_id, timedelta(hours=2))
        await road.refresh(account_id)
    await road.pass_time(account_id, timedelta(hours=2))
    server.presented.clear()
    await left_behind(road, server, [account_id])
    await back(road)
    await road.sql("UPDATE credentials SET generation = 1, installed_fence = 0 WHERE account_id = :id", id=account_id)
    assert await road.refreshing.drain_spool() == 0
    locks = RedisCustodyLocks(road.foundation.redis, ttl=timedelta(seconds=1))
    assert (await locks.mirrored([account_id]))[account_id].generation == 4
    assert (await road.view(account_id)).generation == 5


async def test_the_account_goes_on_with_the_token_that_was_in_the_spool(road: Road, server: TokenServer) -> None:
    account_id = await road.account(await road.source(server.url))
    await left_behind(road, server, [account_id])
    await back(road)
    assert await road.refreshing.drain_spool() == 0
    await road.make_due(account_id)
    await road.refresh(account_id)
    assert server.presented == ["grant.1", "grant.2"]


async def test_a_kept_refresh_token_survives_the_spool_though_the_answer_named_none(
    road: Road, server: TokenServer
) -> None:
    server.rotates = False
    account_id = await road.account(await road.source(server.url, refresh_rotates="no"))
    await left_behind(road, server, [account_id])
    await back(road)
    assert await road.refreshing.drain_spool() == 0
    await road.make_due(account_id)
    await road.refresh(account_id)
    assert server.presented == ["grant.1", "grant.1"]
    assert (await road.view(account_id)).generation == 3


async def test_while_the_database_cannot_be_had_the_spool_is_kept_whole(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    accounts = [await road.account(source_id, name) for name in ("one", "two")]
    await left_behind(road, server, accounts)
    with pytest.raises(SQLAlchemyError):
        await road.refreshing.drain_spool()
    assert len(spooled(road)) == 2
    await back(road)
    assert await road.refreshing.drain_spool() == 0
    assert [(await road.view(one)).generation for one in accounts] == [2, 2]


async def test_an_answer_that_the_database_refuses_holds_up_no_other(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    refused, other = [await road.account(source_id, name) for name in ("one", "two")]
    await left_behind(road, server, [refused, other])
    await back(road)
    await road.sql(f"ALTER TABLE credentials ADD CONSTRAINT no CHECK (account_id <> '{refused}' OR generation < 2)")
    assert await road.refreshing.drain_spool() == 1
    assert [(await road.view(one)).generation for one in (refused, other)] == [1, 2]
    assert len(spooled(road)) == 1
    await road.sql("ALTER TABLE credentials DROP CONSTRAINT no")
    assert await road.refreshing.drain_spool() == 0
    assert await road.told(refused) == ["created", "activated", "refreshed"]


async def test_an_answer_that_does_not_open_or_whose_source_is_gone_is_kept_and_told(
    database_url: str, redis_url: str, road: Road, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url))
    await left_behind(road, server, [account_id])
    await back(road)
    path = str(road.foundation.settings.spool_path)
    async with open_road(database_url, redis_url, spool_dir=path) as stranger:  # with a keyring of its own
        assert await stranger.refreshing.drain_spool() == 1
        await stranger.observed("spool_file_left")
    kept = contents(spooled(road))
    [row] = await road.sql("SELECT source_id FROM accounts WHERE id = :id", id=account_id)
    put({file: content.replace(row["source_id"].hex.encode(), b"0" * 32) for file, content in kept.items()})
    assert await road.refreshing.drain_spool() == 1
    put(kept)
    assert await road.refreshing.drain_spool() == 0
    assert (await road.view(account_id)).generation == 2


async def test_a_file_that_cannot_be_removed_holds_up_nobody(
    road: Road, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await road.account(await road.source(server.url))
    await left_behind(road, server, [account_id])
    await back(road)

    def read_only(path: Path, *, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system", str(path), missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", read_only)
        assert await road.refreshing.drain_spool() == 0
    assert len(spooled(road)) == 1
    assert await road.refreshing.drain_spool() == 0
    assert (await road.view(account_id)).generation == 2
    assert await road.told(account_id) == ["created", "activated", "refreshed"]
