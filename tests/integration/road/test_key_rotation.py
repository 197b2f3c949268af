"""The keyring's keys are changed beside the traffic: no row is left behind, no refresh waits, nothing is spent twice."""

import asyncio
import json
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from road import Road, open_road
from road_processes import environment_of, process
from token_server import TokenServer
from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.adapters.postgres.keyring_holders import PostgresKeyringHolders
from tokenkeep.adapters.postgres.revisions import head_revision
from tokenkeep.adapters.postgres.schema import Base
from tokenkeep.adapters.postgres.wrapped_keys import PostgresWrappedKeys, wrapped_tables
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.adapters.vault.envelope import Vault
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.application.key_rotation import HolderReport, Rotated
from tokenkeep.application.rotate_keys import RotateKeys
from tokenkeep.bootstrap import ProcessClocks
from tokenkeep.domain.account import AccountState, Health
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import new_id
from tokenkeep.domain.secret import Secret
from wrapped_rows import fill, opened


def renewed(old: Secret) -> tuple[str, Keyring, Keyring]:
    """The text of a keyring with a new key before the old ones, that keyring, and one of the new key alone."""
    new = Keyring.generate()
    text = new.to_text().reveal() + old.reveal()
    return text, Keyring.parse(Secret(text)), new


async def rotate(road: Road, ring: Keyring, **changes: Any) -> Rotated:
    keys = PostgresWrappedKeys(road.foundation.database)
    return await RotateKeys(keys, Vault(ring), ProcessClocks(boottime), **changes)(ring.current)


def test_every_table_with_a_wrapped_key_says_for_whom_it_is_wrapped() -> None:
    """So rotation and status look at it: a new table that says nothing would be left behind for ever."""
    marks = {"key_id", "wrapped_key"}
    suspects = {name for name, table in Base.metadata.tables.items() if marks & set(table.columns.keys())}
    assert set(wrapped_tables()) == suspects
    assert len(suspects) >= 9
    for table in wrapped_tables().values():
        assert marks <= set(table.columns.keys())
        assert table.c.wrapped_key.info["wrapped_for"] in table.columns


async def test_a_row_of_every_table_is_wrapped_anew_and_opens_without_the_old_key(road: Road) -> None:
    old = Keyring.parse(road.keyring)
    sealed = await fill(road, Vault(old))
    _, both, new = renewed(road.keyring)
    keys = PostgresWrappedKeys(road.foundation.database)
    assert (await keys.use()).rows == {old.current: dict.fromkeys(wrapped_tables(), 1)}

    seen: Counter[str] = Counter()
    done = await rotate(road, both, progress=lambda table, rows: seen.update({table: rows}))

    assert done.is_complete
    assert done.rewrapped == dict.fromkeys(wrapped_tables(), 1) == seen
    assert set((await opened(road, Vault(new), sealed)).values()) == {new.current}
    assert (await keys.use()).total(old.current) == 0
    again = await rotate(road, both)
    assert (again.is_complete, sum(again.rewrapped.values())) == (True, 0)
    trail = await road.sql(
        "SELECT actor, target, result, count FROM audit_log WHERE action = 'keyring.rotate' ORDER BY id"
    )
    assert [tuple(row.values()) for row in trail] == [
        ("command-line", new.current, "ok", len(sealed)),
        ("command-line", new.current, "ok", 1),
    ]


async def test_a_row_that_was_changed_after_it_was_read_keeps_what_it_was_changed_to(
    road: Road, server: TokenServer
) -> None:
    account_id = await road.account(await road.source(server.url))
    _, both, _ = renewed(road.keyring)
    keys, vault = PostgresWrappedKeys(road.foundation.database), Vault(both)
    found, _ = await keys.page("credentials", None, current=both.current, limit=10)
    mine = Vault(Keyring.parse(road.keyring)).new_data_key(account_id)
    await road.sql("UPDATE credentials SET wrapped_key = :it", it=mine.wrapped)

    assert await keys.replace("credentials", [(row, vault.rewrap(row.owner, row.key)) for row in found]) == 0

    [row] = await road.sql("SELECT key_id, wrapped_key FROM credentials")
    assert SealedKey(row["key_id"], row["wrapped_key"]) == mine


