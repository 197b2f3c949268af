"""What refreshes do to rows, without workers: the updates of the custody protocol in their shapes, a batch at a time."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine

# As adapters/postgres/custody_statements.py writes them: LEASE, WRITE_AHEAD, WRITE_LEASES and INSTALL. What they insert
# (attempts, events) is deleted by its age, and does not churn.
_LEASE = text("""
WITH wanted AS MATERIALIZED (
    SELECT l.account_id FROM leases AS l JOIN unnest(CAST(:ids AS uuid[])) AS w(account_id) ON w.account_id = l.account_id
     WHERE l.phase = 'idle' FOR UPDATE OF l SKIP LOCKED
)
UPDATE leases AS l
   SET fence = l.fence + 1, phase = 'leased', attempt_id = gen_random_uuid(),
       lease_until = clock_timestamp() + interval '30 seconds'
  FROM wanted AS w WHERE l.account_id = w.account_id
""")
_WRITE_AHEAD = text("""
UPDATE leases AS l
   SET phase = 'sent', sent_at = clock_timestamp(), presented_generation = c.generation,
       lease_until = clock_timestamp() + interval '2 minutes'
  FROM unnest(CAST(:ids AS uuid[])) AS w(account_id) JOIN credentials AS c ON c.account_id = w.account_id
 WHERE l.account_id = w.account_id
""")
_LOCK = text("SELECT FROM leases WHERE account_id = ANY(CAST(:ids AS uuid[])) ORDER BY account_id FOR UPDATE")
_WRITE_LEASES = text("""
UPDATE leases AS l
   SET phase = 'idle', attempt_id = NULL, lease_until = NULL, obtained_at = clock_timestamp(),
       next_refresh_at = clock_timestamp() + make_interval(secs => :life_s),
       due_at = clock_timestamp() + make_interval(secs => :life_s), event_sequence = l.event_sequence + 1
  FROM unnest(CAST(:ids AS uuid[])) AS w(account_id) WHERE l.account_id = w.account_id
""")
_INSTALL = text("""
UPDATE credentials AS c
   SET generation = c.generation + 1, installed_fence = c.installed_fence + 1, obtained_at = clock_timestamp(),
       access_ciphertext = CAST(repeat(chr(97 + (c.generation % 26)::int), 240) AS bytea),
       refresh_ciphertext = CAST(repeat(chr(97 + (c.generation % 26)::int), 120) AS bytea),
       expires_at = clock_timestamp() + interval '1 hour', last_refreshed_at = clock_timestamp()
  FROM unnest(CAST(:ids AS uuid[])) AS w(account_id) WHERE c.account_id = w.account_id
""")
_TRANSACTIONS: tuple[tuple[TextClause, ...], ...] = ((_LEASE,), (_WRITE_AHEAD,), (_LOCK, _WRITE_LEASES, _INSTALL))


async def refresh(engine: AsyncEngine, account_ids: Sequence[UUID], *, life: timedelta) -> None:
    """Lease, write ahead and settle these accounts, which come due again after `life`."""
    parameters = {"ids": list(account_ids), "life_s": life.total_seconds()}
    for transaction in _TRANSACTIONS:
        async with engine.begin() as connection:
            for statement in transaction:
                await connection.execute(statement, parameters)
