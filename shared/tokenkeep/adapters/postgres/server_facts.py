"""What PostgreSQL says of itself, asked as one of our processes would be answered."""

import ipaddress
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from tokenkeep.adapters.postgres.address import DatabaseAddress
from tokenkeep.adapters.postgres.engine import CONNECTION_SETTINGS
from tokenkeep.adapters.postgres.schema import Base
from tokenkeep.application.checkup.clocks import ClockReading
from tokenkeep.application.checkup.keyring import KeysInUse
from tokenkeep.application.checkup.postgres import PostgresFacts

PROCESS: Final = "tokenkeep doctor"
_STATEMENT_S: Final = 5.0
_CLOCK_LOOKS: Final = 5
_RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
_SETTINGS: Final = (
    "transaction_read_only",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "autovacuum",
    "track_counts",
    "TimeZone",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
)
_SAMPLE_ROWS: Final = 100_000
"""Tables of up to so many rows, as the planner has it, are read whole; of larger ones about so many rows."""
_SEALED: Final = tuple(name for name, table in Base.metadata.tables.items() if "key_id" in table.c)

_FACTS = """
SELECT current_setting('server_version_num')::int AS version_num, current_setting('server_version') AS version,
       COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted,
       host(inet_server_addr()) AS server_address, host(inet_client_addr()) AS client_address,
       pg_is_in_recovery() AS in_recovery,
       pg_encoding_to_char(d.encoding) AS encoding, age(d.datfrozenxid) AS frozen_age,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,
       d.datconnlimit AS database_limit, r.rolconnlimit AS role_limit,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) AS used,
       (SELECT count(*) FROM pg_stat_activity
         WHERE datname = d.datname AND backend_type = 'client backend' AND pid <> pg_backend_pid()) AS used_of_database,
       (SELECT count(*) FROM pg_stat_activity WHERE usename = r.rolname AND pid <> pg_backend_pid()) AS used_of_role,
       COALESCE((SELECT extract(epoch FROM clock_timestamp() - min(xact_start)) FROM pg_stat_activity
                  WHERE datname = d.datname AND pid <> pg_backend_pid()), 0)::float8 AS oldest_s,
       to_regclass('alembic_version') IS NOT NULL AS has_schema
  FROM pg_database AS d, pg_roles AS r
 WHERE d.datname = current_database() AND r.rolname = current_user
"""
_MISSING = """
SELECT t.name, w.privilege FROM unnest($1::text[]) AS t(name), unnest($2::text[]) AS w(privilege)
 WHERE to_regclass(t.name) IS NOT NULL AND NOT has_table_privilege(to_regclass(t.name), w.privilege)
"""
_SIZE = "SELECT reltuples::float8 FROM pg_class WHERE oid = to_regclass($1)"


class PostgresServer:
    """One connection to the server, for one check after the other. A statement takes five seconds at most."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", *, encrypted: bool) -> None:
        self._connection = connection
        self._encrypted = encrypted

    @classmethod
    async def connect(cls, address: DatabaseAddress) -> "PostgresServer":
        """Raises what `DatabaseAddress.connect` raises."""
        connection = await address.connect(
            process=PROCESS, server_settings=CONNECTION_SETTINGS, command_timeout=_STATEMENT_S
        )
        # By our own end: a proxy may take TLS off before the server, which then knows of none.
        transport: Any = connection._transport  # noqa: SLF001 - asyncpg tells it nowhere else
        return cls(connection, encrypted=transport.get_extra_info("ssl_object") is not None)

    async def facts(self) -> PostgresFacts:
        """What the server says of itself.

        Raises:
            asyncpg.PostgresError: It refuses to say.
            TimeoutError: It does not answer in time.
        """
        row = await self._connection.fetchrow(_FACTS)
        assert row is not None  # noqa: S101 - we are in some database, as somebody
        settings = {name: await self._connection.fetchval("SELECT current_setting($1)", name) for name in _SETTINGS}
        return PostgresFacts(
            version_num=row["version_num"],
            version=row["version"].partition(" ")[0],
            encrypted=self._encrypted,
            local=_stays_here(row["server_address"], row["client_address"]),
            clock=[await self._clock() for _ in range(_CLOCK_LOOKS)],
            revision=await self._revision() if row["has_schema"] else None,
            in_recovery=row["in_recovery"],
            settings=settings,
            encoding=row["encoding"],
            available=_available(row),
            missing=await self._missing(),
            backends=[await self._connection.fetchval("SELECT pg_backend_pid()") for _ in range(_CLOCK_LOOKS)],
            oldest_s=row["oldest_s"],
            frozen_age=row["frozen_age"],
        )

    async def keys_in_use(self) -> dict[str, KeysInUse | None]:
        """The ids of keys that rows name, by table; None of a table that could not be read in time."""
        return {name: await self._keys_of(name) for name in _SEALED}

    async def close(self) -> None:
        """Close the connection, within seconds."""
        await self._connection.close(timeout=2)

    async def _keys_of(self, table: str) -> KeysInUse | None:
        try:
            rows = await self._connection.fetchval(_SIZE, table)
            if rows is None:
                return KeysInUse(frozenset(), whole=True)
            # Of a table that was never analysed the planner knows nothing, and says -1.
            share = min(100.0, 100.0 * _SAMPLE_ROWS / rows) if rows > 0 else 100.0
            sample = "" if share >= 100.0 else f" TABLESAMPLE SYSTEM ({share:.4f})"  # noqa: PLR2004 - percent
            found = await self._connection.fetch(
                f"SELECT DISTINCT key_id FROM {table}{sample} WHERE key_id IS NOT NULL"  # noqa: S608 - our own names
            )
        except (asyncpg.PostgresError, TimeoutError):
            return None
        return KeysInUse(frozenset(one["key_id"] for one in found), whole=not sample)

    async def _clock(self) -> ClockReading:
        before = time.time()
        told: float = await self._connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        return ClockReading(before, told, time.time())

    async def _revision(self) -> str | None:
        try:
            revision: str | None = await self._connection.fetchval("SELECT version_num FROM alembic_version")
        except asyncpg.InsufficientPrivilegeError:
            return None
        return revision

    async def _missing(self) -> Mapping[str, Sequence[str]]:
        missing: dict[str, list[str]] = {}
        for row in await self._connection.fetch(_MISSING, list(Base.metadata.tables), list(_RIGHTS)):
            missing.setdefault(row["name"], []).append(row["privilege"])
        return missing


def _available(row: Any) -> int:
    """The connections that are left: to the server, to the database, to the role."""
    limits = (
        (row["most"], row["used"]),
        (row["database_limit"], row["used_of_database"]),
        (row["role_limit"], row["used_of_role"]),
    )
    return int(min(most - used for most, used in limits if most >= 0))


def _stays_here(server: str | None, client: str | None) -> bool:
    if server is None or client is None:
        return True  # a Unix socket
    return server == client or ipaddress.ip_address(client).is_loopback
