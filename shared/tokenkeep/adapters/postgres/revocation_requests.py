"""Grants that were given up and that their providers are still to be told to revoke."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.audit import write_audit
from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.revocations import DueRevocation, NewRevocation
from tokenkeep.domain.account import Account
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import AccountId, SourceId, new_id

_ROWS = Columns(
    id="uuid",
    account_id="uuid",
    source_id="uuid",
    key_id="text",
    wrapped_key="bytea",
    ciphertext="bytea",
    access_ciphertext="bytea",
    fingerprint="bytea",
    access_fingerprint="bytea",
    access_ends_at="timestamptz",
    external_id="text",
    properties="text",
)
# A grant that was handed back before its account was deleted is its owner's: a late answer must not take it from him. Nor must
# what comes late take a grant from an account that it, or its user, has come back to. Of a deleted account only the event knows
# who the user was.
_REQUEST = text(f"""
INSERT INTO revocation_requests
       (id, account_id, source_id, key_id, wrapped_key, ciphertext, access_ciphertext, fingerprint, access_fingerprint,
        access_ends_at, external_id, properties)
SELECT n.id, n.account_id, n.source_id, n.key_id, n.wrapped_key, n.ciphertext, n.access_ciphertext, n.fingerprint,
       n.access_fingerprint, n.access_ends_at, COALESCE(n.external_id, e.data ->> 'external_id'), n.properties::jsonb
  FROM {_ROWS.relation("n")}
  LEFT JOIN events AS e ON e.subject = n.account_id AND e.type = '{EventType.DELETED.value}'
 WHERE (e.data ->> 'reason') IS DISTINCT FROM 'released'
   AND NOT EXISTS (SELECT FROM imported_grants AS g
                    WHERE g.fingerprint = n.fingerprint AND g.account_id <> n.account_id)
   AND NOT EXISTS (SELECT FROM account_identities AS i
                    WHERE i.source_id = n.source_id AND i.external_id = COALESCE(n.external_id, e.data ->> 'external_id')
                      AND i.account_id <> n.account_id)
RETURNING id
""")  # noqa: S608 - only our own names are put in
# Written so that each line finds an index: it is run for each account that comes in.
_FORGET = text("""
DELETE FROM revocation_requests
 WHERE account_id = :account_id
    OR source_id = :source_id AND fingerprint = ANY(CAST(:fingerprints AS bytea[]))
    OR source_id = :source_id AND access_fingerprint = ANY(CAST(:fingerprints AS bytea[]))
    OR source_id = :source_id AND external_id = CAST(:external_id AS text)
""")
# Claimed for one try: whoever dies over it has the next one made by another, later. 1, 3, 9 … minutes, at most 12 hours.
_CLAIM = text("""
UPDATE revocation_requests AS r
   SET tries = r.tries + 1,
       next_try_at = clock_timestamp() + LEAST(interval '1 minute' * power(3, r.tries), interval '12 hours')
  FROM (SELECT id FROM revocation_requests WHERE next_try_at <= clock_timestamp()
         ORDER BY next_try_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS due
 WHERE r.id = due.id
RETURNING r.id, r.account_id, r.source_id, r.key_id, r.wrapped_key, r.ciphertext, r.access_ciphertext, r.fingerprint,
          r.access_fingerprint, r.access_ends_at, r.external_id, r.properties, r.tries,
          clock_timestamp() - r.created_at AS age, clock_timestamp() AS now
""")
_WAITS = Columns(id="uuid", wait_s="double precision")
_POSTPONE = text(f"""
UPDATE revocation_requests AS r SET next_try_at = clock_timestamp() + make_interval(secs => n.wait_s)
  FROM {_WAITS.relation("n")} WHERE r.id = n.id
""")  # noqa: S608 - only our own names are put in
_END = text("DELETE FROM revocation_requests WHERE id = ANY(CAST(:ids AS uuid[]))")


async def request_revocations(connection: AsyncConnection, wanted: Sequence[NewRevocation]) -> int:
    """Write down that these grants are to be revoked, and say how many are; the caller commits."""
    rows = [
        {
            "id": new_id(),
            "account_id": one.account_id,
            "source_id": one.source_id,
            "key_id": one.sealed_key.key_id,
            "wrapped_key": one.sealed_key.wrapped,
            "ciphertext": one.refresh_ciphertext,
            "access_ciphertext": one.access_ciphertext,
            "fingerprint": one.fingerprint,
            "access_fingerprint": one.access_fingerprint,
            "access_ends_at": one.access_ends_at,
            "external_id": one.external_id,
            "properties": orjson.dumps(dict(one.properties)).decode(),
        }
        for one in wanted
    ]
    if not rows:
        return 0
    return len((await connection.execute(_REQUEST, _ROWS.parameters(rows))).all())


class PostgresRevocations:
    """Revocations to be asked for, beside the change that is their cause."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def request(self, wanted: Sequence[NewRevocation]) -> int:
        """Write down that these grants are to be revoked; returns how many of them nobody has come back with."""
        return await request_revocations(self._connection, wanted)

    async def forget(self, account: Account, fingerprints: Collection[bytes]) -> None:
        """A grant, or a user, that comes back is not to lose what he brings to the giving up of what he had."""
        returned = {
            "account_id": account.id,
            "source_id": account.source_id,
            "fingerprints": list(fingerprints),
            "external_id": account.external_id,
        }
        await self._connection.execute(_FORGET, returned)


class PostgresRevocationRequests:
    """The requests as a worker takes them. Each call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, *, limit: int) -> Sequence[DueRevocation]:
        """Those that are due, for one try; they come up again later unless they are ended."""
        async with self._database.transaction() as connection:
            return [_due_from(row) for row in await connection.execute(_CLAIM, {"limit": limit})]

    async def postpone(self, waits: Sequence[tuple[UUID, timedelta]]) -> None:
        """Have these come up again after so long."""
        rows = [{"id": one, "wait_s": wait.total_seconds()} for one, wait in waits]
        async with self._database.transaction() as connection:
            await connection.execute(_POSTPONE, _WAITS.parameters(rows))

    async def end(self, ids: Sequence[UUID], entries: Sequence[AuditEntry]) -> None:
        """Nothing more is to be done about these; what became of them is told in the audit trail."""
        async with self._database.transaction() as connection:
            await connection.execute(_END, {"ids": list(ids)})
            await write_audit(connection, entries)


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
        ),
        tries=row.tries,
        age=row.age,
        now=row.now,
    )
