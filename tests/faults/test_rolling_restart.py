"""A rolling restart of every process under load: no request is lost, no token runs out, nothing is spent twice, every event is told."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import run
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from databases import migrated_database
from faults.balancer import Balancer
from faults.fleet import SETTINGS, Fleet, Load, Member, RememberingServer, lost_nothing, nobody_runs_out, until_quiet
from faults.services import Nursery, eventually
from revision_rules import last_change_of_a_hot_table
from road import Road, open_road
from tokenkeep.domain.ids import IdKind, format_id

pytestmark = pytest.mark.timeout(400)

_REPOSITORY = Path(__file__).parents[2]
_OF_ALL = ("api", "scheduler", "worker")


@dataclass
class Works:
    """An installation with nobody at work yet."""

    road: Road
    server: RememberingServer
    fleet: Fleet
    load: Load


@asynccontextmanager
async def open_works(
    postgres_url: str, redis_url: str, directory: Path, releases: Mapping[str, Nursery]
) -> AsyncIterator[Works]:
    database_url = await asyncio.to_thread(migrated_database, postgres_url, f"rolling_{uuid4().hex}")
    async with Redis.from_url(redis_url) as client:
        await client.flushall()
    async with (
        RememberingServer() as server,
        Balancer() as balancer,
        open_road(database_url, redis_url, **SETTINGS) as road,
    ):
        stores = {"database_url": database_url, "redis_url": redis_url, "keyring": road.keyring.reveal()}
        fleet = Fleet(road, directory, balancer, {**SETTINGS, **stores, "data_dir": str(directory)}, releases)
        source = await road.source(server.url, refresh_rotates="yes", reuse_detection="revokes")
        load = Load(balancer.url, format_id(IdKind.SOURCE, source), server)
        try:
            yield Works(road, server, fleet, load)
        finally:
            fleet.close()


async def test_every_process_is_replaced_and_nobody_notices(
    postgres_url: str, redis_url: str, short_dir: Path, nursery: Nursery
) -> None:
    async with open_works(postgres_url, redis_url, short_dir, {"": nursery}) as works:
        fleet, load = works.fleet, works.load
        serving = [await fleet.start(service) for service in _OF_ALL for _ in range(2)]
        async with nobody_runs_out(works.road), load.going_on():
            serving = [await fleet.replace(member) for member in serving]
        assert load.failures == []
        assert fleet.balancer.refused == 0
        assert all(load.answers[kind] for kind in ("vend", "force", "connect"))
        assert all(fleet.balancer.passed[member.port] for member in serving if member.service == "api")

        await end_of_work(works, serving)
        await lost_nothing(works.road, works.server)


async def end_of_work(works: Works, members: list[Member]) -> None:
    """End everybody; schedulers last, for they tell what the last refreshes came to."""
    for member in members:
        if member.service != "scheduler":
            await member.end()
    await until_quiet(works.road)
    for member in members:
        if member.service == "scheduler":
            await member.end()


def code_before(revision: str, directory: Path) -> Path:
    """The code as it was before this revision was written, out of the repository's history; skips where there is none."""
    versions = f"deploy/tokenkeep_migrations/versions/{revision}_*"
    log = _git("log", "--reverse", "--format=%H", "--", versions)
    if not log:
        pytest.skip(
            "the code before the last change of a hot table is not to be had: this is no clone with the whole history"
        )
    archive = _git("archive", f"{log.split()[0].decode()}^")
    if not archive:
        pytest.skip("the clone is shallow: it lacks the commit before the last change of a hot table")
    directory.mkdir()
    run(["tar", "-x", "-C", str(directory)], input=archive, check=True)  # noqa: S607 - whichever tar there is
    assert not list(directory.glob(versions))
    return directory


def _git(*words: str) -> bytes:
    """What git says; nothing if it has nothing to say, or is not there."""
    try:
        return run(["git", *words], cwd=_REPOSITORY, capture_output=True, check=False).stdout  # noqa: S607 - as above
    except FileNotFoundError:
        return b""


async def test_the_release_before_the_last_change_of_a_hot_table_works_beside_this_one(
    postgres_url: str, redis_url: str, short_dir: Path, nursery: Nursery
) -> None:
    former = Nursery(code_before(last_change_of_a_hot_table(), short_dir / "former"))
    releases = {"": nursery, "former": former}
    try:
        async with open_works(postgres_url, redis_url, short_dir, releases) as works:
            fleet, load = works.fleet, works.load
            load.keep_alive = False
            old = [await fleet.start(service, release="former") for service in _OF_ALL]
            async with nobody_runs_out(works.road), load.going_on():
                new = [await fleet.start(service) for service in _OF_ALL]
                await until_all_have_worked(works, [*old, *new])
                for member in old:
                    if member.service == "api":  # it knows of no delay: whoever leads requests there has to stop first
                        await fleet.balancer.take_out(member.port)
                    await member.end()
            assert load.failures == []
            assert all(load.answers[kind] for kind in ("vend", "force", "connect"))
            await end_of_work(works, new)
            await lost_nothing(works.road, works.server)
    finally:
        former.close()


async def until_all_have_worked(works: Works, members: list[Member]) -> None:
    """Wait until each API has had requests, each scheduler has hinted, each worker has refreshed."""

    def has_worked(member: Member) -> bool:
        if member.service == "api":
            return works.fleet.balancer.passed.get(member.port, 0) > 0
        return {"scheduler": "due_emitted", "worker": "refresh_settled"}[member.service] in member.running.said()

    await eventually(
        lambda: all(has_worked(member) for member in members),
        lambda: str([(member.service, has_worked(member)) for member in members]),
        within_s=90,
    )
