"""What is deleted when its time is over."""

from sqlalchemy import text

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.releases import erase_overdue

HISTORY_DAYS = 30
_BATCH = 10_000
_INBOX_DAYS = 7
_RETRIED_DAYS = 30
_NOTICE_DAYS = 30
_ERASED_AT_ONCE = 500
_MOST_BATCHES = 1_000
"""Ten million rows of each kind in a round: what the refreshes of a fleet leave behind in hours goes within minutes."""
_STATEMENTS = (
    # An event that Redis has not got yet is kept, however old. The floors tell readers of the feed what they can't have any more.
    text(f"""
WITH old AS MATERIALIZED (
    SELECT e.subject, e.sequence, e.environment, e.position, e.id FROM events AS e
     WHERE e.time < statement_timestamp() - make_interval(days => :history_days)
       AND NOT EXISTS (SELECT FROM outbox AS o WHERE o.position = e.position)
     LIMIT {_BATCH}
), floors AS (
    INSERT INTO event_floors (environment, position, id)
    SELECT DISTINCT ON (environment) environment, position, id FROM old ORDER BY environment, position DESC
    ON CONFLICT (environment) DO UPDATE SET position = excluded.position, id = excluded.id
     WHERE event_floors.position < excluded.position
)
DELETE FROM events AS e USING old WHERE e.subject = old.subject AND e.sequence = old.sequence
"""),  # noqa: S608 - only our own numbers are put in
    text(f"""
DELETE FROM refresh_attempts WHERE (account_id, id) IN (
    SELECT account_id, id FROM refresh_attempts
     WHERE leased_at < statement_timestamp() - make_interval(days => :history_days) LIMIT {_BATCH})
"""),  # noqa: S608 - only our own numbers are put in
    # A receipt is of use only while nothing younger is installed (custody protocol, section 3).
    text("""
DELETE FROM receipts AS r
 WHERE r.received_at < statement_timestamp() - interval '7 days'
    OR EXISTS (SELECT FROM credentials AS c WHERE c.account_id = r.account_id
                AND (c.epoch > r.epoch OR c.generation > r.presented_generation + 1))
"""),
    # The guard against mass revocation looks back for minutes; what is held waits for an operator.
    # Where one is to decide, the notes say whom he may bring back.
    text("""
DELETE FROM source_revocations AS r
 WHERE NOT r.held AND r.at < statement_timestamp() - interval '1 day'
   AND NOT EXISTS (SELECT FROM sources AS s WHERE s.id = r.source_id AND s.paused_reason = 'mass_revocation')
"""),
    # The answer that made a session may be given again for a day, and its caller may ask for as long how it ended.
    text("DELETE FROM connect_sessions WHERE expires_at < statement_timestamp() - interval '1 day'"),
    text("DELETE FROM console_sessions WHERE expires_at < statement_timestamp()"),
    text("DELETE FROM idempotency_keys WHERE created_at < statement_timestamp() - interval '24 hours'"),
    # Hosts that nothing has gone to for long. Whether one kept silent is learnt again in one round.
    text("DELETE FROM revocation_hosts WHERE free_at < statement_timestamp() - interval '1 day'"),
    # As long as it is kept, an event that comes again is known. What waits is kept, and for longer what somebody may retry.
    text(f"""
DELETE FROM inbox_events WHERE (environment, source, id) IN (
    SELECT environment, source, id FROM inbox_events
     WHERE outcome IS NOT NULL AND received_at < statement_timestamp() - interval '{_INBOX_DAYS} days'
       AND (outcome <> 'failed' OR received_at < statement_timestamp() - interval '{_RETRIED_DAYS} days')
     LIMIT {_BATCH})
"""),  # noqa: S608 - only our own numbers are put in
    # As long as it is kept, a notice that names no time of its own is known when it comes again.
    text(f"""
DELETE FROM provider_notices WHERE (source_id, digest) IN (
    SELECT source_id, digest FROM provider_notices
     WHERE received_at < statement_timestamp() - interval '{_NOTICE_DAYS} days' LIMIT {_BATCH})
"""),  # noqa: S608 - only our own numbers are put in
    # Their chunks go with them. One that breaks off on a Friday evening can be gone on with on Sunday.
    text("DELETE FROM imports WHERE progressed_at < statement_timestamp() - interval '2 days'"),
    # One that is pending is given up by whoever finds that its event is deleted: others may wait behind it.
    text(f"""
DELETE FROM webhook_deliveries WHERE (webhook_id, position) IN (
    SELECT webhook_id, position FROM webhook_deliveries
     WHERE state <> 'pending' AND created_at < statement_timestamp() - make_interval(days => :history_days) LIMIT {_BATCH})
"""),  # noqa: S608 - only our own numbers are put in
    text(f"""
DELETE FROM webhook_deliveries WHERE (webhook_id, position) IN (
    SELECT d.webhook_id, d.position FROM webhook_lanes AS l JOIN webhook_deliveries AS d ON d.webhook_id = l.webhook_id
     WHERE l.deleted_at IS NOT NULL LIMIT {_BATCH})
"""),  # noqa: S608 - only our own numbers are put in
    # Not at once: whoever gives out events may have seen the webhook just before it was deleted.
    text("""
DELETE FROM webhook_lanes AS l
 WHERE l.deleted_at < statement_timestamp() - interval '1 day'
   AND NOT EXISTS (SELECT FROM webhook_deliveries AS d WHERE d.webhook_id = l.webhook_id)
"""),
    text("DELETE FROM webhook_secrets WHERE valid_until < statement_timestamp()"),
)
# An entry's id begins with its milliseconds (RFC 9562, section 5.7): the oldest are found by the key, and no other row is read.
_AUDIT = text(f"""
DELETE FROM audit_log WHERE id IN (
    SELECT id FROM audit_log
     WHERE id < CAST(lpad(to_hex((extract(epoch FROM statement_timestamp() - make_interval(days => :audit_days)) * 1000)::bigint),
                          12, '0') || repeat('0', 20) AS uuid)
     ORDER BY id LIMIT {_BATCH})
""")  # noqa: S608 - only our own numbers are put in


async def keep_house(database: Database, *, audit_days: int, history_days: int = HISTORY_DAYS) -> int:
    """Delete in small transactions what is older than its keeping time; returns how many rows that were.

    Args:
        database: The database.
        audit_days: How long entries of the audit trail are kept; 0 is for ever.
        history_days: How long events, attempts and what was delivered to webhooks are kept.
    """
    deleted = 0
    days = {"history_days": history_days, "audit_days": audit_days}
    for statement in (*_STATEMENTS, *((_AUDIT,) if audit_days else ())):
        wanted = {name: days[name] for name in statement.compile().params}
        for _ in range(_MOST_BATCHES):
            async with database.transaction() as connection:
                count = (await connection.execute(statement, wanted)).rowcount
            deleted += count
            if count < _BATCH:
                break
    for _ in range(_MOST_BATCHES):
        count = await erase_overdue(database, limit=_ERASED_AT_ONCE)
        deleted += count
        if count < _ERASED_AT_ONCE:
            break
    return deleted
