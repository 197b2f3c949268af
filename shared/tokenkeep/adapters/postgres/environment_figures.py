"""One environment in figures, counted in the database for the console."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.event_log import event_from_row
from tokenkeep.application.environment_figures import (
    AHEAD_STEP,
    AHEAD_STEPS,
    ENDPOINT_FAULTS,
    LATEST,
    MINUTES,
    MOST_UNTOLD,
    EndpointTries,
    EnvironmentFigures,
    RefreshMinute,
    SourceTries,
)
from tokenkeep.application.fleet import AccountGroup, Waiting
from tokenkeep.domain.account import AccountState, DisabledReason, Health
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.source import BY_OPERATOR

_GROUPS = text("""
SELECT source_id, state, health, disabled_reason, count(*) AS accounts
  FROM accounts WHERE environment = :environment GROUP BY 1, 2, 3, 4
""")
_SOURCES = text("""
SELECT id, state = 'active' AS is_running, paused_reason FROM sources WHERE environment = :environment
""")
_EXPIRED = text("""
SELECT a.source_id, count(*) AS accounts FROM accounts AS a JOIN credentials AS c ON c.account_id = a.id
 WHERE a.environment = :environment AND a.state = 'active' AND c.expires_at <= statement_timestamp()
 GROUP BY 1
""")
# What is overdue is in the span before the first one, as the metrics count it (`fleet`): by more than a minute, at sources that are
# not paused. Only accounts that are refreshed have a next time.
_SPANS = text("""
SELECT CASE WHEN l.next_refresh_at < statement_timestamp() - interval '1 minute' THEN -1
            ELSE GREATEST(floor(extract(epoch FROM l.next_refresh_at - statement_timestamp()) / :step_s), 0) END::int AS span,
       l.source_id = ANY(CAST(:down AS uuid[])) AS is_down, count(*) AS accounts, statement_timestamp() - min(l.next_refresh_at) AS longest
  FROM leases AS l
 WHERE l.source_id IN (SELECT id FROM sources WHERE environment = :environment AND state = 'active')
   AND l.next_refresh_at < statement_timestamp() + make_interval(secs => :ahead_s)
 GROUP BY 1, 2
""")
# Who could not connect has not sent anything, and yet has tried.
_TRIED = "outcome IN ('ok', 'refused', 'failed', 'in_doubt', 'not_sent') AND (outcome <> 'not_sent' OR reason IN ('network_error', 'timeout'))"
_MINUTES = text(f"""
SELECT date_trunc('minute', t.settled_at) AS minute, t.outcome = 'ok' AS succeeded, count(*) AS attempts
  FROM refresh_attempts AS t
 WHERE t.leased_at > statement_timestamp() - interval '{MINUTES + 5} minutes'
   AND t.settled_at >= date_trunc('minute', statement_timestamp()) - interval '{MINUTES - 1} minutes'
   AND t.{_TRIED}
   AND t.source_id IN (SELECT id FROM sources WHERE environment = :environment)
 GROUP BY 1, 2
""")  # noqa: S608 - only our own numbers are put in
_NOW = text("SELECT statement_timestamp()")
_TRIES = text(f"""
SELECT outcome, reason, count(*) AS attempts FROM refresh_attempts
 WHERE leased_at > statement_timestamp() - make_interval(secs => :back_s)
   AND source_id = :source_id AND {_TRIED}
 GROUP BY 1, 2
""")  # noqa: S608 - only our own words are put in
# A doubt without a reason was left by a worker of ours that died. The same few minutes of the journal are read twice: what fails is
# little, for it is soon not sent any more, and nothing is sorted.
_ENDPOINTS = text(f"""
WITH tries AS NOT MATERIALIZED (
    SELECT source_id, settled_at, coalesce(reason = ANY(CAST(:faults AS text[])), false) AS is_fault
      FROM refresh_attempts
     WHERE leased_at > statement_timestamp() - make_interval(secs => :back_s)
       AND source_id = ANY(CAST(:sources AS uuid[])) AND {_TRIED} AND (outcome = 'ok' OR reason IS NOT NULL)
), answered AS (
    SELECT source_id, max(settled_at) AS at, count(*) AS attempts FROM tries WHERE NOT is_fault GROUP BY 1
)
SELECT f.source_id, count(*) AS failed, count(*) FILTER (WHERE a.at IS NULL OR f.settled_at > a.at) AS in_a_row,
       coalesce(max(a.attempts), 0) AS answered
  FROM tries AS f LEFT JOIN answered AS a ON a.source_id = f.source_id WHERE f.is_fault GROUP BY 1
