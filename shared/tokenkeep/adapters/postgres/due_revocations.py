"""Grants that their providers are still to be told to revoke, as workers take them: host by host."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Row, text

from tokenkeep.adapters.postgres.audit import write_audit
from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.living_grants import is_lived_by
from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.revocations import ClaimedHost, Departure, DueRevocation, NewRevocation
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, SourceId

_LOCK = 0x746B_5245  # any number that no other advisory lock of ours has
_TURN = text("SELECT pg_advisory_xact_lock(:key)")
# Whoever waits longest, of those that are nobody's just now and do not rest. The names of hosts are read by leaps along the index:
# what is due at one of them, however much, costs the others nothing.
_TAKE_HOST = text("""
WITH RECURSIVE waiting(host) AS (
    SELECT min(host) FROM revocation_requests
     UNION ALL
    SELECT (SELECT min(r.host) FROM revocation_requests AS r WHERE r.host > w.host) FROM waiting AS w WHERE w.host IS NOT NULL)
INSERT INTO revocation_hosts (host, free_at)
SELECT w.host, clock_timestamp() + make_interval(secs => :lease_s)
  FROM waiting AS w
  CROSS JOIN LATERAL (SELECT next_try_at FROM revocation_requests AS r WHERE r.host = w.host ORDER BY next_try_at LIMIT 1) AS first
  LEFT JOIN revocation_hosts AS h ON h.host = w.host
 WHERE first.next_try_at <= clock_timestamp() AND (h.host IS NULL OR h.free_at <= clock_timestamp())
 ORDER BY h.free_at NULLS FIRST LIMIT 1
ON CONFLICT (host) DO UPDATE SET free_at = excluded.free_at
RETURNING host, timeouts
""")
_FREE_HOST = text("""
UPDATE revocation_hosts SET free_at = clock_timestamp() + make_interval(secs => :rest_s), timeouts = :timeouts WHERE host = :host
""")
_COLUMNS = """r.id, r.account_id, r.source_id, r.key_id, r.wrapped_key, r.ciphertext, r.access_ciphertext, r.fingerprint,
          r.access_fingerprint, r.access_ends_at, r.external_id, r.properties, r.host, r.tries,
          clock_timestamp() - r.created_at AS age, clock_timestamp() AS now"""
# Claimed for one try: whoever dies over it has the next one made by another, later. 1, 3, 9 … minutes, at most 12 hours.
# Materialised: a plan that ran the inner query once for each row would skip what it has locked, and go beyond the limit.
_CLAIM = text(f"""
WITH due AS MATERIALIZED (
    SELECT id FROM revocation_requests WHERE host = :host AND next_try_at <= clock_timestamp()
     ORDER BY next_try_at LIMIT :limit FOR UPDATE SKIP LOCKED)
UPDATE revocation_requests AS r
   SET tries = r.tries + 1,
       next_try_at = clock_timestamp() + LEAST(interval '1 minute' * power(3, r.tries), interval '12 hours')
  FROM due WHERE r.id = due.id
RETURNING {_COLUMNS}
""")  # noqa: S608 - only our own names are put in
# Those that wait behind a host that keeps silent, and for whom it has done so for too long.
_CLAIM_OVERDUE = text(f"""
WITH due AS MATERIALIZED (
    SELECT r.id FROM revocation_requests AS r JOIN revocation_hosts AS h ON h.host = r.host
     WHERE r.next_try_at <= clock_timestamp() AND r.created_at <= clock_timestamp() - CAST(:kept AS interval) AND h.timeouts > 0
     LIMIT :limit FOR UPDATE OF r SKIP LOCKED)
UPDATE revocation_requests AS r SET next_try_at = clock_timestamp() + interval '1 minute'
  FROM due WHERE r.id = due.id
RETURNING {_COLUMNS}
""")  # noqa: S608 - only our own names are put in
# Whoever was writing when these were claimed may be bringing such a grant in, may have looked for its request before there was one,
# and is seen by nobody until he commits. Of other roles' transactions nothing is shown; all our processes are of one.
_WRITERS = text("""
SELECT backend_xid::text AS xid FROM pg_stat_activity
 WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
""")
_STILL_WRITING = text("""
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND backend_xid::text = ANY(CAST(:xids AS text[])))
""")
_LOOK_AGAIN_S = 0.02
_MOST_LOOKS = 250
"""Five seconds or more: far longer than transactions of ours take that bring accounts in. Others' may last, and are not waited for."""
_DEPART = text(f"""
UPDATE revocation_requests AS r SET in_flight_until = clock_timestamp() + CAST(:unanswered AS interval)
 WHERE r.id = :id AND r.tries = :tries AND NOT {is_lived_by("r", "r.external_id")}
RETURNING r.id
""")  # noqa: S608 - only our own names are put in
_IS_THERE = text("SELECT EXISTS (SELECT FROM revocation_requests WHERE id = :id AND tries = :tries)")
# In the order of their keys, as every statement that may wait for another's rows.
_LOCK_ALL = text("SELECT FROM revocation_requests WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")
_WAITS = Columns(id="uuid", tries="integer", wait_s="double precision", answered="boolean")
_POSTPONE = text(f"""
UPDATE revocation_requests AS r
   SET next_try_at = clock_timestamp() + make_interval(secs => n.wait_s),
       in_flight_until = CASE WHEN n.answered THEN NULL ELSE r.in_flight_until END
  FROM {_WAITS.relation("n")} WHERE r.id = n.id AND r.tries = n.tries
""")  # noqa: S608 - only our own names are put in
_END = text("DELETE FROM revocation_requests WHERE id = ANY(CAST(:ids AS uuid[]))")


