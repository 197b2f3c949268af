"""Answers to POSTs that carried an Idempotency-Key, kept sealed for a day."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.errors import IdempotencyMismatch

_CLAIM = text("""
INSERT INTO idempotency_keys (environment, key, route, request_digest, owner)
VALUES (:environment, :key, :route, :digest, :owner)
ON CONFLICT (environment, key) DO NOTHING RETURNING owner
""")
_READ = text("""
SELECT route, request_digest, owner, status, key_id, wrapped_key, ciphertext
  FROM idempotency_keys WHERE environment = :environment AND key = :key
""")
_KEEP = text("""
UPDATE idempotency_keys
   SET status = :status, key_id = :key_id, wrapped_key = :wrapped_key, ciphertext = :ciphertext
 WHERE environment = :environment AND key = :key
""")


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer that was given before, still sealed under `owner`'s data key."""

    owner: UUID
    status: int
    key: SealedKey
    ciphertext: bytes


class PostgresIdempotency:
    """Idempotency keys over one connection, in the transaction of the creation that they guard.

    A second request with the same key waits, on the first one's row, until that has committed; then it sees the answer.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self, environment: str, key: str, *, route: str, digest: bytes, owner: UUID) -> KeptAnswer | None:
        """Claim the key for this request; the kept answer if the same request was answered before.

        Raises:
            IdempotencyMismatch: The key was used with another request.
        """
        parameters = {"environment": environment, "key": key, "route": route, "digest": digest, "owner": owner}
        if (await self._connection.execute(_CLAIM, parameters)).first() is not None:
            return None
        row = (await self._connection.execute(_READ, {"environment": environment, "key": key})).one()
        if row.route != route or row.request_digest != digest:
            raise IdempotencyMismatch
        return KeptAnswer(row.owner, row.status, SealedKey(row.key_id, row.wrapped_key), row.ciphertext)

    async def keep(self, environment: str, key: str, *, status: int, sealed_key: SealedKey, ciphertext: bytes) -> None:
        """Keep the answer beside the claim."""
        await self._connection.execute(
            _KEEP,
            {
                "environment": environment,
                "key": key,
                "status": status,
                "key_id": sealed_key.key_id,
                "wrapped_key": sealed_key.wrapped,
                "ciphertext": ciphertext,
            },
        )