async def test_a_row_that_somebody_holds_is_passed_over_and_come_back_for(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    held, free = [await road.account(source_id, name) for name in ("held", "free")]
    _, both, _ = renewed(road.keyring)
    async with road.foundation.database.transaction() as connection:
        await connection.execute(text("SELECT FROM credentials WHERE account_id = :id FOR UPDATE"), {"id": held})
        rotation = asyncio.create_task(rotate(road, both))
        async with asyncio.timeout(10):
            while await key_of(road, free) != both.current:  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(0.01)
        assert await key_of(road, held) != both.current
        assert not rotation.done()
    done = await rotation
    assert done.is_complete
    assert await key_of(road, held) == both.current


async def test_a_row_that_does_not_open_is_counted_and_stops_no_other(road: Road, server: TokenServer) -> None:
    source_id = await road.source(server.url)
    broken, whole = [await road.account(source_id, name) for name in ("broken", "whole")]
    await road.sql("UPDATE credentials SET wrapped_key = '\\x01' WHERE account_id = :id", id=broken)
    _, both, _ = renewed(road.keyring)
    done = await rotate(road, both)
    assert (done.is_complete, done.failed, done.left) == (False, {"credentials": 1}, 0)
    assert await key_of(road, whole) == both.current


async def key_of(road: Road, account_id: Any) -> str:
    [row] = await road.sql("SELECT key_id FROM credentials WHERE account_id = :id", id=account_id)
    key_id: str = row["key_id"]
    return key_id


async def test_a_refresh_that_began_before_the_rotation_writes_nothing_by_the_old_key(
    road: Road, server: TokenServer, database_url: str, redis_url: str
) -> None:
    """Its answer comes when the grant was replaced, so it goes into a receipt, by the key that is current then."""
    text, both, new = renewed(road.keyring)
    source_id = await road.source(server.url)
    account_id = await road.account(source_id)
    async with open_road(database_url, redis_url, keyring=text) as worker:
        server.gate = asyncio.Event()
        flight = asyncio.create_task(worker.refresh(account_id))
        await server.arrived.wait()
        assert (await rotate(road, both)).is_complete
        await road.sql("UPDATE leases SET epoch = epoch + 1, fence = fence + 1 WHERE account_id = :id", id=account_id)
        await road.sql("UPDATE credentials SET epoch = epoch + 1 WHERE account_id = :id", id=account_id)
        server.gate.set()
        await flight
    use = await PostgresWrappedKeys(road.foundation.database).use()
    assert use.rows[new.current]["receipts"] == 1
    assert set(use.rows) == {new.current}


@asynccontextmanager
async def keys_command(road: Road, *words: str, **changes: object) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tokenkeep", "keys", *words),
        env=environment_of(road, **changes),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def run_keys(road: Road, *words: str, **changes: object) -> tuple[int | None, str, str]:
    """The exit code and what was said, on both streams."""
    async with keys_command(road, *words, **changes) as command:
        out, err = await asyncio.wait_for(command.communicate(), 60)
    return command.returncode, out.decode(), err.decode()


def in_file(path: Path, text: str) -> dict[str, Any]:
    path.write_text(text)
    path.chmod(0o600)
    return {"keyring": None, "keyring_file": path}


async def test_the_command_can_be_interrupted_and_goes_on_where_it_was(
    road: Road, server: TokenServer, tmp_path: Path
) -> None:
    source_id = await road.source(server.url)
    for number in range(40):
        await road.account(source_id, f"g{number}")
    text, both, _ = renewed(road.keyring)
    keyring = in_file(tmp_path / "keyring", text)
    wrapped = "SELECT count(*) AS n FROM credentials WHERE key_id = :key"
    async with keys_command(road, "rotate", "--rows-per-s", "5", **keyring) as command:
        async with asyncio.timeout(60):
            while (await road.sql(wrapped, key=both.current))[0]["n"] < 5:  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(0.02)
        command.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(command.communicate(), 30)
    assert (command.returncode, err) == (130, b"")
    assert b"run it again" in out
    done = (await road.sql(wrapped, key=both.current))[0]["n"]
    assert 5 <= done < 40

    code, said, _ = await run_keys(road, "rotate", "--json", **keyring)

    assert code == 0
    report = json.loads(said)
    assert (report["complete"], report["rewrapped"]["credentials"]) == (True, 40 - done)


async def told(road: Road, key_ids: Sequence[str], *, silent_s: int = 0, since_s: int = 3600, **changes: Any) -> None:
    """A process has told that it has these keys."""
    report = HolderReport(new_id(), "worker", "host", 1, "/spool", tuple(key_ids), frozenset())
    report = HolderReport(**{name: getattr(report, name) for name in HolderReport.__slots__} | changes)
    await PostgresKeyringHolders(road.foundation.database).tell(report)
    await road.sql(
        "UPDATE keyring_holders SET seen_at = seen_at - make_interval(secs => :silent),"
        " current_since = current_since - make_interval(secs => :since) WHERE id = :id",
        silent=silent_s,
        since=since_s,
        id=report.id,
    )


async def test_nothing_is_wrapped_by_a_key_that_a_running_process_lacks(
    road: Road, server: TokenServer, tmp_path: Path
) -> None:
    account_id = await road.account(await road.source(server.url))
    old = Keyring.parse(road.keyring).current
    text, both, _ = renewed(road.keyring)
    keyring = in_file(tmp_path / "keyring", text)
    await told(road, [old])

    code, _, err = await run_keys(road, "rotate", **keyring)

    assert code == 1
    assert err.startswith(f"{both.current} is not in the keyring of every process: worker host/1 ")
    assert await key_of(road, account_id) == old
    code, _, _ = await run_keys(road, "rotate", "--unasked", **keyring)
    assert (code, await key_of(road, account_id)) == (0, both.current)


async def test_a_process_of_a_release_that_tells_nothing_holds_a_rotation_up(
    road: Road, database_url: str, tmp_path: Path
) -> None:
    old = Keyring.parse(road.keyring).current
    text, both, _ = renewed(road.keyring)
    keyring = in_file(tmp_path / "keyring", text)
    async with session_of(database_url, "tokenkeep worker"):
        for words in (["use", old], ["rotate"]):
            code, _, err = await run_keys(road, *words, **keyring)
            assert code == 1
            assert err.startswith("a process `worker` is at the database and tells nothing of its keys")
        code, said, _ = await run_keys(road, "status", "--removable", old, **keyring)
        assert code == 1
        assert "a process `worker` is at the database and tells nothing" in said
    assert Keyring.parse(Secret((tmp_path / "keyring").read_text())).current == both.current


@asynccontextmanager
async def session_of(database_url: str, name: str) -> AsyncIterator[None]:
    """A session as a process of this name has it."""
    engine = create_engine(Secret(database_url), pool_size=1, process=name)
    try:
        async with engine.connect():
            yield
    finally:
        await engine.dispose()


async def test_a_key_goes_from_its_making_to_its_removal_by_commands(
    road: Road, server: TokenServer, tmp_path: Path
) -> None:
    path = tmp_path / "keyring"
    keyring = in_file(path, road.keyring.reveal())
    old = Keyring.parse(road.keyring).current
    account_id = await road.account(await road.source(server.url))

    code, said, _ = await run_keys(road, "add", **keyring)
    found = re.match(r"added (\w+) to ", said)
    assert found is not None, (code, said)
    new = found[1]
    assert Keyring.parse(Secret(path.read_text())).key_ids == (old, new)
    assert path.stat().st_mode & 0o777 == 0o600

    await told(road, [old, new])
    assert (await run_keys(road, "use", new, **keyring))[0] == 0
    assert Keyring.parse(Secret(path.read_text())).key_ids == (new, old)

    code, said, _ = await run_keys(road, "status", "--removable", old, **keyring)
    assert code == 1
    assert "2 rows are wrapped by it (credentials 1, sources 1)" in said
    assert "worker host/1 wraps by it" in said
    assert (await run_keys(road, "remove", old, **keyring))[0] == 1

    assert (await run_keys(road, "rotate", **keyring))[0] == 0
    await road.sql("DELETE FROM keyring_holders")
    await told(road, [new, old])
    code, said, _ = await run_keys(road, "status", "--json", **keyring)
    status = json.loads(said)
    assert code == 0
    assert {key["id"]: (key["rows"], key["removable"]) for key in status["keys"]} == {new: (2, False), old: (0, True)}
    assert [(it["process"], it["keys"], it["silent"]) for it in status["processes"]] == [("worker", [new, old], False)]
    code, said, _ = await run_keys(road, "status", **keyring)
    assert f"{old} may be removed\n" in said

    assert (await run_keys(road, "remove", old, **keyring))[0] == 0
    assert Keyring.parse(Secret(path.read_text())).key_ids == (new,)
    assert (await run_keys(road, "remove", new, **keyring))[0] == 1
    assert await key_of(road, account_id) == new


async def test_a_silent_worker_keeps_a_key_until_it_is_forgotten(road: Road) -> None:
    old = Keyring.parse(road.keyring).current
    _, both, _ = renewed(road.keyring)
    dead = new_id()
    await told(road, [both.current, old], silent_s=90_000, id=dead)
    ring = {"keyring": Secret(both.to_text().reveal())}
    code, said, _ = await run_keys(road, "status", "--removable", old, **ring)
    assert code == 1
    assert f"`tokenkeep keys forget {dead}`" in said
    assert (await run_keys(road, "forget", str(dead), **ring))[0] == 0
    assert (await run_keys(road, "status", "--removable", old, **ring))[0] == 0


async def test_keys_are_changed_under_workers_that_refresh_rotating_grants(
    database_url: str, redis_url: str, server: TokenServer, tmp_path: Path
) -> None:
    """The whole way with real processes: add, use, rotate amid refreshes, remove; every token is presented once, and none is lost."""
    path = tmp_path / "keyring"
    keyring = in_file(path, Keyring.generate().to_text().reveal())
    server.lifetime_s = 5
    async with open_road(database_url, redis_url, keyring=path.read_text()) as road:
        await road.foundation.redis.flushall()
        old = Keyring.parse(road.keyring).current
        source_id = await road.source(server.url)
        accounts = [await road.account(source_id, f"g{number}") for number in range(60)]
        workers = (process(road, "worker", **keyring), process(road, "worker", **keyring))
        async with process(road, "scheduler", tick_interval_s=0.2), workers[0] as first, workers[1] as second:
            await reached(road, "SELECT count(*) AS n FROM keyring_holders", 2)
            await refreshed(server, 120)
            _, said, _ = await run_keys(road, "add", **keyring)
            new = said.split()[1]
            await reached(road, "SELECT count(*) AS n FROM keyring_holders WHERE :key = ANY(key_ids)", 2, key=new)
            assert (await run_keys(road, "use", new, **keyring))[0] == 0
            code, said, err = await run_keys(road, "rotate", "--rows-per-s", "40", "--json", **keyring)
            assert (code, json.loads(said)["complete"]) == (0, True), err
            seen = len(server.presented)
            await refreshed(server, seen + 120)
            await reached(road, "SELECT count(*) AS n FROM keyring_holders WHERE key_ids[1] = :key", 2, key=new)
            # As if the two minutes had passed in which what was wrapped before may still be written.
            await road.sql("UPDATE keyring_holders SET current_since = current_since - interval '2 minutes'")
            code, _, err = await run_keys(road, "remove", old, **keyring)
            assert code == 0, err
            await reached(road, "SELECT count(*) AS n FROM keyring_holders WHERE key_ids = ARRAY[:key]", 2, key=new)
            seen = len(server.presented)
            await refreshed(server, seen + 120)
            for worker in (first, second):
                worker.terminate()
                await asyncio.wait_for(worker.wait(), 60)
        assert server.most_presented() == 1
        assert await road.sql("SELECT id FROM keyring_holders") == []
        only_new = Vault(Keyring.parse(Secret(path.read_text())))
        for account_id in accounts:
            view = await road.view(account_id)
            assert (view.account.state, view.account.health, view.in_doubt) == (
                AccountState.ACTIVE,
                Health.HEALTHY,
                None,
            )
            assert await key_of(road, account_id) == new
        rows = await road.sql(
            "SELECT account_id, epoch, generation, key_id, wrapped_key, refresh_ciphertext FROM credentials"
        )
        for row in rows:
            key = SealedKey(row["key_id"], row["wrapped_key"])
            at = (row["epoch"], row["generation"])
            assert only_new.open(row["account_id"], key, "refresh", at, row["refresh_ciphertext"])


async def reached(road: Road, statement: str, count: int, **parameters: object) -> None:
    """Wait until a count of the database is so high."""
    async with asyncio.timeout(60):
        while (await road.sql(statement, **parameters))[0]["n"] < count:  # noqa: ASYNC110 - rows tell nobody
            await asyncio.sleep(0.05)


async def refreshed(server: TokenServer, count: int) -> None:
    """Wait until so many tokens have been presented."""
    async with asyncio.timeout(60):
        while len(server.presented) < count:  # noqa: ASYNC110 - the server tells of the first only
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("words", [["rotate"], ["status"], ["status", "--removable", "k1"]])
async def test_a_database_that_is_away_is_one_line(road: Road, words: list[str]) -> None:
    away = Secret("postgresql://nobody@127.0.0.1:9/none")
    code, out, err = await run_keys(road, *words, database_url=away)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("TOKENKEEP_DATABASE_URL: the database can't be had: ")


async def test_the_release_before_works_on_a_newer_schema_and_none_on_an_older_one(road: Road) -> None:
    stamp = "UPDATE alembic_version SET version_num = :it"
    try:
        await road.sql(stamp, it="9999")
        newer = await run_keys(road, "status", "--json")
        await road.sql(stamp, it="0020")
        older = await run_keys(road, "status", "--json")
    finally:
        await road.sql(stamp, it=head_revision())

    assert newer[0] == 0, newer[2]
    assert json.loads(newer[1])["keys"]
    assert (older[0], older[1]) == (1, "")
    assert "tokenkeep migrate" in older[2]
