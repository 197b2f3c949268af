"""Answers to POSTs that carried an Idempotency-Key, kept sealed for a day."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.errors import IdempotencyMismatch, RequestInProgress

_CLAIM = text("""
INSERT INTO idempotency_keys (environment, key, route, request_digest, owner)
VALUES (:environment, :key, :route, :digest, :owner)
ON CONFLICT (environment, key) DO NOTHING RETURNING owner
""")
# A reservation whose holder died is taken over by the next equal request, once its time is up.
_RESERVE = text("""
INSERT INTO idempotency_keys AS k (environment, key, route, request_digest, owner)
VALUES (:environment, :key, :route, :digest, :owner)
ON CONFLICT (environment, key) DO UPDATE SET owner = excluded.owner, created_at = clock_timestamp()
 WHERE k.status IS NULL AND k.route = excluded.route AND k.request_digest = excluded.request_digest
   AND k.created_at < clock_timestamp() - make_interval(secs => :stale_s)
RETURNING owner
""")
_GIVE_UP = text("""
DELETE FROM idempotency_keys WHERE environment = :environment AND key = :key AND owner = :owner AND status IS NULL
""")
_READ = text("""
SELECT route, request_digest, owner, status, key_id, wrapped_key, ciphertext
  FROM idempotency_keys WHERE environment = :environment AND key = :key
""")
_KEEP = text("""
UPDATE idempotency_keys
   SET status = :status, key_id = :key_id, wrapped_key = :wrapped_key, ciphertext = :ciphertext
 WHERE environment = :environment AND key = :key AND owner = :owner
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
    Where a creation has to ask a provider first, the key is reserved before and no transaction is open meanwhile.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self, environment: str, key: str, *, route: str, digest: bytes, owner: UUID) -> KeptAnswer | None:
        """Claim the key for this request; the kept answer if the same request was answered before.

        Raises:
            IdempotencyMismatch: The key was used with another request.
            RequestInProgress: The same request has reserved the key.
        """
        parameters = {"environment": environment, "key": key, "route": route, "digest": digest, "owner": owner}
        if (await self._connection.execute(_CLAIM, parameters)).first() is not None:
            return None
        return await self._kept(environment, key, route=route, digest=digest)

    async def reserve(
        self, environment: str, key: str, *, route: str, digest: bytes, owner: UUID, stale_s: float
    ) -> KeptAnswer | None:
        """As `claim`, to be committed before the answer is known. Followed by `keep` or `give_up`.

        Args:
            environment: The caller's environment.
            key: The Idempotency-Key.
            route: What was called.
            digest: The SHA-256 of the request's body.
            owner: A fresh id; the answer is sealed for it.
            stale_s: After how many seconds a reservation without an answer may be taken over.

        Raises:
            IdempotencyMismatch: The key was used with another request.
            RequestInProgress: The same request has reserved the key; ask again soon.
        """
        parameters = {"environment": environment, "key": key, "route": route, "digest": digest, "owner": owner}
        if (await self._connection.execute(_RESERVE, {**parameters, "stale_s": stale_s})).first() is not None:
            return None
        return await self._kept(environment, key, route=route, digest=digest)

    async def give_up(self, environment: str, key: str, *, owner: UUID) -> None:
        """Free a reserved key: the request was refused, and may be tried again."""
        await self._connection.execute(_GIVE_UP, {"environment": environment, "key": key, "owner": owner})

    async def _kept(self, environment: str, key: str, *, route: str, digest: bytes) -> KeptAnswer:
        row = (await self._connection.execute(_READ, {"environment": environment, "key": key})).first()
        if row is None:  # freed between the two statements
            raise RequestInProgress
        if row.route != route or row.request_digest != digest:
            raise IdempotencyMismatch
        if row.status is None:
            raise RequestInProgress
        return KeptAnswer(row.owner, row.status, SealedKey(row.key_id, row.wrapped_key), row.ciphertext)

    async def keep(
        self, environment: str, key: str, *, owner: UUID, status: int, sealed_key: SealedKey, ciphertext: bytes
    ) -> None:
        """Keep the answer beside the claim or reservation of this owner."""
        await self._connection.execute(
            _KEEP,
            {
                "environment": environment,
                "key": key,
                "owner": owner,
                "status": status,
                "key_id": sealed_key.key_id,
                "wrapped_key": sealed_key.wrapped,
                "ciphertext": ciphertext,
            },
        )
