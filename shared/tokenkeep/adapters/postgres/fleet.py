"""The fleet in figures, counted in the database for the metrics."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.application.fleet import AccountGroup, FleetFigures, RunningSource, Waiting, WebhookCondition
from tokenkeep.domain.account import AccountState, DisabledReason, Health
from tokenkeep.domain.ids import SourceId, WebhookId

Key = TypeVar("Key")

_MOST_FAILING = 100
"""How many failing webhooks are told one by one."""

_GROUPS = text("""
SELECT source_id, state, health, disabled_reason, count(*) AS accounts FROM accounts GROUP BY 1, 2, 3, 4
""")
_EXPIRED = text("""
SELECT g.*, s.state = 'active' AS running
  FROM (SELECT a.source_id, a.provider, c.key_id, count(*) AS accounts,
               count(*) FILTER (WHERE a.state = 'active' AND c.expires_at <= statement_timestamp()) AS expired
          FROM accounts AS a JOIN credentials AS c ON c.account_id = a.id GROUP BY a.source_id, a.provider, c.key_id) AS g
  JOIN sources AS s ON s.id = g.source_id
""")
# Who is disabled owes nothing, and nobody looks into his doubt any more. While a source is paused, nobody is refreshed or asked about.
_OWED = text("""
SELECT s.provider,
       count(*) FILTER (WHERE l.due_at <= statement_timestamp() AND l.phase = 'idle' AND l.next_refresh_at IS NOT NULL) AS due,
       count(*) FILTER (WHERE late.is_so) AS overdue,
       max(statement_timestamp() - l.next_refresh_at) FILTER (WHERE late.is_so) AS overdue_for,
       count(*) FILTER (WHERE doubt.is_open) AS in_doubt,
       max(statement_timestamp() - l.doubt_since) FILTER (WHERE doubt.is_open AND s.state = 'active') AS in_doubt_for
  FROM leases AS l JOIN sources AS s ON s.id = l.source_id,
       LATERAL (SELECT s.state = 'active' AND l.next_refresh_at < statement_timestamp() - interval '1 minute' AS is_so) AS late,
       LATERAL (SELECT l.doubt_since IS NOT NULL AND (l.phase <> 'idle' OR l.next_refresh_at IS NOT NULL) AS is_open) AS doubt
 GROUP BY s.provider
""")
_PAUSED = text("SELECT id, paused_reason FROM sources WHERE state = 'paused'")
_OUTBOX = text("""
SELECT (SELECT count(*) FROM outbox) AS waiting,
       (SELECT clock_timestamp() - e.time FROM outbox AS o
          JOIN events AS e ON e.subject = o.subject AND e.sequence = o.sequence
         ORDER BY o.position LIMIT 1) AS oldest
""")
_INBOX = text("""
SELECT count(*) AS waiting, statement_timestamp() - min(received_at) AS oldest FROM inbox_events WHERE outcome IS NULL
""")
_REVOCATIONS = text("""
SELECT count(*) AS waiting, statement_timestamp() - min(created_at) AS oldest FROM revocation_requests
""")
_WEBHOOKS = text("""
SELECT CASE WHEN w.disabled_reason IS NOT NULL THEN 'disabled'
            WHEN l.failing_since IS NOT NULL THEN 'failing' ELSE 'delivering' END AS condition, count(*) AS webhooks
  FROM webhooks AS w JOIN webhook_lanes AS l ON l.webhook_id = w.id GROUP BY 1
""")
_FAILING = text("""
SELECT w.id, statement_timestamp() - l.failing_since AS failing_for
  FROM webhooks AS w JOIN webhook_lanes AS l ON l.webhook_id = w.id
 WHERE w.disabled_reason IS NULL AND l.failing_since IS NOT NULL ORDER BY l.failing_since LIMIT :most
""")
_DELIVERIES = text("SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'")
# The cursor rests while there are no webhooks; what nobody has listened to is given to nobody.
_FEED_LAG = text("""
SELECT statement_timestamp() - e.time AS lag FROM events AS e
 WHERE e.position > (SELECT GREATEST(c.position, w.heard_from)
                       FROM webhook_cursor AS c,
                            (SELECT min(heard_from) AS heard_from FROM webhooks WHERE disabled_reason IS NULL) AS w
                      WHERE w.heard_from IS NOT NULL)
 ORDER BY e.position LIMIT 1
""")


async def count_fleet(database: Database) -> FleetFigures:
    """Everything at about one moment. Reads whole tables: meant for now and then, not for every scrape."""
    async with database.reading() as connection:
        accounts = {_group(row): row.accounts for row in await connection.execute(_GROUPS)}
        credentials = (await connection.execute(_EXPIRED)).all()
        owed = (await connection.execute(_OWED)).all()
        lag = (await connection.execute(_FEED_LAG)).scalar_one_or_none()
        webhooks = {WebhookCondition(row.condition): row.webhooks for row in await connection.execute(_WEBHOOKS)}
        failing = await connection.execute(_FAILING, {"most": _MOST_FAILING})
        return FleetFigures(
            accounts=accounts,
            expired=_sums((row.provider, row.expired) for row in credentials),
            neglected=_sums(
                (RunningSource(SourceId(row.source_id), row.provider), row.expired)
                for row in credentials
                if row.running and row.expired
            ),
            due=sum(row.due for row in owed),
            overdue={row.provider: Waiting(row.overdue, row.overdue_for or timedelta(0)) for row in owed},
            in_doubt={row.provider: Waiting(row.in_doubt, row.in_doubt_for or timedelta(0)) for row in owed},
            sealed=_sums((row.key_id, row.accounts) for row in credentials),
            paused={SourceId(row.id): row.paused_reason for row in await connection.execute(_PAUSED)},
            outbox=await _waiting(connection, _OUTBOX),
            inbox=await _waiting(connection, _INBOX),
            revocations=await _waiting(connection, _REVOCATIONS),
            webhooks={condition: webhooks.get(condition, 0) for condition in WebhookCondition},
            failing={WebhookId(row.id): row.failing_for for row in failing},
            deliveries=(await connection.execute(_DELIVERIES)).scalar_one(),
            feed_lag=lag or timedelta(0),
        )


def _group(row: Row[Any]) -> AccountGroup:
    return AccountGroup(
        SourceId(row.source_id),
        AccountState(row.state),
        Health(row.health),
        None if row.disabled_reason is None else DisabledReason(row.disabled_reason),
    )


def _sums(pairs: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    sums: dict[Key, int] = {}
    for name, count in pairs:
        sums[name] = sums.get(name, 0) + count
    return sums


async def _waiting(connection: AsyncConnection, statement: Any) -> Waiting:
    row = (await connection.execute(statement)).one()
    return Waiting(row.waiting, row.oldest or timedelta(0))
