"""One environment in figures, counted in the database for the console."""

from collections import Counter
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import event_from_row
from tokenkeep.application.environment_figures import (
    AHEAD_STEP,
    AHEAD_STEPS,
    MINUTES,
    EnvironmentFigures,
    RefreshMinute,
    SourceTries,
)
from tokenkeep.application.fleet import AccountGroup
from tokenkeep.domain.account import AccountState, DisabledReason, Health
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import SourceId

_GROUPS = text("""
SELECT source_id, state, health, disabled_reason, count(*) AS accounts
  FROM accounts WHERE environment = :environment GROUP BY 1, 2, 3, 4
""")
_EXPIRED = text("""
SELECT count(*) FROM accounts AS a JOIN credentials AS c ON c.account_id = a.id
 WHERE a.environment = :environment AND a.state = 'active' AND c.expires_at <= statement_timestamp()
""")
# What is overdue is in the span before the first one, as the metrics count it (`fleet`): by more than a minute, at sources that are
# refreshed. Only accounts that are refreshed have a next time.
_SPANS = text("""
SELECT CASE WHEN l.next_refresh_at < statement_timestamp() - interval '1 minute' THEN -1
            ELSE GREATEST(floor(extract(epoch FROM l.next_refresh_at - statement_timestamp()) / :step_s), 0) END::int AS span,
       count(*) AS accounts, statement_timestamp() - min(l.next_refresh_at) AS longest
  FROM leases AS l
 WHERE l.source_id IN (SELECT id FROM sources WHERE environment = :environment AND state = 'active')
   AND l.next_refresh_at < statement_timestamp() + make_interval(secs => :ahead_s)
 GROUP BY 1
""")
_MINUTES = text(f"""
SELECT date_trunc('minute', t.settled_at) AS minute, t.outcome = 'ok' AS succeeded, count(*) AS attempts
  FROM refresh_attempts AS t
 WHERE t.leased_at > statement_timestamp() - interval '{MINUTES + 5} minutes'
   AND t.settled_at >= date_trunc('minute', statement_timestamp()) - interval '{MINUTES - 1} minutes'
   AND t.outcome IN ('ok', 'refused', 'failed', 'in_doubt')
   AND t.source_id IN (SELECT id FROM sources WHERE environment = :environment)
 GROUP BY 1, 2
""")  # noqa: S608 - only our own numbers are put in
_NOW = text("SELECT statement_timestamp()")
_TRIES = text("""
SELECT outcome, reason, count(*) AS attempts FROM refresh_attempts
 WHERE leased_at > statement_timestamp() - make_interval(secs => :back_s)
   AND source_id = :source_id AND outcome IN ('ok', 'refused', 'failed', 'in_doubt')
 GROUP BY 1, 2
""")
_PUT_OFF = text("""
SELECT count(*) FROM leases
 WHERE source_id = :source_id AND next_refresh_at <= statement_timestamp() AND not_before > statement_timestamp()
""")
_RECENT = text("""
SELECT position, subject, sequence, id, subject_kind, environment, type, time, correlation_id, data, traceparent
  FROM events
 WHERE environment = :environment AND (CAST(:before AS bigint) IS NULL OR position < :before)
 ORDER BY position DESC LIMIT :limit
""")


async def count_environment(database: Database, environment: str) -> EnvironmentFigures:
    """Everything at about one moment. Reads all of the environment's accounts: meant for now and then."""
    async with database.reading() as connection:
        counted_at: datetime = (await connection.execute(_NOW)).scalar_one()
        groups = await connection.execute(_GROUPS, {"environment": environment})
        accounts = {
            AccountGroup(
                SourceId(row.source_id),
                AccountState(row.state),
                Health(row.health),
                None if row.disabled_reason is None else DisabledReason(row.disabled_reason),
            ): row.accounts
            for row in groups
        }
        expired = (await connection.execute(_EXPIRED, {"environment": environment})).scalar_one()
        step_s = AHEAD_STEP.total_seconds()
        wanted = {"environment": environment, "step_s": step_s, "ahead_s": step_s * AHEAD_STEPS}
        spans = {row.span: row for row in await connection.execute(_SPANS, wanted)}
        minutes = await _minutes(connection, environment, counted_at)
    late = spans.get(-1)
    return EnvironmentFigures(
        counted_at=counted_at,
        accounts=accounts,
        expired=expired,
        overdue=0 if late is None else late.accounts,
        longest_overdue=timedelta(0) if late is None else late.longest,
        minutes=minutes,
        ahead=[spans[span].accounts if span in spans else 0 for span in range(AHEAD_STEPS)],
    )


async def _minutes(connection: AsyncConnection, environment: str, now: datetime) -> list[RefreshMinute]:
    counts: Counter[tuple[datetime, bool]] = Counter()
    for row in await connection.execute(_MINUTES, {"environment": environment}):
        counts[row.minute, row.succeeded] += row.attempts
    whole = now.replace(second=0, microsecond=0)
    moments = [whole - timedelta(minutes=back) for back in range(MINUTES - 1, -1, -1)]
    return [RefreshMinute(at, counts[at, True], counts[at, False]) for at in moments]


async def tries_of(connection: AsyncConnection, source_id: SourceId, *, back: timedelta) -> SourceTries:
    """How the tries of a source ended that began in this span of time up to now."""
    succeeded, failed = 0, Counter[str]()
    wanted = {"source_id": source_id, "back_s": back.total_seconds()}
    for row in await connection.execute(_TRIES, wanted):
        if row.outcome == "ok":
            succeeded += row.attempts
        else:
            failed[row.reason or row.outcome] += row.attempts
    put_off = (await connection.execute(_PUT_OFF, {"source_id": source_id})).scalar_one()
    return SourceTries(succeeded, dict(failed.most_common()), put_off)


async def recent_events(
    connection: AsyncConnection, environment: str, *, before: int | None, limit: int
) -> list[tuple[int, Event]]:
    """The environment's events, newest first, each with its position; `before` is the one to go on from."""
    wanted = {"environment": environment, "before": before, "limit": limit}
    rows = (await connection.execute(_RECENT, wanted)).mappings()
    return [(row["position"], event_from_row(row)) for row in rows]
