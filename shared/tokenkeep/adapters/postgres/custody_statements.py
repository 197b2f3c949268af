"""The custody protocol's SQL (S1, S4, S7), each statement over a batch of accounts.

Times are the database's own (`clock_timestamp()`), so processes need not agree on a clock. Rows are locked in the order of
their ids wherever a statement may have to wait, so that two batches never wait for each other in a circle.
"""

from sqlalchemy import text

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.standings import ACCOUNT_COLUMNS, CREDENTIAL_COLUMNS, LEASE_COLUMNS

REQUESTS = Columns(account_id="uuid", attempt_id="uuid")
# SKIP LOCKED: whoever has the row locked is working on it or has just decided about it; we are not needed.
# due_at stays where it is if a scheduler looks soon anyway: then no indexed column changes and the update is in place.
LEASE = text(f"""
WITH wanted AS MATERIALIZED (
    SELECT l.account_id, w.attempt_id
      FROM leases AS l JOIN {REQUESTS.relation("w")} ON w.account_id = l.account_id
      JOIN sources AS s ON s.id = l.source_id
     WHERE l.phase = 'idle' AND l.next_refresh_at IS NOT NULL
       AND (s.state = 'active' AND NOT s.proving OR s.probe_account_id = l.account_id)
       AND NOT l.source_id = ANY(CAST(:resting AS uuid[]))
       AND (l.not_before IS NULL OR l.not_before <= clock_timestamp())
       AND (l.next_refresh_at <= clock_timestamp() OR s.probe_account_id = l.account_id
            OR l.demanded_at > l.obtained_at AND l.doubts = 0)
     FOR UPDATE OF l SKIP LOCKED
), leased AS (
    UPDATE leases AS l
       SET fence = l.fence + 1, phase = 'leased', attempt_id = w.attempt_id,
           lease_until = clock_timestamp() + make_interval(secs => :lease_s),
           due_at = CASE WHEN l.due_at <= clock_timestamp() + make_interval(secs => :look_s) THEN l.due_at
                         ELSE clock_timestamp() + make_interval(secs => :look_s) END
      FROM wanted AS w WHERE l.account_id = w.account_id
    RETURNING l.*
)
SELECT a.id, l.source_id, l.attempt_id, l.fence, c.refresh_ciphertext, c.scopes, c.token_type, a.properties,
       LEAST(l.next_refresh_at, CASE WHEN l.demanded_at > l.obtained_at THEN l.demanded_at END) AS due_since,
       l.doubts, s.secret_version, a.external_id, {CREDENTIAL_COLUMNS}
  FROM leased AS l
  JOIN accounts AS a ON a.id = l.account_id
  JOIN credentials AS c ON c.account_id = l.account_id AND c.epoch = l.epoch
  JOIN sources AS s ON s.id = l.source_id
""")  # noqa: S608 - only our own names are put in

INTENTS = Columns(
    account_id="uuid",
    attempt_id="uuid",
    source_id="uuid",
    fence="bigint",
    epoch="bigint",
    generation="bigint",
    trigger="text",
    correlation_id="text",
    secret_version="int",  # noqa: S106 - the name of a type
    quarantine_s="double precision",
    due_at="timestamptz",
)
# The generation is tested against the stored one: if the token changed since the lease, nothing is sent. A settlement that
# commits while we wait for the row's lock leaves this statement with the credentials of before; obtained_at stands in both
# rows and is compared with the locked one, so that such a stale read is seen (PostgreSQL re-reads the locked row only).
# One statement may hold a late intent for an account beside the present one: what is journalled is told by its attempt alone.
WRITE_AHEAD = text(f"""
WITH intent AS MATERIALIZED (SELECT * FROM {INTENTS.relation("i")}),
locked AS MATERIALIZED (
    SELECT l.account_id, i.attempt_id, i.generation, i.quarantine_s
      FROM leases AS l
      JOIN intent AS i ON i.account_id = l.account_id
      JOIN credentials AS c ON c.account_id = l.account_id
     WHERE l.fence = i.fence AND l.attempt_id = i.attempt_id AND l.epoch = i.epoch AND l.phase = 'leased'
       AND l.next_refresh_at IS NOT NULL AND c.epoch = i.epoch AND c.generation = i.generation AND c.obtained_at = l.obtained_at
     ORDER BY l.account_id FOR UPDATE OF l
), sent AS (
    UPDATE leases AS l
       SET phase = 'sent', sent_at = clock_timestamp(), presented_generation = w.generation,
           lease_until = clock_timestamp() + make_interval(secs => w.quarantine_s)
      FROM locked AS w WHERE l.account_id = w.account_id
    RETURNING w.attempt_id, l.sent_at
)
INSERT INTO refresh_attempts
       (account_id, id, source_id, epoch, fence, presented_generation, trigger, correlation_id, secret_version, due_at, sent_at)
SELECT i.account_id, i.attempt_id, i.source_id, i.epoch, i.fence, i.generation, i.trigger, i.correlation_id,
       i.secret_version, i.due_at, s.sent_at
  FROM sent AS s JOIN intent AS i ON i.attempt_id = s.attempt_id
RETURNING id, sent_at
""")  # noqa: S608 - only our own names are put in

