"""What is deleted when its time is over."""

from collections.abc import Awaitable, Callable
from functools import partial

from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from tokenkeep.adapters.postgres.deletion import BATCH, Deletion, batch, oldest_first
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.releases import erase_overdue

HISTORY_DAYS = 30
_INBOX_DAYS = 7
_RETRIED_DAYS = 30
_NOTICE_DAYS = 30
_ERASED_AT_ONCE = 500
_MOST_ERASURES = 1_000
_AWAY = (OperationalError, InterfaceError, OSError)
_END_OF_HISTORY = "statement_timestamp() - make_interval(days => :history_days)"

# An event that Redis has not got yet is kept, however old, and those behind it go. The floors tell readers of the feed what they
# can't have any more. Positions follow the times, but for the length of a transaction: a page without an old event is the last.
# Each is looked up in the outbox by itself: a join might read all of a backlog for each, where statistics took it for nothing.
_EVENTS = text(f"""
WITH looked_at AS MATERIALIZED (
    SELECT ctid, environment, position, id, time < {_END_OF_HISTORY} AS is_old FROM events
     WHERE position > coalesce(CAST(:after AS bigint), 0) ORDER BY position LIMIT {BATCH}
), old AS MATERIALIZED (
    SELECT l.ctid, l.environment, l.position, l.id FROM looked_at AS l
     WHERE l.is_old AND (SELECT o.position FROM outbox AS o WHERE o.position = l.position LIMIT 1) IS NULL
), floors AS (
    INSERT INTO event_floors (environment, position, id)
    SELECT DISTINCT ON (environment) environment, position, id FROM old ORDER BY environment, position DESC
    ON CONFLICT (environment) DO UPDATE SET position = excluded.position, id = excluded.id
     WHERE event_floors.position < excluded.position
), gone AS (
    DELETE FROM events WHERE ctid = ANY(ARRAY(SELECT ctid FROM old)) AND time < {_END_OF_HISTORY} RETURNING 1
)
SELECT (SELECT count(*) FROM gone) AS deleted, max(position) AS last, count(*) = {BATCH} AND bool_or(is_old) AS more
  FROM looked_at
""")  # noqa: S608 - only our own words and numbers are put in

