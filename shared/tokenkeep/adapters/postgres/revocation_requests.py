"""Tokens of deleted accounts that their providers are still to be told to revoke."""

from collections.abc import Sequence
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.application.revoke_grants import DueRevocation, NewRevocation
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
    fingerprint="bytea",
    external_id="text",
    properties="text",
)
# A grant that was handed back before its account was deleted is its owner's: a late answer must not take it from him.
_REQUEST = text(f"""
INSERT INTO revocation_requests
       (id, account_id, source_id, key_id, wrapped_key, ciphertext, fingerprint, external_id, properties)
SELECT n.id, n.account_id, n.source_id, n.key_id, n.wrapped_key, n.ciphertext, n.fingerprint, n.external_id,
       n.properties::jsonb
  FROM {_ROWS.relation("n")}
 WHERE NOT EXISTS (SELECT FROM events AS e
                    WHERE e.subject = n.account_id AND e.type = '{EventType.DELETED.value}'
                      AND e.data ->> 'reason' = 'released')
""")  # noqa: S608 - only our own names are put in
# Claimed for one try: whoever dies over it has the next one made by another, later. 1, 3, 9 … minutes, at most 12 hours.
_CLAIM = text("""
UPDATE revocation_requests AS r
   SET tries = r.tries + 1,
       next_try_at = clock_timestamp() + LEAST(interval '1 minute' * power(3, r.tries), interval '12 hours')
  FROM (SELECT id FROM revocation_requests WHERE next_try_at <= clock_timestamp()
         ORDER BY next_try_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS due
 WHERE r.id = due.id
RETURNING r.id, r.account_id, r.source_id, r.key_id, r.wrapped_key, r.ciphertext, r.fingerprint, r.properties, r.tries,
          clock_timestamp() - r.created_at AS age
""")
_DONE = text("DELETE FROM revocation_requests WHERE id = ANY(CAST(:ids AS uuid[]))")


async def request_revocations(connection: AsyncConnection, wanted: Sequence[NewRevocation]) -> None:
    """Write down that these tokens are to be revoked; the caller commits."""
    rows = [
        {
            "id": new_id(),
            "account_id": one.account_id,
            "source_id": one.source_id,
            "key_id": one.sealed_key.key_id,
            "wrapped_key": one.sealed_key.wrapped,
            "ciphertext": one.ciphertext,
            "fingerprint": one.fingerprint,
            "external_id": one.external_id,
            "properties": orjson.dumps(dict(one.properties)).decode(),
        }
        for one in wanted
    ]
    if rows:
        await connection.execute(_REQUEST, _ROWS.parameters(rows))


class PostgresRevocations:
    """Revocations to be asked for, beside the deletion that is their cause."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def request(self, wanted: Sequence[NewRevocation]) -> None:
        """Write down that these tokens are to be revoked."""
        await request_revocations(self._connection, wanted)


class PostgresRevocationRequests:
    """The requests as a worker takes them. Each call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, *, limit: int) -> Sequence[DueRevocation]:
        """Those that are due, for one try; they come up again later unless they are done."""
        async with self._database.transaction() as connection:
            return [
                DueRevocation(
                    id=row.id,
                    wanted=NewRevocation(
                        account_id=AccountId(row.account_id),
                        source_id=SourceId(row.source_id),
                        sealed_key=SealedKey(row.key_id, row.wrapped_key),
                        ciphertext=row.ciphertext,
                        fingerprint=row.fingerprint,
                        properties=row.properties,
                    ),
                    tries=row.tries,
                    age=row.age,
                )
                for row in await connection.execute(_CLAIM, {"limit": limit})
            ]

    async def done(self, ids: Sequence[UUID]) -> None:
        """Nothing more is to be done about these."""
        async with self._database.transaction() as connection:
            await connection.execute(_DONE, {"ids": list(ids)})