""")  # noqa: S608 - as above
# Those since the oldest that waits, of any environment: while Redis is away, all of them wait.
_UNTOLD = text("""
WITH latest AS MATERIALIZED (
    SELECT position, time FROM events
     WHERE environment = :environment AND position >= (SELECT min(position) FROM outbox)
     ORDER BY position LIMIT :most
)
SELECT count(*) AS waiting, statement_timestamp() - min(l.time) AS oldest
  FROM latest AS l JOIN outbox AS o ON o.position = l.position
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
    wanted = {"environment": environment}
    async with database.reading() as connection:
        counted_at: datetime = (await connection.execute(_NOW)).scalar_one()
        accounts = {_group(row): row.accounts for row in await connection.execute(_GROUPS, wanted)}
        sources = (await connection.execute(_SOURCES, wanted)).all()
        running = {SourceId(row.id) for row in sources if row.is_running}
        endpoints = await _endpoints(connection, running, back=LATEST)
        down = frozenset(source_id for source_id, tries in endpoints.items() if tries.looks_down)
        expired = {SourceId(row.source_id): row.accounts for row in await connection.execute(_EXPIRED, wanted)}
        step_s = AHEAD_STEP.total_seconds()
        reach = {**wanted, "down": list(down), "step_s": step_s, "ahead_s": step_s * AHEAD_STEPS}
        spans = (await connection.execute(_SPANS, reach)).all()
        minutes = await _minutes(connection, environment, counted_at)
        untold = (await connection.execute(_UNTOLD, {**wanted, "most": MOST_UNTOLD})).one()
    overdue = [row for row in spans if row.span < 0]
    planned = Counter[int]()
    for row in spans:
        planned[row.span] += row.accounts
    return EnvironmentFigures(
        counted_at=counted_at,
        accounts=accounts,
        expired=sum(expired.values()),
        neglected=sum(number for source_id, number in expired.items() if source_id in running - down),
        overdue=planned[-1],
        longest_overdue=max((row.longest for row in overdue), default=timedelta(0)),
        late=sum(row.accounts for row in overdue if not row.is_down),
        stopped=frozenset(
            SourceId(row.id) for row in sources if not row.is_running and row.paused_reason != BY_OPERATOR
        ),
        down=down,
        untold=Waiting(untold.waiting, untold.oldest or timedelta(0)),
        minutes=minutes,
        ahead=[planned[span] for span in range(AHEAD_STEPS)],
    )


def _group(row: Row[Any]) -> AccountGroup:
    return AccountGroup(
        SourceId(row.source_id),
        AccountState(row.state),
        Health(row.health),
        None if row.disabled_reason is None else DisabledReason(row.disabled_reason),
    )


async def _endpoints(
    connection: AsyncConnection, sources: Collection[SourceId], *, back: timedelta
) -> dict[SourceId, EndpointTries]:
    """Of these sources, those whose endpoint has failed, however little."""
    wanted = {"sources": list(sources), "faults": sorted(ENDPOINT_FAULTS), "back_s": back.total_seconds()}
    return {
        SourceId(row.source_id): EndpointTries(row.answered, row.failed, row.in_a_row)
        for row in await connection.execute(_ENDPOINTS, wanted)
    }


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
    endpoint = (await _endpoints(connection, [source_id], back=back)).get(source_id, EndpointTries(answered=succeeded))
    return SourceTries(succeeded, dict(failed.most_common()), put_off, endpoint)


async def recent_events(
    connection: AsyncConnection, environment: str, *, before: int | None, limit: int
) -> list[tuple[int, Event]]:
    """The environment's events, newest first, each with its position; `before` is the one to go on from."""
    wanted = {"environment": environment, "before": before, "limit": limit}
    rows = (await connection.execute(_RECENT, wanted)).mappings()
    return [(row["position"], event_from_row(row)) for row in rows]
