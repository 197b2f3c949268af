"""What `tokenkeep bench due` measures: how fast what is due is found and told to workers, among how many accounts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.cli.bench.due import naive
from tokenkeep.cli.bench.due.claims import Claims, Rate, claim_bare, connect_bare, naive_broker
from tokenkeep.cli.bench.due.idling import Idle, idle_processes
from tokenkeep.cli.bench.due.pickup import PickUp, measure_pickup
from tokenkeep.cli.bench.due.rows import Fleet, count_due, found, grow, tidy, touch
from tokenkeep.cli.bench.installation import Installation, temporary_installation
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.settings import require_database

_ROUNDS = 8
_BATCHES = 10
"""Of each kind in a round: the kinds take turns, so that whatever else the machine does meets all of them."""
_LOADING_S = 120.0
_ALL_DUE = text("UPDATE leases SET due_at = statement_timestamp() - random() * interval '1 hour'")


@dataclass(frozen=True, slots=True)
class SizeFigures:
    """Among so many accounts.

    Attributes:
        claims_per_s: Accounts that one scheduler claims, once the schedule is in PostgreSQL's memory.
        first_claims_per_s: The same before that, in one round: right after the accounts were made, which leaves other pages there.
        claim_enqueue_per_s: Accounts that it claims and hints at on the queue.
        limit_claims_per_s: Rows that PostgreSQL locks and puts off, with nothing looked up and nothing read of them.
        empty_poll_us: What a look costs that finds nothing, once autovacuum has been there.
        uncleaned_poll_us: The same right after all of these claims, before that.
        round_trip_us: What a statement costs that looks at nothing: the limit of a look.
        idle: What processes take that have nothing to do; measured at the least and at the largest size only.
    """

    claims_per_s: float
    first_claims_per_s: float
    claim_enqueue_per_s: float
    limit_claims_per_s: float
    empty_poll_us: float
    uncleaned_poll_us: float
    round_trip_us: float
    idle: dict[str, Idle] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DueFigures:
    """By the number of accounts; the reference's rates; how soon an idle worker takes up a hint."""

    rows: dict[int, SizeFigures]
    naive_claims_per_s: float
    naive_claim_enqueue_per_s: float
    pickup: PickUp


async def measure_due(*, sizes: Sequence[int], samples: int, advance: Advance) -> DueFigures:
    """Measure on an installation of its own, which grows from size to size; `samples` hints for the pick-up."""
    async with temporary_installation(large=True) as installation:
        database_url = require_database(installation.foundation.settings)
        loading = create_engine(database_url, pool_size=2, process="tokenkeep bench", command_timeout_s=_LOADING_S)
        try:
            pickup = await measure_pickup(installation, samples=samples, advance=advance)
            fleet = await found(loading)
            rows: dict[int, SizeFigures] = {}
            for size in sorted(sizes):
                fleet = await grow(
                    loading, fleet, to=size, due=3 * _ROUNDS * _BATCHES * 1_000 * 5 // 4, advance=advance
                )
                rows[size] = await _at_size(
                    installation, loading, fleet, advance, idling=size in {min(sizes), max(sizes)}
                )
            claims, enqueued = await _naive(installation, loading, advance)
        finally:
            await loading.dispose()
    return DueFigures(rows, claims, enqueued, pickup)


async def _at_size(
    installation: Installation, loading: AsyncEngine, fleet: Fleet, advance: Advance, *, idling: bool
) -> SizeFigures:
    settings = installation.foundation.settings
    claims = Claims(installation.foundation.database, settings)
    first, ours, limit, enqueued = Rate(), Rate(), Rate(), Rate()
    await claims.claim(first, await _due_batches(loading, fleet, claims.batch), set())
    await touch(loading)
    bare = await connect_bare(require_database(settings))
    try:
        for number in range(_ROUNDS):
            met: set[UUID] = set()
            batches = await _due_batches(loading, fleet, claims.batch)
            claims.begin_anew()
            await claims.claim(ours, batches, met)
            if len(met) != batches * claims.batch:
                msg = f"{batches * claims.batch} accounts were due, but {len(met)} were claimed"
                raise RuntimeError(msg)
            await _due_batches(loading, fleet, claims.batch)
            await claim_bare(bare, limit, batches, batch=claims.batch)
            await _due_batches(loading, fleet, claims.batch)
            claims.begin_anew()
            await claims.emit(enqueued, batches)
            advance(f"claims among {fleet.accounts:,}", number + 1, _ROUNDS)
    finally:
        await bare.close()
    await claims.claim_the_rest()
    claims.begin_anew()  # these large claims may have been dear: then looks would begin behind what they left
    uncleaned_us, _ = await claims.look_costs_us()
    await tidy(loading)
    claims.begin_anew()
    empty_us, round_trip_us = await claims.look_costs_us()
    idle = await idle_processes(installation) if idling else {}
    rates = (ours.per_s, first.per_s, enqueued.per_s, limit.per_s)
    return SizeFigures(*rates, empty_us, uncleaned_us, round_trip_us, idle)


async def _due_batches(loading: AsyncEngine, fleet: Fleet, batch: int) -> int:
    """How many whole batches are due, ten at most. In a small fleet everybody is made due again when too few are."""
    wanted = min(_BATCHES, max(1, fleet.accounts // batch))
    async with loading.begin() as connection:
        due = await count_due(connection)
        if due >= wanted * batch:
            return wanted
        await connection.execute(_ALL_DUE)
    await tidy(loading)
    return wanted


async def _naive(installation: Installation, loading: AsyncEngine, advance: Advance) -> tuple[float, float]:
    batches = _ROUNDS * _BATCHES // 2
    await naive.fill(loading, 100_000)
    broker = naive_broker(installation.foundation.settings)
    broker.declare_queue(naive.QUEUE)
    claims, enqueued = Rate(), Rate()
    for number in range(batches):
        began = time.perf_counter()
        claims.add(await naive.tick(loading, None), began)
        began = time.perf_counter()
        enqueued.add(await naive.tick(loading, broker), began)
        advance("the reference", number + 1, batches)
    broker.flush(naive.QUEUE)
    return claims.per_s, enqueued.per_s
