"""What operators, workers and schedulers do to sources, for tests over a whole system."""

from typing import Any

from road import CALLER, Road
from source_clients import SIGNER, source_clients
from tokenkeep.adapters.postgres.source_tending import PostgresTendings
from tokenkeep.application.manage_sources import PauseSource, SourceChange, UpdateSource
from tokenkeep.application.resume_source import Decision, ResumeSource
from tokenkeep.application.tend_sources import TendSources
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.mass_revocation import RevocationGuard
from tokenkeep.domain.source import Source
from tokenkeep.domain.source_changes import pause, proven


async def pause_for(road: Road, source_id: SourceId, reason: str) -> None:
    """As a worker does it."""
    async with road.works() as work:
        found = await work.sources.lock(source_id)
        assert found is not None
        source, told = found
        await work.sources.save(pause(source, reason, now=await work.accounts.now()), event_sequence=told + 1)


async def passed(road: Road, source_id: SourceId) -> None:
    """As a worker does it after the first success."""
    async with road.works() as work:
        found = await work.sources.lock(source_id)
        assert found is not None
        await work.sources.save(proven(found[0]), event_sequence=found[1])


async def pause_by_hand(road: Road, source_id: SourceId) -> Source:
    async with road.works() as work:
        return await PauseSource()(work, CALLER, source_id)


async def resume(road: Road, source_id: SourceId, *, confirm: bool = False) -> Source:
    resume_source = ResumeSource(road.works, RevocationGuard(), road.foundation.links)
    return await resume_source(source_id, Decision(CALLER, believed=confirm, correlation_id="cor_test"))


async def change(road: Road, source_id: SourceId, **changes: Any) -> Source:
    update = UpdateSource(road.foundation.catalogue, road.sealer.vault, source_clients(road.sealer.vault), SIGNER)
    async with road.works() as work:
        return await update(work, CALLER, source_id, SourceChange(**changes))


async def source_now(road: Road, source_id: SourceId) -> Source:
    async with road.works() as work:
        source = await work.sources.get(source_id, "default")
    assert source is not None
    return source


async def tend(road: Road) -> tuple[int, int]:
    """As a scheduler does it that has just started."""
    return await TendSources(PostgresTendings(road.foundation.database))()


async def probe_time_has_come(road: Road) -> None:
    await road.sql("UPDATE sources SET probe_at = now() - interval '1 second' WHERE probe_at IS NOT NULL")


async def many_like(road: Road, account_id: AccountId, *, count: int) -> None:
    """Copies of an account that differ in their ids alone."""
    for table, key in (("accounts", "id"), ("leases", "account_id")):
        await road.sql(
            f"INSERT INTO {table} SELECT copy.* FROM {table} AS it, generate_series(1, :count) AS n,"  # noqa: S608
            f" LATERAL jsonb_populate_record(it, jsonb_build_object('{key}',"
            " lpad(to_hex(n), 32, '0'))) AS copy WHERE it." + key + " = :id",
            id=account_id,
            count=count,
        )
