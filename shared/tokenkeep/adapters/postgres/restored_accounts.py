"""The accounts that a restored database would refresh."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.application.set_apart_spent import RestoredAccount
from tokenkeep.domain.ids import AccountId, SourceId

_PAGE = text("""
SELECT a.id, a.source_id, a.environment, c.generation, l.next_refresh_at
  FROM accounts AS a JOIN credentials AS c ON c.account_id = a.id JOIN leases AS l ON l.account_id = a.id
 WHERE a.state = 'active' AND a.custody = 'held' AND c.refresh_ciphertext IS NOT NULL
   AND (CAST(:after AS uuid) IS NULL OR a.id > :after)
 ORDER BY a.id LIMIT :limit
""")


class PostgresRestoredAccounts:
    """A `RestoredAccounts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, after: UUID | None, *, limit: int) -> Sequence[RestoredAccount]:
        """The next accounts behind this id."""
        async with self._database.reading() as connection:
            found = await connection.execute(_PAGE, {"after": after, "limit": limit})
            return [
                RestoredAccount(
                    AccountId(row.id), SourceId(row.source_id), row.environment, row.generation, row.next_refresh_at
                )
                for row in found
            ]
