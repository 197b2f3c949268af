"""What processes tell of the keys that they hold."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.application.key_rotation import HolderReport
from tokenkeep.domain.key_removal import GONE_AFTER, KeyringHolder

# By the database's clock: those of the hosts need not agree.
_TELL: Final = text("""
INSERT INTO keyring_holders AS h (id, process, host, pid, spool, key_ids, spooled_keys)
VALUES (:id, :process, :host, :pid, :spool, :key_ids, :spooled_keys)
ON CONFLICT (id) DO UPDATE
   SET key_ids = EXCLUDED.key_ids, spooled_keys = EXCLUDED.spooled_keys, seen_at = clock_timestamp(),
       current_since = CASE WHEN h.key_ids[1] = EXCLUDED.key_ids[1] THEN h.current_since ELSE clock_timestamp() END
RETURNING xmax = 0 AS first
""")
# Whoever tells for the first time looks after the same spool from now on; without one, nothing is left of who went silent.
_CLEAR: Final = text("""
DELETE FROM keyring_holders
 WHERE id <> :id AND seen_at < clock_timestamp() - CAST(:gone_after AS interval)
   AND (spool IS NULL OR (host = :host AND spool = :spool))
""")
_WITHDRAW: Final = text("DELETE FROM keyring_holders WHERE id = :id RETURNING 1")
_ALL: Final = text("""
SELECT id, process, host, pid, spool, key_ids, spooled_keys, current_since, seen_at
  FROM keyring_holders ORDER BY process, host, pid, id
""")
_NOW: Final = text("SELECT clock_timestamp()")
# As `lay_foundation` names the sessions. The scheduler has no keyring.
_CONNECTED: Final = text("""
SELECT DISTINCT substr(application_name, length('tokenkeep ') + 1) AS process
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name IN ('tokenkeep api', 'tokenkeep worker')
""")


class PostgresKeyringHolders:
    """A `KeyringHolders`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tell(self, holder: HolderReport) -> None:
        """Write down what a process tells of itself."""
        told = {
            "id": holder.id,
            "process": holder.process,
            "host": holder.host,
            "pid": holder.pid,
            "spool": holder.spool,
            "key_ids": list(holder.key_ids),
            "spooled_keys": sorted(holder.spooled_keys),
        }
        async with self._database.transaction() as connection:
            if (await connection.execute(_TELL, told)).scalar_one():
                mine = {"id": holder.id, "host": holder.host, "spool": holder.spool, "gone_after": GONE_AFTER}
                await connection.execute(_CLEAR, mine)

    async def withdraw(self, holder_id: UUID) -> bool:
        """Take a process away, which has ended; False when it is not there."""
        async with self._database.transaction() as connection:
            return (await connection.execute(_WITHDRAW, {"id": holder_id})).first() is not None

    async def all(self) -> tuple[datetime, Sequence[KeyringHolder]]:
        """Everyone who has told, and the time by the database."""
        async with self._database.snapshot() as connection:
            holders = await holders_in(connection)
            now: datetime = (await connection.execute(_NOW)).scalar_one()
        return now, holders

    async def connected(self) -> frozenset[str]:
        """The kinds of processes that wrap and have a session here, whether they tell or not."""
        async with self._database.reading() as connection:
            return await connected_in(connection)


async def connected_in(connection: AsyncConnection) -> frozenset[str]:
    """The kinds of processes that wrap and have a session at this database."""
    return frozenset(row.process for row in await connection.execute(_CONNECTED))


async def holders_in(connection: AsyncConnection) -> Sequence[KeyringHolder]:
    """Everyone who has told."""
    return [
        KeyringHolder(
            id=row.id,
            process=row.process,
            host=row.host,
            pid=row.pid,
            spool=row.spool,
            key_ids=tuple(row.key_ids),
            spooled_keys=frozenset(row.spooled_keys),
            current_since=row.current_since,
            seen_at=row.seen_at,
        )
        for row in await connection.execute(_ALL)
    ]
