"""Credentials that were handed back: for how long they can be fetched again, and how they are erased."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.erasure import erase_credentials
from tokenkeep.adapters.postgres.schema import ReleaseRow
from tokenkeep.domain.handover import Release
from tokenkeep.domain.ids import AccountId

_IDS = "CAST(:ids AS uuid[])"
_FORGET_REVOCATIONS = text(f"DELETE FROM revocation_requests WHERE account_id = ANY({_IDS})")  # noqa: S608 - only our own expression is put in
_ERASED = text(f"""
UPDATE releases SET erased_at = clock_timestamp() WHERE account_id = ANY({_IDS}) RETURNING erased_at
""")  # noqa: S608 - as above
_HANDED_OUT = text("UPDATE releases SET generation = :generation WHERE account_id = :id AND generation <> :generation")
_LOCK_OVERDUE = text("""
SELECT l.account_id FROM releases AS r JOIN leases AS l ON l.account_id = r.account_id
 WHERE r.erased_at IS NULL AND r.confirm_before < clock_timestamp()
 ORDER BY l.account_id LIMIT :limit FOR UPDATE OF l SKIP LOCKED
""")
# A statement of its own: it sees what was committed just before the locks were had, a new authorisation say.
_STILL_OVERDUE = text(f"""
SELECT account_id FROM releases
 WHERE account_id = ANY({_IDS}) AND erased_at IS NULL AND confirm_before < clock_timestamp()
""")  # noqa: S608 - as above


class PostgresReleases:
    """Releases over one connection; the caller holds the account's lock, and commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, account_id: AccountId, release: Release) -> None:
        """Note that the account's credentials are handed back."""
        await self._connection.execute(
            insert(ReleaseRow),
            {
                "account_id": account_id,
                "released_at": release.released_at,
                "confirm_before": release.confirm_before,
                "erased_at": release.erased_at,
                "in_doubt": release.in_doubt,
                "generation": release.generation,
            },
        )

    async def handed_out(self, account_id: AccountId, generation: int) -> None:
        """Note which credentials the owner was given last."""
        await self._connection.execute(_HANDED_OUT, {"id": account_id, "generation": generation})

    async def erase(self, account_id: AccountId) -> datetime:
        """Delete the account's credentials and all that was derived from them; returns when."""
        return await _erase(self._connection, [account_id])


async def erase_overdue(database: Database, *, limit: int) -> int:
    """Erase credentials that were handed back and whose owners had their time to confirm it; returns how many."""
    async with database.transaction() as connection:
        locked = [row.account_id for row in await connection.execute(_LOCK_OVERDUE, {"limit": limit})]
        ids = [row.account_id for row in await connection.execute(_STILL_OVERDUE, {"ids": locked})]
        if ids:
            await _erase(connection, ids)
    return len(ids)


async def _erase(connection: AsyncConnection, account_ids: Collection[AccountId]) -> datetime:
    parameters = {"ids": list(account_ids)}
    await erase_credentials(connection, account_ids)
    await connection.execute(_FORGET_REVOCATIONS, parameters)
    moments = (await connection.execute(_ERASED, parameters)).scalars().all()
    latest: datetime = max(moments)
    return latest
