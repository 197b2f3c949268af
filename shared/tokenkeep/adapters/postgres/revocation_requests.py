"""Grants that are given up, to be revoked: written down beside the change that is the cause."""

from collections.abc import Collection, Sequence

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.living_grants import is_lived_by
from tokenkeep.adapters.postgres.returned_grants import Returning, take_back, tell_superseded
from tokenkeep.application.revocations import NewRevocation
from tokenkeep.domain.account import Account
from tokenkeep.domain.errors import RevocationUnanswered
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import new_id

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
    host="text",
)
# A grant that was handed back before its account was deleted is its owner's: a late answer must not take it from him. Nor must
# what comes late take a grant from an account that it, or its user, has come back to. Of a deleted account only the event knows
# who the user was.
_REQUEST = text(f"""
WITH wanted AS MATERIALIZED (
    SELECT n.*, COALESCE(n.external_id, e.data ->> 'external_id') AS known_as
      FROM {_ROWS.relation("n")}
      LEFT JOIN events AS e ON e.subject = n.account_id AND e.type = '{EventType.DELETED.value}'
     WHERE (e.data ->> 'reason') IS DISTINCT FROM 'released'),
judged AS MATERIALIZED (SELECT w.*, {is_lived_by("w", "w.known_as")} AS lived_by FROM wanted AS w),
asked AS (
    INSERT INTO revocation_requests
           (id, account_id, source_id, key_id, wrapped_key, ciphertext, access_ciphertext, fingerprint, access_fingerprint,
            access_ends_at, external_id, properties, host)
    SELECT id, account_id, source_id, key_id, wrapped_key, ciphertext, access_ciphertext, fingerprint, access_fingerprint,
           access_ends_at, known_as, properties::jsonb, COALESCE(host, source_id::text)
      FROM judged WHERE NOT lived_by)
SELECT j.account_id, j.lived_by, s.environment FROM judged AS j LEFT JOIN sources AS s ON s.id = j.source_id
""")  # noqa: S608 - only our own names are put in


async def request_revocations(connection: AsyncConnection, wanted: Sequence[NewRevocation]) -> int:
    """Write down that these grants are to be revoked, and say how many are; the caller commits.

    Those that other accounts live by are not: that is told in the audit trail.
    """
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
            "host": one.host,
        }
        for one in wanted
    ]
    if not rows:
        return 0
    judged = (await connection.execute(_REQUEST, _ROWS.parameters(rows))).all()
    held = [row for row in judged if row.lived_by]
    await tell_superseded(connection, held)
    return len(judged) - len(held)


class PostgresRevocations:
    """Revocations to be asked for, beside the change that is their cause."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def request(self, wanted: Sequence[NewRevocation]) -> int:
        """Write down that these grants are to be revoked; returns how many of them nobody has come back with."""
        return await request_revocations(self._connection, wanted)

    async def forget(self, account: Account, fingerprints: Collection[bytes]) -> None:
        """A grant, or a user, that comes back is not to lose what he brings to the giving up of what he had.

        Raises:
            RevocationUnanswered: The provider is being told just now, and may take what comes back for what it is to revoke.
        """
        identity = account.external_id if account.external_id_verified else None
        returning = Returning(account.id, account.source_id, identity, frozenset(fingerprints))
        blocked = await take_back(self._connection, [returning])
        if account.id in blocked:
            raise RevocationUnanswered(retry_after=blocked[account.id].total_seconds())