class PostgresRevocationRequests:
    """The requests as a worker takes them. Each call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, *, limit: int, lease: timedelta) -> ClaimedHost | None:
        """Those that are due at a host of which nobody else has any, for one try; they come up again later unless they are ended.

        None when there are none. A host that kept silent last time is tried with one. The host is the caller's until he frees
        it, for as long as the lease.
        """
        async with self._database.transaction() as connection:
            await connection.execute(_TURN, {"key": _LOCK})
            host = (await connection.execute(_TAKE_HOST, {"lease_s": lease.total_seconds()})).one_or_none()
            if host is None:
                return None
            claiming = {"host": host.host, "limit": limit if host.timeouts == 0 else 1}
            due = tuple(_due_from(row) for row in await connection.execute(_CLAIM, claiming))
            writers = [row.xid for row in await connection.execute(_WRITERS)]
        await self._outwait(writers)
        return ClaimedHost(host.host, host.timeouts, due)

    async def claim_overdue(self, *, limit: int, kept: timedelta) -> Sequence[DueRevocation]:
        """Those that were asked for so long ago and can't be tried, for their host rests; they are to be ended."""
        async with self._database.transaction() as connection:
            return [_due_from(row) for row in await connection.execute(_CLAIM_OVERDUE, {"limit": limit, "kept": kept})]

    async def depart(self, due: DueRevocation, *, unanswered: timedelta) -> Departure:
        """Whether this one may be sent now. From here on, until it is postponed or ended, or for so long, nobody takes it back."""
        one = {"id": due.id, "tries": due.tries}
        async with self._database.transaction() as connection:
            if (await connection.execute(_DEPART, {**one, "unanswered": unanswered})).one_or_none() is not None:
                return Departure.MAY_LEAVE
            is_there = (await connection.execute(_IS_THERE, one)).scalar_one()
        return Departure.HELD if is_there else Departure.GONE

    async def postpone(self, waits: Sequence[tuple[DueRevocation, timedelta, bool]]) -> None:
        """Have these come up again after so long; the last says whether it is known that nothing is with the provider any more."""
        rows = [
            {"id": due.id, "tries": due.tries, "wait_s": wait.total_seconds(), "answered": answered}
            for due, wait, answered in waits
        ]
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK_ALL, {"ids": [row["id"] for row in rows]})
            await connection.execute(_POSTPONE, _WAITS.parameters(rows))

    async def end(self, ids: Sequence[UUID], entries: Sequence[AuditEntry]) -> None:
        """Nothing more is to be done about these; what became of them is told in the audit trail."""
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK_ALL, {"ids": list(ids)})
            await connection.execute(_END, {"ids": list(ids)})
            await write_audit(connection, entries)

    async def free(self, claimed: ClaimedHost, *, timeouts: int, rest: timedelta) -> None:
        """Let others have the host, after its rest. `timeouts`: how often on end it has kept silent by now."""
        freed = {"host": claimed.host, "timeouts": timeouts, "rest_s": rest.total_seconds()}
        async with self._database.transaction() as connection:
            await connection.execute(_FREE_HOST, freed)

    async def _outwait(self, writers: Sequence[str]) -> None:
        for _ in range(_MOST_LOOKS if writers else 0):
            async with self._database.reading() as connection:
                if not (await connection.execute(_STILL_WRITING, {"xids": list(writers)})).scalar_one():
                    return
            await asyncio.sleep(_LOOK_AGAIN_S)


def _due_from(row: Row[tuple[object, ...]]) -> DueRevocation:
    return DueRevocation(
        id=row.id,
        wanted=NewRevocation(
            account_id=AccountId(row.account_id),
            source_id=SourceId(row.source_id),
            sealed_key=SealedKey(row.key_id, row.wrapped_key),
            refresh_ciphertext=row.ciphertext,
            access_ciphertext=row.access_ciphertext,
            fingerprint=row.fingerprint,
            access_fingerprint=row.access_fingerprint,
            properties=row.properties,
            external_id=row.external_id,
            access_ends_at=row.access_ends_at,
            host=row.host,
        ),
        tries=row.tries,
        age=row.age,
        now=row.now,
    )
