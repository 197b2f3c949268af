"""What a machine has spent so far, by kind of process, and what its stores have done."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from tokenkeep.cli.bench.installation import Installation
from tokenkeep.cli.bench.refresh.processes import Endpoint

_POSTMASTER = text("SELECT pg_backend_pid()")
_STORED = text("""
SELECT CAST(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS bigint) AS wal_bytes,
       (SELECT CAST(sum(fsyncs) AS bigint) FROM pg_stat_io WHERE object = 'wal') AS wal_syncs,
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS commits
""")
_KEPT = text("""
SELECT pg_total_relation_size('refresh_attempts') + pg_total_relation_size('events') AS size,
       (SELECT count(*) FROM refresh_attempts) AS attempts
""")
_CONNECTIONS = text("""
SELECT application_name, count(*) AS connections FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY application_name
""")


@dataclass(frozen=True, slots=True)
class Stored:
    """What the stores have done so far."""

    wal_bytes: int
    wal_syncs: int
    commits: int
    redis_commands: int
    redis_bytes: int

    def since(self, former: "Stored") -> "Stored":
        """What they have done since then."""
        return Stored(
            self.wal_bytes - former.wal_bytes,
            self.wal_syncs - former.wal_syncs,
            self.commits - former.commits,
            self.redis_commands - former.redis_commands,
            self.redis_bytes - former.redis_bytes,
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What the journal and the events take in bytes, with their indexes, and how many attempts there are."""

    size: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of processor, by kind of process, and of the whole machine, whoever used them; and when that was."""

    cpu_s: Mapping[str, float]
    machine_s: float
    at: float

    def since(self, former: "Spent") -> "Spent":
        """What was spent since then; `at` becomes how many seconds ago that is."""
        used = {kind: spent - former.cpu_s[kind] for kind, spent in self.cpu_s.items()}
        return Spent(used, self.machine_s - former.machine_s, self.at - former.at)


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads an installation on this machine, whose PostgreSQL and Valkey are these processes."""

    installation: Installation
    postgres_pid: int
    valkey_pid: int

    @classmethod
    async def of(cls, installation: Installation) -> "Meter":
        """The meter of an installation: it asks the stores who they are."""
        async with installation.foundation.database.reading() as connection:
            own: int = (await connection.execute(_POSTMASTER)).scalar_one()
        server = await _info(installation)
        return cls(installation, psutil.Process(own).ppid(), int(server["process_id"]))

    async def spent(self, processes: Mapping[str, Sequence[int]], endpoint: Endpoint) -> Spent:
        """What has been spent by the stores, the endpoint and these processes, whose ids stand by their kind."""
        cpu_s = {kind: sum(_cpu_s(psutil.Process(pid)) for pid in pids) for kind, pids in processes.items()}
        postmaster = psutil.Process(self.postgres_pid)
        ended = postmaster.cpu_times()
        cpu_s["postgres"] = sum(_living_cpu_s(one) for one in (postmaster, *postmaster.children()))
        cpu_s["postgres"] += float(ended.children_user + ended.children_system)
        cpu_s["valkey"] = _cpu_s(psutil.Process(self.valkey_pid))
        cpu_s["endpoint"] = float((await endpoint.control())["cpu_s"])
        times = psutil.cpu_times()
        return Spent(cpu_s, sum(times) - times.idle - getattr(times, "iowait", 0.0), time.monotonic())

    async def stored(self) -> Stored:
        """What the stores have done. PostgreSQL tells of a connection's last second only once that is closed."""
        async with self.installation.foundation.database.reading() as connection:
            row = (await connection.execute(_STORED)).one()
        server = await _info(self.installation)
        return Stored(
            **row._mapping,  # noqa: SLF001 - SQLAlchemy's public name for it
            redis_commands=int(server["total_commands_processed"]),
            redis_bytes=int(server["total_net_input_bytes"]) + int(server["total_net_output_bytes"]),
        )

    async def kept(self) -> Kept:
        """What refreshes have left behind."""
        async with self.installation.foundation.database.reading() as connection:
            row = (await connection.execute(_KEPT)).one()
        return Kept(row.size, row.attempts)

    async def connections(self) -> dict[str, int]:
        """How many are open now: to PostgreSQL by the name that they give themselves, and to Valkey as `redis`."""
        async with self.installation.foundation.database.reading() as connection:
            rows = await connection.execute(_CONNECTIONS)
            held = {str(row.application_name).removeprefix("tokenkeep "): int(row.connections) for row in rows}
        return held | {"redis": int((await _info(self.installation))["connected_clients"])}


async def _info(installation: Installation) -> dict[str, Any]:
    return await installation.foundation.redis.info("all")


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _living_cpu_s(process: psutil.Process) -> float:
    """The same of one of PostgreSQL's, which have one thread each and spend little: to the nanosecond where Linux tells it.

    One that has ended meanwhile has spent nothing here: its parent has it.
    """
    try:
        scheduled = Path(f"/proc/{process.pid}/schedstat")
        return int(scheduled.read_text(encoding="ascii").split()[0]) / 1e9 if scheduled.exists() else _cpu_s(process)
    except (psutil.NoSuchProcess, OSError):
        return 0.0
