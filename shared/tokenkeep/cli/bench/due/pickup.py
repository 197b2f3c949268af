"""How long an idle worker takes from a hint on the queue until the account's refresh token is about to leave."""

import asyncio
import time
from dataclasses import dataclass
from statistics import median, quantiles

from sqlalchemy import text

from tokenkeep.adapters.redis.connection import connect_blocking
from tokenkeep.adapters.redis.queue import DramatiqRefreshQueue, create_broker
from tokenkeep.cli.bench.accounts import add_accounts, add_source
from tokenkeep.cli.bench.installation import Installation
from tokenkeep.cli.bench.refresh.processes import open_endpoint
from tokenkeep.cli.bench.scenario import Advance
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId
from tokenkeep.settings import require_redis

_PATIENCE_S = 10.0
_LOOK_EVERY_S = 0.02
# By the database's clock, which is this machine's.
_LEFT = text("SELECT extract(epoch FROM sent_at) AS at FROM refresh_attempts WHERE account_id = :account_id")
_LOG_END = text("SELECT pg_current_wal_insert_lsn() - '0/0'")
_OWED = text("UPDATE leases SET next_refresh_at = statement_timestamp()")


@dataclass(frozen=True, slots=True)
class PickUp:
    """Milliseconds from the hint to the moment at which the token is about to leave, and what a refresh writes to the log."""

    p50_ms: float
    p95_ms: float
    wal_bytes_per_refresh: float


async def measure_pickup(installation: Installation, *, samples: int, advance: Advance) -> PickUp:
    """Refresh so many accounts, one at a time, by an idle worker.

    Raises:
        TimeoutError: A hint came to nothing within ten seconds.
    """
    queue = DramatiqRefreshQueue(create_broker(connect_blocking(require_redis(installation.foundation.settings))))
    async with open_endpoint() as endpoint:
        source_id = await add_source(installation, f"{endpoint.url}/rotating")
        accounts = await add_accounts(installation, source_id, samples)
        async with installation.foundation.database.transaction() as connection:
            await connection.execute(_OWED)
        async with installation.process("worker"):
            waits, log_began = [], await _log_end(installation)
            for number, account_id in enumerate(accounts):
                waits.append(await _picked_up(installation, queue, account_id))
                # At any moment of a poll's pause.
                await asyncio.sleep(0.05 * number / len(accounts))
                advance("idle pick-up", number + 1, len(accounts))
            written = await _log_end(installation) - log_began
    return PickUp(median(waits), quantiles(waits, n=20)[18], written / samples)


async def _log_end(installation: Installation) -> int:
    async with installation.foundation.database.reading() as connection:
        return int((await connection.execute(_LOG_END)).scalar_one())


async def _picked_up(installation: Installation, queue: DramatiqRefreshQueue, account_id: AccountId) -> float:
    hinted_at = time.time()
    await queue.enqueue([account_id], trigger=Trigger.SCHEDULE, correlation_id="cor_bench")
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            async with installation.foundation.database.reading() as connection:
                at = (await connection.execute(_LEFT, {"account_id": account_id})).scalar_one_or_none()
            if at is not None:
                return (float(at) - hinted_at) * 1000
