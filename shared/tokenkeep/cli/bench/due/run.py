"""What `tokenkeep bench due` measures: how fast what is due is found and told to workers, among how many accounts."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tokenkeep.adapters.postgres.engine import create_engine
from tokenkeep.cli.bench.due import naive
from tokenkeep.cli.bench.due.claims import Claims, LookCosts, Rate, claim_bare, connect_bare, naive_broker
from tokenkeep.cli.bench.due.idling import Idle, idle_processes
from tokenkeep.cli.bench.due.pickup import PickUp, measure_pickup
from tokenkeep.cli.bench.due.rows import Fleet, count_due, found, grow, tidy, touch
from tokenkeep.cli.bench.installation import Installation, temporary_installation
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.settings import require_database

_ROUNDS = 8
_BATCHES = 10
_LOOKS = 50
"""Of each kind in a round. The sizes take turns, and in each the kinds, so that whatever else the machine does meets all of them."""
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
    """Measure every size on an installation of its own, all of them side by side; `samples` hints for the pick-up."""
    async with temporary_installation() as installation:
        pickup = await measure_pickup(installation, samples=samples, advance=advance)
    async with AsyncExitStack() as stack:
        wanted = sorted(set(sizes))
        stages = [await stack.enter_async_context(_stage(size, len(wanted), advance)) for size in wanted]
        reference = _Naive(stages[-1])
        await reference.begin()
        for number in range(_ROUNDS):
            for stage in stages:
                await stage.claim()
            await reference.claim()
            advance("claims", number + 1, _ROUNDS)
        for stage in stages:
            await stage.look_amid_litter()
        for stage in stages:
            await stage.come_to_rest()
        for number in range(_ROUNDS):
            for stage in stages:
                await stage.look()
            advance("looks that find nothing", number + 1, _ROUNDS)
        ends = {stage.fleet.accounts: stage.installation for stage in (stages[0], stages[-1])}
        idle = {accounts: await idle_processes(installation) for accounts, installation in ends.items()}
        rows = {stage.fleet.accounts: stage.figures(idle.get(stage.fleet.accounts, {})) for stage in stages}
    return DueFigures(rows, reference.claims.per_s, reference.enqueued.per_s, pickup)


@asynccontextmanager
async def _stage(size: int, beside: int, advance: Advance) -> AsyncIterator["_Stage"]:
    """An installation with so many accounts, one of so many that share the machine. The first claims among them are measured at once."""
    async with temporary_installation(large=True, beside=beside) as installation:
        url = require_database(installation.foundation.settings)
        loading = create_engine(url, pool_size=2, process="tokenkeep bench", command_timeout_s=_LOADING_S)
        try:
            due = 3 * _ROUNDS * _BATCHES * 1_000 * 5 // 4
            fleet = await grow(loading, await found(loading), to=size, due=due, advance=advance)
            bare = await connect_bare(url)
            try:
                stage = _Stage(installation, loading, fleet, bare)
                await stage.begin()
                yield stage
            finally:
                await bare.close()
        finally:
            await loading.dispose()


class _Stage:
    """An installation of one size, and what has been measured there so far."""

    def __init__(
        self, installation: Installation, loading: AsyncEngine, fleet: Fleet, bare: "asyncpg.Connection"
    ) -> None:
        self.installation = installation
        self.loading = loading
        self.fleet = fleet
        self._bare = bare
        self._claims = Claims(installation.foundation.database, installation.foundation.settings)
        self._first, self._ours, self._limit, self._enqueued = Rate(), Rate(), Rate(), Rate()
        self._uncleaned, self._empty = LookCosts(), LookCosts()

    async def begin(self) -> None:
        """The first claims, and then the schedule comes into memory."""
        await self._claims.claim(self._first, await self._due_batches(), set())
        await touch(self.loading)

    async def claim(self) -> None:
        """One round of claims: ours, the limit, and ours with their hints."""
        met: set[UUID] = set()
        batches = await self._due_batches()
        self._claims.begin_anew()
        await self._claims.claim(self._ours, batches, met)
        if len(met) != batches * self._claims.batch:
            msg = f"{batches * self._claims.batch} accounts were due, but {len(met)} were claimed"
            raise RuntimeError(msg)
        await self._due_batches()
        await claim_bare(self._bare, self._limit, batches, batch=self._claims.batch)
        await self._due_batches()
        self._claims.begin_anew()
        await self._claims.emit(self._enqueued, batches)

    async def look_amid_litter(self) -> None:
        """Nobody is due any more, and autovacuum has not been there yet."""
        await self._claims.claim_the_rest()
        self._claims.begin_anew()  # these large claims may have been dear: then looks would begin behind what they left
        await self._claims.look(self._uncleaned, _ROUNDS * _LOOKS)

    async def come_to_rest(self) -> None:
        """Autovacuum has been there."""
        await tidy(self.loading)
        self._claims.begin_anew()

    async def look(self) -> None:
        """One round of looks that find nothing."""
        await self._claims.look(self._empty, _LOOKS)

    def figures(self, idle: dict[str, Idle]) -> SizeFigures:
        """What was measured."""
        return SizeFigures(
            claims_per_s=self._ours.per_s,
            first_claims_per_s=self._first.per_s,
            claim_enqueue_per_s=self._enqueued.per_s,
            limit_claims_per_s=self._limit.per_s,
            empty_poll_us=self._empty.look_us,
            uncleaned_poll_us=self._uncleaned.look_us,
            round_trip_us=self._empty.round_trip_us,
            idle=idle,
        )

    async def _due_batches(self) -> int:
        """How many whole batches are due, ten at most. In a small fleet everybody is made due again when too few are."""
        wanted = min(_BATCHES, max(1, self.fleet.accounts // self._claims.batch))
        async with self.loading.begin() as connection:
            due = await count_due(connection)
            if due >= wanted * self._claims.batch:
                return wanted
            await connection.execute(_ALL_DUE)
        await tidy(self.loading)
        return wanted


class _Naive:
    """The reference, in a table of its own on an installation of ours."""

    def __init__(self, stage: _Stage) -> None:
        self.claims, self.enqueued = Rate(), Rate()
        self._loading = stage.loading
        self._broker = naive_broker(stage.installation.foundation.settings)

    async def begin(self) -> None:
        """Make its accounts."""
        self._broker.declare_queue(naive.QUEUE)
        await naive.fill(self._loading, 100_000)

    async def claim(self) -> None:
        """One round, with hints and without."""
        for _ in range(_BATCHES // 2):
            began = time.perf_counter()
            self.claims.add(await naive.tick(self._loading, None), began)
            began = time.perf_counter()
            self.enqueued.add(await naive.tick(self._loading, self._broker), began)
        self._broker.flush(naive.QUEUE)