# A provider that yields the same successor once more inside its grace: the holder presents the token again, under the same
# lease, with the quarantine running from this presentation on. The credentials need no second look: who holds the lease as
# `sent` is the only one that may change them.
PRESENT_AGAIN = text("""
WITH again AS (
    UPDATE leases
       SET lease_until = clock_timestamp() + make_interval(secs => :quarantine_s)
     WHERE account_id = :account_id AND fence = :fence AND phase = 'sent' AND next_refresh_at IS NOT NULL
    RETURNING account_id, attempt_id
)
UPDATE refresh_attempts AS a SET presentations = a.presentations + 1
  FROM again WHERE a.account_id = again.account_id AND a.id = again.attempt_id
RETURNING clock_timestamp() AS sent_at
""")

LOCK = text(f"""
SELECT l.account_id, clock_timestamp() AS now, {LEASE_COLUMNS}
  FROM leases AS l WHERE l.account_id = ANY(CAST(:ids AS uuid[]))
 ORDER BY l.account_id FOR UPDATE
""")  # noqa: S608 - only our own names are put in
# A statement of its own: it sees what was committed by whoever held the lock that LOCK waited for.
READ_LOCKED = text(f"""
SELECT {ACCOUNT_COLUMNS}, {CREDENTIAL_COLUMNS}
  FROM accounts AS a JOIN credentials AS c ON c.account_id = a.id
 WHERE a.id = ANY(CAST(:ids AS uuid[]))
""")  # noqa: S608 - only our own names are put in

LEASES = Columns(
    account_id="uuid",
    fence="bigint",
    epoch="bigint",
    phase="text",
    attempt_id="uuid",
    lease_until="timestamptz",
    sent_at="timestamptz",
    presented_generation="bigint",
    obtained_at="timestamptz",
    next_refresh_at="timestamptz",
    due_at="timestamptz",
    not_before="timestamptz",
    consecutive_failures="int",
    failing_since="timestamptz",
    doubts="int",
    doubt_since="timestamptz",
    suspected_at="timestamptz",
    event_sequence="bigint",
    watched_end="timestamptz",
    tell_at="timestamptz",
)
# A demand that came during the flight and is not met by it is looked at again as soon as it may be. A token in doubt waits
# for its probe, whoever demands: a refusal might take the access token along that still works.
WRITE_LEASES = text(f"""
UPDATE leases AS l
   SET fence = n.fence, epoch = n.epoch, phase = n.phase, attempt_id = n.attempt_id, lease_until = n.lease_until,
       sent_at = n.sent_at, presented_generation = n.presented_generation, obtained_at = n.obtained_at,
       next_refresh_at = n.next_refresh_at, not_before = n.not_before,
       due_at = CASE WHEN n.phase = 'idle' AND n.next_refresh_at IS NOT NULL AND l.demanded_at > n.obtained_at
                          AND n.doubts = 0
                     THEN LEAST(n.due_at, GREATEST(clock_timestamp(), n.not_before)) ELSE n.due_at END,
       consecutive_failures = n.consecutive_failures, failing_since = n.failing_since, doubts = n.doubts,
       doubt_since = n.doubt_since, suspected_at = n.suspected_at, event_sequence = n.event_sequence,
       watched_end = n.watched_end, tell_at = n.tell_at
  FROM {LEASES.relation("n")} WHERE l.account_id = n.account_id
""")  # noqa: S608 - only our own names are put in

ACCOUNTS = Columns(
    account_id="uuid",
    state="text",
    custody="text",
    health="text",
    disabled_reason="text",
    disabled_detail="text",
    disabled_at="timestamptz",
    disabled_by="text",
    last_error_reason="text",
    last_error_http_status="int",
    last_error_at="timestamptz",
)
WRITE_ACCOUNTS = text(f"""
UPDATE accounts AS a
   SET state = n.state, custody = n.custody, health = n.health, disabled_reason = n.disabled_reason,
       disabled_detail = n.disabled_detail, disabled_at = n.disabled_at, disabled_by = n.disabled_by,
       last_error_reason = n.last_error_reason, last_error_http_status = n.last_error_http_status,
       last_error_at = n.last_error_at, updated_at = clock_timestamp()
  FROM {ACCOUNTS.relation("n")} WHERE a.id = n.account_id
""")  # noqa: S608 - only our own names are put in

