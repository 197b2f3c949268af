"""The scheduler's view of sources: who is tried next, and whose accounts are to be woken.

Who holds a source's row waits for no account: leases that are locked are skipped.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import bindparam, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.schema import SourceRow
from tokenkeep.adapters.postgres.sources import source_from
from tokenkeep.application.refreshing import Waking
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.source import BY_OPERATOR, MASS_REVOCATION, ROLLBACK, Source, SourceState

_NOW = text("SELECT clock_timestamp()")
_PROBE_DUE = (
    select(SourceRow.__table__)
    .where(
        SourceRow.probe_at <= func.statement_timestamp(),
        or_(
            SourceRow.state == SourceState.ACTIVE.value,
            SourceRow.paused_reason.not_in([BY_OPERATOR, MASS_REVOCATION, ROLLBACK]),
        ),
    )
    .order_by(SourceRow.probe_at)
    .limit(1)
    .with_for_update(key_share=True, skip_locked=True)
)
# The accounts are found by their index on the source, and only some are looked at. One that is in doubt is tried only when
# it is due itself: with strict providers an early try may cost the grant. The demand makes the account due for its worker
# too; next_refresh_at is left to what is settled.
_TRY_ONE = text("""
WITH sample AS MATERIALIZED (
    SELECT l.account_id, l.doubts > 0 AS in_doubt, l.next_refresh_at
      FROM accounts AS a JOIN leases AS l ON l.account_id = a.id
     WHERE a.source_id = :source_id AND l.phase = 'idle' AND l.next_refresh_at IS NOT NULL
       AND (l.not_before IS NULL OR l.not_before <= statement_timestamp())
       AND (l.doubts = 0 OR l.next_refresh_at <= statement_timestamp())
     ORDER BY a.id LIMIT 200
), chosen AS MATERIALIZED (
    SELECT l.account_id FROM sample AS s JOIN leases AS l ON l.account_id = s.account_id
     WHERE l.phase = 'idle' AND l.next_refresh_at IS NOT NULL
     ORDER BY s.in_doubt, s.account_id IS NOT DISTINCT FROM CAST(:last AS uuid), s.next_refresh_at
     LIMIT 1 FOR UPDATE OF l SKIP LOCKED
)
UPDATE leases AS l
   SET due_at = statement_timestamp(),
       demanded_at = CASE WHEN l.next_refresh_at <= statement_timestamp() THEN l.demanded_at
                          ELSE statement_timestamp() END
  FROM chosen WHERE l.account_id = chosen.account_id
RETURNING l.account_id
""")
_SAVE = (
    update(SourceRow)
    .where(SourceRow.id == bindparam("source"))
    .values(probe_account_id=bindparam("account"), probe_at=bindparam("at"), probes=bindparam("picks"))
)
_WAKING = text(
    "SELECT id, updated_at FROM sources WHERE waking AND state = 'active' AND NOT proving ORDER BY id LIMIT 100"
)
# Put aside were accounts that are owed a refresh, by their time or by a demand. A row that is locked is being worked on.
_WAKE = text("""
WITH looked_at AS MATERIALIZED (
    SELECT id FROM accounts
     WHERE source_id = :source_id AND id > CAST(:after AS uuid) ORDER BY id LIMIT :limit
), aside AS MATERIALIZED (
    SELECT l.account_id, w.look_at
      FROM looked_at JOIN leases AS l ON l.account_id = looked_at.id,
           LATERAL (SELECT CASE WHEN l.demanded_at > l.obtained_at THEN statement_timestamp()
                                ELSE GREATEST(l.next_refresh_at, statement_timestamp()) END AS look_at) AS w
     WHERE l.phase = 'idle' AND l.next_refresh_at IS NOT NULL AND l.due_at > GREATEST(w.look_at, l.not_before)
       FOR UPDATE OF l SKIP LOCKED
), woken AS (
    UPDATE leases AS l SET due_at = GREATEST(aside.look_at, l.not_before)
      FROM aside WHERE l.account_id = aside.account_id
    RETURNING 1
)
SELECT (SELECT id FROM looked_at ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM woken) AS woken
""")
_WOKEN = text("UPDATE sources SET waking = false WHERE id = :source_id AND updated_at = :resumed_at")


class PostgresTending:
    """Picks over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def due(self) -> tuple[Source, datetime] | None:
        """A source of which an account is to be picked, under a row lock, and the time; None when there is none free."""
        row = (await self._connection.execute(_PROBE_DUE)).first()
        if row is None:
            return None
        now: datetime = (await self._connection.execute(_NOW)).scalar_one()
        return source_from(row), now

    async def try_one(self, source: Source) -> AccountId | None:
        """Make one account of the source due, another one than the last if there is one; None when none can be tried."""
        parameters = {"source_id": source.id, "last": source.probe_account_id}
        found = (await self._connection.execute(_TRY_ONE, parameters)).scalar_one_or_none()
        return None if found is None else AccountId(found)

    async def save(self, source: Source) -> None:
        """Write which account is tried, and when the next one is."""
        values = {
            "source": source.id,
            "account": source.probe_account_id,
            "at": source.probe_at,
            "picks": source.probes,
        }
        await self._connection.execute(_SAVE, values)


class PostgresTendings:
    """Opens transactions for picks, and wakes accounts in transactions of their own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[PostgresTending]:
        """One transaction, committed at the end of the block."""
        async with self._database.transaction() as connection:
            yield PostgresTending(connection)

    async def waking(self) -> Sequence[Waking]:
        """Sources that go on again, and whose accounts are still put aside."""
        async with self._database.reading() as connection:
            return [Waking(SourceId(row.id), row.updated_at) for row in await connection.execute(_WAKING)]

    async def wake(self, source_id: SourceId, *, after: AccountId, limit: int) -> tuple[AccountId | None, int]:
        """Let schedulers look at once at those of the next accounts that were put aside.

        Returns the last account that was looked at, None when there is none after `after`, and how many were woken.
        """
        parameters = {"source_id": source_id, "after": after, "limit": limit}
        async with self._database.transaction() as connection:
            row = (await connection.execute(_WAKE, parameters)).one()
        return None if row.last is None else AccountId(row.last), row.woken

    async def woken(self, waking: Waking) -> None:
        """All accounts were looked at; unless the source was changed meanwhile, that was it."""
        parameters = {"source_id": waking.source_id, "resumed_at": waking.updated_at}
        async with self._database.transaction() as connection:
            await connection.execute(_WOKEN, parameters)
