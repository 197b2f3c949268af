"""What every process is made of: database, Redis, metrics, catalogue and the rules it goes by.

The vault is not among them: only the API and the workers open it, in their own `main`.
"""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import redis.asyncio

from tokenkeep.adapters.postgres.engine import Database, create_engine
from tokenkeep.adapters.postgres.instance_keys import PostgresLinkKey
from tokenkeep.adapters.postgres.revisions import head_revision
from tokenkeep.adapters.provider_packages import installed_packages
from tokenkeep.adapters.redis.connection import connect
from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.application.linking import ConnectLinks
from tokenkeep.application.refreshing import RefreshTimes
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import Quarantine
from tokenkeep.providers.catalogue import Catalogue, load_catalogue
from tokenkeep.settings import Settings, require_database, require_redis

if TYPE_CHECKING:  # else a process that does not trace would import OpenTelemetry
    from tokenkeep.adapters.tracing.traces import Traces

_ALLOCATIONS, _YOUNG, _OLD = 50_000, 20, 100
"""Python's own are 700, 10 and 10: with thousands of refreshes under way that is a full collection each second."""


@dataclass(frozen=True, slots=True, repr=False)
class Foundation:
    """The parts that all processes share. Nothing is connected before its first use. `traces` None: nothing is traced.

    `leaving`: the process is to end, and is not ready for anything new.
    """

    settings: Settings
    database: Database
    redis: "redis.asyncio.Redis"
    metrics: Metrics
    catalogue: Catalogue
    policy: RefreshPolicy
    quarantine: Quarantine
    times: RefreshTimes
    links: ConnectLinks
    traces: "Traces | None" = None
    leaving: asyncio.Event = field(default_factory=asyncio.Event)

    def checks(self) -> Mapping[str, Callable[[], Awaitable[object]]]:
        """What `/readyz` asks. Redis is not among it: reads, refreshes and the truth itself do without."""
        return {"database": self.database.ping, "schema": self._schema_is_current}

    async def _schema_is_current(self) -> None:
        async with self.database.reading() as connection:
            result = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
            if result.scalar_one() < head_revision():
                msg = "the database waits for `tokenkeep migrate`"
                raise RuntimeError(msg)

    async def close(self) -> None:
        """Close every connection."""
        await self.redis.aclose()
        await self.database.close()
        if self.traces is not None:
            await self.traces.close()


def lay_foundation(settings: Settings, *, process: str, traces: "Traces | None" = None) -> Foundation:
    """The shared parts for one process, and the traces that it writes, if it does.

    Raises:
        SettingsError: A setting that the process needs is missing or wrong.
        CatalogueError: A provider's file is wrong.
    """
    catalogue = load_catalogue(settings.providers_dir, installed_packages())
    engine = create_engine(
        require_database(settings),
        pool_size=settings.database_pool_size,
        process=f"tokenkeep {process}",
        # The scheduler counts and cleans whole tables; it holds no answers.
        command_timeout_s=60.0 if process == "scheduler" else 10.0,
        trace_parent=None if traces is None else traces.parent_of,
    )
    database = Database(engine)
    deadline = timedelta(seconds=settings.provider_deadline_s)
    return Foundation(
        settings=settings,
        database=database,
        redis=connect(require_redis(settings)),
        metrics=Metrics(process),
        catalogue=catalogue,
        policy=RefreshPolicy(),
        quarantine=Quarantine(strict=timedelta(seconds=settings.quarantine_s), provider_deadline=deadline),
        times=RefreshTimes(
            write_ahead=timedelta(seconds=settings.write_ahead_s),
            provider_deadline=deadline,
            lease=timedelta(seconds=settings.lease_s),
            look=timedelta(seconds=settings.dispatch_timeout_s),
        ),
        links=ConnectLinks(settings.external_url, PostgresLinkKey(database), catalogue),
        traces=traces,
    )


def calm_collector() -> None:
    """Have the cycle collector look less often, and never at what the process is made of.

    Call it once everything is wired. What serves a request is freed when its last reference goes; a collection finds next to
    nothing, and each walks through the whole catalogue: a fifth of a worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.enable()  # a process starts without
    gc.set_threshold(_ALLOCATIONS, _YOUNG, _OLD)


class Stopping(asyncio.Event):
    """The process is to finish what it has begun, and end. `at_once`: nobody is to be waited for who has yet to notice."""

    def __init__(self) -> None:
        super().__init__()
        self.at_once = asyncio.Event()

    def terminate(self) -> None:
        """SIGTERM: what a supervisor sends in a restart. A second one means that it shall not take so long."""
        if self.is_set():
            self.at_once.set()
        self.set()

    def interrupt(self) -> None:
        """SIGINT: somebody at a terminal."""
        self.at_once.set()
        self.set()


def stop_on_signals() -> Stopping:
    """What SIGTERM and SIGINT set."""
    stopping = Stopping()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.terminate)
    loop.add_signal_handler(signal.SIGINT, stopping.interrupt)
    return stopping


def wall_clock() -> datetime:
    """The host's time, for what the world outside compares with its own; between processes only the database's counts."""
    return datetime.now(UTC)


class ProcessClocks:
    """The clocks of this process."""

    def __init__(self, boottime: Callable[[], float]) -> None:
        self._boottime = boottime

    def boottime(self) -> float:
        """Seconds, suspend included."""
        return self._boottime()

    def loop_time(self) -> float:
        """Seconds on the event loop's clock."""
        return asyncio.get_running_loop().time()

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait."""
        return asyncio.sleep(seconds)