CREDENTIALS = Columns(
    account_id="uuid",
    epoch="bigint",
    generation="bigint",
    installed_fence="bigint",
    access_ciphertext="bytea",
    refresh_ciphertext="bytea",
    token_type="text",  # noqa: S106 - the name of a type
    scopes="text",
    obtained_at="timestamptz",
    expires_at="timestamptz",
    refresh_token_expires_at="timestamptz",  # noqa: S106 - the name of a type
    refresh_end_derived="boolean",
)
# The fence stands here once more, though the row is locked and was compared: no token overwrites a younger one (I3).
INSTALL = text(f"""
UPDATE credentials AS c
   SET generation = n.generation, installed_fence = n.installed_fence, access_ciphertext = n.access_ciphertext,
       refresh_ciphertext = n.refresh_ciphertext, token_type = n.token_type,
       scopes = string_to_array(n.scopes, ' '), obtained_at = n.obtained_at, expires_at = n.expires_at,
       refresh_token_expires_at = n.refresh_token_expires_at, refresh_end_derived = n.refresh_end_derived,
       last_refreshed_at = clock_timestamp()
  FROM {CREDENTIALS.relation("n")}
 WHERE c.account_id = n.account_id AND c.epoch = n.epoch AND c.installed_fence < n.installed_fence
""")  # noqa: S608 - only our own names are put in

ATTEMPTS = Columns(
    account_id="uuid",
    id="uuid",
    source_id="uuid",
    epoch="bigint",
    fence="bigint",
    presented_generation="bigint",
    trigger="text",
    correlation_id="text",
    secret_version="int",  # noqa: S106 - the name of a type
    sent_at="timestamptz",
    settled_at="timestamptz",
    outcome="text",
    reason="text",
    http_status="int",
    error_code="text",
    presentations="int",
    resolution="text",
    due_at="timestamptz",
)
WRITE_ATTEMPTS = text(f"""
INSERT INTO refresh_attempts (account_id, id, source_id, epoch, fence, presented_generation, trigger, correlation_id,
                              secret_version, sent_at, settled_at, outcome, reason, http_status, error_code,
                              presentations, resolution, due_at)
SELECT * FROM {ATTEMPTS.relation("n")}
ON CONFLICT (account_id, id) DO UPDATE
   SET settled_at = excluded.settled_at, outcome = excluded.outcome, reason = excluded.reason,
       http_status = excluded.http_status, error_code = excluded.error_code,
       presentations = GREATEST(refresh_attempts.presentations, excluded.presentations),
       resolution = COALESCE(excluded.resolution, refresh_attempts.resolution)
 WHERE coalesce(refresh_attempts.outcome, 'in_doubt') = 'in_doubt'
    OR refresh_attempts.outcome <> 'ok' AND excluded.outcome <> 'superseded'
""")  # noqa: S608 - only our own names are put in

CLOSED = Columns(account_id="uuid", id="uuid")
CLOSE_ATTEMPTS = text(f"""
UPDATE refresh_attempts AS a SET settled_at = clock_timestamp(), outcome = 'in_doubt', reason = 'internal_error'
  FROM {CLOSED.relation("n")} WHERE a.account_id = n.account_id AND a.id = n.id AND a.outcome IS NULL
""")  # noqa: S608 - only our own names are put in

# Due times stay as they are: whoever is made to rest has not failed.
GIVE_BACK = text("""
UPDATE leases
   SET phase = 'idle', attempt_id = NULL, lease_until = NULL,
       due_at = CASE WHEN next_refresh_at IS NULL THEN NULL
                     ELSE GREATEST(CASE WHEN demanded_at > obtained_at AND doubts = 0 THEN clock_timestamp()
                                        ELSE next_refresh_at END,
                                   clock_timestamp() + make_interval(secs => :rest_s)) END
 WHERE account_id = :account_id AND fence = :fence AND phase = 'leased'
""")

RECEIPTS = Columns(
    account_id="uuid",
    attempt_id="uuid",
    epoch="bigint",
    fence="bigint",
    presented_generation="bigint",
    key_id="text",
    wrapped_key="bytea",
    ciphertext="bytea",
)
WRITE_RECEIPTS = text(f"""
INSERT INTO receipts (account_id, attempt_id, epoch, fence, presented_generation, key_id, wrapped_key, ciphertext,
                      disposition)
SELECT n.*, 'orphan' FROM {RECEIPTS.relation("n")}
ON CONFLICT (account_id, attempt_id) DO NOTHING
""")  # noqa: S608 - only our own names are put in
ORPHANS = text("""
SELECT account_id, attempt_id, epoch, fence, presented_generation, key_id, wrapped_key, ciphertext
  FROM receipts WHERE account_id = ANY(CAST(:ids AS uuid[])) AND disposition = 'orphan'
""")
TRIED = Columns(account_id="uuid", attempt_id="uuid")
MARK_TRIED = text(f"""
UPDATE receipts AS r SET disposition = 'tried'
  FROM {TRIED.relation("n")} WHERE r.account_id = n.account_id AND r.attempt_id = n.attempt_id
""")  # noqa: S608 - only our own names are put in
GONE = text("""
SELECT id FROM unnest(CAST(:ids AS uuid[])) AS wanted(id)
 WHERE NOT EXISTS (SELECT FROM accounts AS a
                    WHERE a.id = wanted.id
                      AND (a.custody = 'released' OR EXISTS (SELECT FROM credentials AS c WHERE c.account_id = a.id)))
""")