DELETIONS = (
    Deletion(_EVENTS, walks=True),
    oldest_first("refresh_attempts", "leased_at", until=_END_OF_HISTORY),
    # A receipt is of use only while nothing younger is installed (custody protocol, section 3).
    batch(
        "receipts",
        """(r.received_at < statement_timestamp() - interval '7 days'
             OR EXISTS (SELECT FROM credentials AS c WHERE c.account_id = r.account_id
                           AND (c.epoch > r.epoch OR c.generation > r.presented_generation + 1)))""",
    ),
    # The guard against mass revocation looks back for minutes; what is held waits for an operator.
    # Where one is to decide, the notes say whom he may bring back.
    batch(
        "source_revocations",
        """NOT r.held AND r.at < statement_timestamp() - interval '1 day'
       AND NOT EXISTS (SELECT FROM sources AS s WHERE s.id = r.source_id AND s.paused_reason = 'mass_revocation')""",
    ),
    # The answer that made a session may be given again for a day, and its caller may ask for as long how it ended.
    batch("connect_sessions", "r.expires_at < statement_timestamp() - interval '1 day'"),
    batch("console_sessions", "r.expires_at < statement_timestamp()"),
    oldest_first("idempotency_keys", "created_at", until="statement_timestamp() - interval '24 hours'"),
    # Hosts that nothing has gone to for long. Whether one kept silent is learnt again in one round.
    batch("revocation_hosts", "r.free_at < statement_timestamp() - interval '1 day'"),
    # As long as it is kept, an event that comes again is known. What waits is kept, and for longer what somebody may retry.
    oldest_first(
        "inbox_events",
        "received_at",
        until=f"statement_timestamp() - interval '{_INBOX_DAYS} days'",
        besides="outcome IS NOT NULL AND "
        f"(outcome <> 'failed' OR received_at < statement_timestamp() - interval '{_RETRIED_DAYS} days')",
    ),
    # As long as it is kept, a notice that names no time of its own is known when it comes again.
    oldest_first("provider_notices", "received_at", until=f"statement_timestamp() - interval '{_NOTICE_DAYS} days'"),
    # Their chunks go with them. One that breaks off on a Friday evening can be gone on with on Sunday.
    batch("imports", "r.progressed_at < statement_timestamp() - interval '2 days'"),
    # One that is pending is given up by whoever finds that its event is deleted: others may wait behind it.
    oldest_first("webhook_deliveries", "created_at", until=_END_OF_HISTORY, besides="state <> 'pending'"),
    # Webhook by webhook, along the key: most days there are none, and a join might read the deliveries of all others.
    Deletion(
        text(f"""
DELETE FROM webhook_deliveries WHERE ctid = ANY(ARRAY(
    SELECT d.ctid FROM webhook_lanes AS l
     CROSS JOIN LATERAL (SELECT ctid FROM webhook_deliveries
                          WHERE webhook_id = l.webhook_id ORDER BY position LIMIT {BATCH}) AS d
     WHERE l.deleted_at IS NOT NULL LIMIT {BATCH}))
""")  # noqa: S608 - only our own numbers are put in
    ),
    # Not at once: whoever gives out events may have seen the webhook just before it was deleted.
    batch(
        "webhook_lanes",
        """r.deleted_at < statement_timestamp() - interval '1 day'
       AND NOT EXISTS (SELECT FROM webhook_deliveries AS d WHERE d.webhook_id = r.webhook_id)""",
    ),
    batch("webhook_secrets", "r.valid_until < statement_timestamp()"),
)
# An entry's id begins with its milliseconds (RFC 9562, section 5.7): the oldest are found by the key, and no other row is read.
AUDIT = oldest_first(
    "audit_log",
    "id",
    until="""CAST(lpad(to_hex((extract(epoch FROM statement_timestamp() - make_interval(days => :audit_days)) * 1000)::bigint),
                          12, '0') || repeat('0', 20) AS uuid)""",
    kind="uuid",
)


async def keep_house(database: Database, *, audit_days: int, history_days: int = HISTORY_DAYS) -> int:
    """Delete in small transactions what is older than its keeping time; returns how many rows that were.

    What fails stops nothing of the rest, unless the database is away. Credentials whose time is over go first.

    Args:
        database: The database.
        audit_days: How long entries of the audit trail are kept; 0 is for ever.
        history_days: How long events, attempts and what was delivered to webhooks are kept.

    Raises:
        SQLAlchemyError: A statement could not be done. The first that failed is told, but a fault of ours before a database
            that was away.
        OSError: The database can't be had; or, as `TimeoutError`, does not answer.
    """
    days = {"history_days": history_days, "audit_days": audit_days}
    steps: list[Callable[[], Awaitable[int]]] = [partial(_erase, database)]
    steps += [partial(deletion, database, days) for deletion in (*DELETIONS, *((AUDIT,) if audit_days else ()))]
    deleted, failures = 0, list[SQLAlchemyError | OSError]()
    for step in steps:
        try:
            deleted += await step()
        except (SQLAlchemyError, OSError) as error:
            failures.append(error)
            if isinstance(error, _AWAY) and not await _answers(database):
                break
    if failures:
        raise next((error for error in failures if not isinstance(error, _AWAY)), failures[0])
    return deleted


async def _answers(database: Database) -> bool:
    """Whether it was a statement that took too long, and no database that is away: then each step would wait as long for it."""
    try:
        await database.ping()
    except (SQLAlchemyError, OSError):
        return False
    return True


async def _erase(database: Database) -> int:
    deleted = 0
    for _ in range(_MOST_ERASURES):
        count = await erase_overdue(database, limit=_ERASED_AT_ONCE)
        deleted += count
        if count < _ERASED_AT_ONCE:
            break
    return deleted
