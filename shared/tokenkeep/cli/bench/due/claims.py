"""Claims: ours, by the scheduler's own parts, and the limit, which is PostgreSQL locking and updating the same rows."""

import time
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import median
from uuid import UUID

import asyncpg
from dramatiq.brokers.redis import RedisBroker

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.schedule import PostgresSchedule
from tokenkeep.adapters.redis.connection import connect_blocking
from tokenkeep.adapters.redis.queue import DEMANDED, SCHEDULED, DramatiqRefreshQueue, create_broker
from tokenkeep.application.emit_due_refreshes import EmitDueRefreshes
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings, require_redis

PUT_OFF = timedelta(days=1)
"""Claimed for so long that nobody is due twice in one measurement."""

_ROUND_TRIP = "SELECT statement_timestamp()"
_BARE = """
UPDATE leases SET due_at = due_at + interval '1 day' WHERE account_id IN (
    SELECT account_id FROM leases WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING account_id
"""


@dataclass(slots=True)
class Rate:
    """So many accounts in so many seconds, added up."""

    accounts: int = 0
    seconds: float = 0.0

    def add(self, accounts: int, began: float) -> None:
        """Count what was done since `began` (`time.perf_counter`)."""
        self.seconds += time.perf_counter() - began
        self.accounts += accounts

    @property
    def per_s(self) -> float:
        """Accounts a second."""
        return self.accounts / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class LookCosts:
    """What each look cost that found nothing, and each statement that looks at nothing, in microseconds."""

    looks: list[float] = field(default_factory=list)
    round_trips: list[float] = field(default_factory=list)

    @property
    def look_us(self) -> float:
        """What a look costs: the median."""
        return median(self.looks)

    @property
    def round_trip_us(self) -> float:
        """What a statement costs that looks at nothing: the median."""
        return median(self.round_trips)


class Claims:
    """The scheduler's way of finding what is due, in the batches that it is set to."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._schedule = PostgresSchedule(database)
        self._broker = create_broker(connect_blocking(require_redis(settings)))
        self._queue = DramatiqRefreshQueue(self._broker)
        self._settings = settings
        self.batch = settings.claim_batch

    def begin_anew(self) -> None:
        """As a scheduler that has just started: accounts were made due in the past, which nobody else does."""
        self._schedule = PostgresSchedule(self._database)

    async def claim(self, rate: Rate, batches: int, met: set[UUID]) -> None:
        """Claim so many batches and note whom that met."""
        for _ in range(batches):
            began = time.perf_counter()
            claimed = await self._schedule.claim_due(limit=self.batch, trust=PUT_OFF, paused=PUT_OFF)
            rate.add(len(claimed.accounts), began)
            met.update(account.account_id for account in claimed.accounts)

    async def emit(self, rate: Rate, batches: int) -> None:
        """Claim and enqueue so many batches; then take them out of the queue again."""
        emit = EmitDueRefreshes(
            schedule=self._schedule,
            queue=self._queue,
            claim_batch=self.batch,
            message_batch=self._settings.message_batch,
            trust=PUT_OFF,
            most_batches=batches,
            most_waiting=batches * self.batch,  # nobody takes them out meanwhile
        )
        began = time.perf_counter()
        rate.add(await emit(correlation_id="cor_bench"), began)
        for queue in (SCHEDULED, DEMANDED):
            self._broker.flush(queue)

    async def look(self, costs: LookCosts, times: int) -> None:
        """Look so many times while nothing is to be found, and as often at nothing, in turns."""
        for _ in range(times):
            began = time.perf_counter()
            claimed = await self._schedule.claim_due(limit=self.batch, trust=PUT_OFF, paused=PUT_OFF)
            ended = time.perf_counter()
            await self._database.fetch(_ROUND_TRIP)
            costs.looks.append((ended - began) * 1e6)
            costs.round_trips.append((time.perf_counter() - ended) * 1e6)
            if claimed.looked_at:
                msg = "an account came due while nothing was to be found"
                raise RuntimeError(msg)

    async def claim_the_rest(self) -> int:
        """Claim until nothing is due; returns how many there were."""
        rest = 0
        while True:
            claimed = await self._schedule.claim_due(limit=10 * self.batch, trust=PUT_OFF, paused=PUT_OFF)
            rest += claimed.looked_at
            if not claimed.looked_at:
                return rest


async def claim_bare(connection: "asyncpg.Connection", rate: Rate, batches: int, *, batch: int) -> None:
    """The limit: the same rows locked and put off, with nothing looked up and nothing read of them."""
    for _ in range(batches):
        began = time.perf_counter()
        rate.add(len(await connection.fetch(_BARE, batch)), began)


async def connect_bare(database_url: Secret) -> "asyncpg.Connection":
    """A connection of the driver's own."""
    return await asyncpg.connect(database_url.reveal(), server_settings={"jit": "off"})


def naive_broker(settings: Settings) -> RedisBroker:
    """A broker as dramatiq makes it."""
    return RedisBroker(client=connect_blocking(require_redis(settings)), namespace="naive")  # type: ignore[no-untyped-call]  # dramatiq leaves it untyped
