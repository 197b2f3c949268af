"""The fleet in figures, counted in the database for the metrics."""

from datetime import timedelta

from sqlalchemy import text

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.application.fleet import AccountGroup, FleetFigures
from tokenkeep.domain.account import AccountState, DisabledReason, Health
from tokenkeep.domain.ids import SourceId

_GROUPS = text("""
SELECT source_id, state, health, disabled_reason, count(*) AS accounts FROM accounts GROUP BY 1, 2, 3, 4
""")
_EXPIRED = text("""
SELECT a.provider, count(*) FILTER (WHERE a.state = 'active' AND c.expires_at <= statement_timestamp()) AS expired
  FROM accounts AS a JOIN credentials AS c ON c.account_id = a.id GROUP BY a.provider
""")
_DUE = text("""
SELECT count(*) FROM leases
 WHERE due_at <= statement_timestamp() AND phase = 'idle' AND next_refresh_at IS NOT NULL
""")
_PAUSED = text("SELECT id, paused_reason FROM sources WHERE state = 'paused'")
_OUTBOX = text("""
SELECT (SELECT count(*) FROM outbox) AS pending,
       (SELECT clock_timestamp() - e.time FROM outbox AS o
          JOIN events AS e ON e.subject = o.subject AND e.sequence = o.sequence
         ORDER BY o.position LIMIT 1) AS lag
""")


async def count_fleet(database: Database) -> FleetFigures:
    """Everything at about one moment. Reads whole tables: meant for now and then, not for every scrape."""
    async with database.reading() as connection:
        groups = await connection.execute(_GROUPS)
        accounts = {
            AccountGroup(
                SourceId(row.source_id),
                AccountState(row.state),
                Health(row.health),
                None if row.disabled_reason is None else DisabledReason(row.disabled_reason),
            ): row.accounts
            for row in groups
        }
        expired = {row.provider: row.expired for row in await connection.execute(_EXPIRED)}
        due = (await connection.execute(_DUE)).scalar_one()
        paused = {SourceId(row.id): row.paused_reason for row in await connection.execute(_PAUSED)}
        outbox = (await connection.execute(_OUTBOX)).one()
    return FleetFigures(accounts, expired, due, paused, outbox.pending, outbox.lag or timedelta(0))
