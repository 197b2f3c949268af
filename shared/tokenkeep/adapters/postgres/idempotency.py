"""Answers to POSTs that carried an Idempotency-Key, kept sealed for a day."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.domain.conflicts import RequestInProgress
from tokenkeep.domain.credential import SealedKey

_CLAIM = text("""
INSERT INTO idempotency_keys (environment, key, route, owner, key_id, wrapped_key, request_ciphertext)
VALUES (:environment, :key, :route, :owner, :key_id, :wrapped_key, :request)
ON CONFLICT (environment, key) DO NOTHING RETURNING owner
""")
_TAKE_OVER = text("""
UPDATE idempotency_keys
   SET owner = :owner, key_id = :key_id, wrapped_key = :wrapped_key, request_ciphertext = :request,
       created_at = clock_timestamp()
 WHERE environment = :environment AND key = :key AND owner = :former AND status IS NULL
RETURNING owner
""")
_GIVE_UP = text("""
DELETE FROM idempotency_keys WHERE environment = :environment AND key = :key AND owner = :owner AND status IS NULL
""")
_READ = text("""
SELECT route, owner, status, key_id, wrapped_key, request_ciphertext, ciphertext,
       extract(epoch FROM clock_timestamp() - created_at)::float8 AS age_s
  FROM idempotency_keys WHERE environment = :environment AND key = :key
""")
_KEEP = text("""
UPDATE idempotency_keys SET status = :status, ciphertext = :ciphertext
 WHERE environment = :environment AND key = :key AND owner = :owner AND status IS NULL
RETURNING owner
""")


@dataclass(frozen=True, slots=True)
class Claim:
    """One request's claim of a key. `request` says what was asked, sealed for `owner` under `sealed_key`, as its answer will be."""

    environment: str
    key: str
    route: str
    owner: UUID
    sealed_key: SealedKey
    request: bytes

    def row(self) -> dict[str, Any]:
        """As the statements take it."""
        return {
            "environment": self.environment,
            "key": self.key,
            "route": self.route,
            "owner": self.owner,
            "key_id": self.sealed_key.key_id,
            "wrapped_key": self.sealed_key.wrapped,
            "request": self.request,
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """An earlier request's claim; `status` and `answer` are None as long as it is not answered. `age` is how old the claim is."""

    claim: Claim
    status: int | None
    answer: bytes | None
    age: timedelta


class PostgresIdempotency:
    """Idempotency keys over one connection, in the transaction of the creation that they guard.

    A second request with the same key waits, on the first one's row, until that has committed; then it sees the answer.
    Where a creation has to ask a provider first, the key is claimed before and no transaction is open meanwhile.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self, claim: Claim) -> Standing | None:
        """Claim the key, unless it is claimed: then who holds it.

        Raises:
            RequestInProgress: It was given up at this very moment; ask again.
        """
        if (await self._connection.execute(_CLAIM, claim.row())).first() is not None:
            return None
        row = (await self._connection.execute(_READ, {"environment": claim.environment, "key": claim.key})).first()
        if row is None:
            raise RequestInProgress
        sealed_key = SealedKey(row.key_id, row.wrapped_key)
        held = Claim(claim.environment, claim.key, row.route, row.owner, sealed_key, row.request_ciphertext)
        return Standing(held, row.status, row.ciphertext, timedelta(seconds=row.age_s))

    async def take_over(self, former: Claim, claim: Claim) -> bool:
        """Put a claim in the place of one whose holder died; False when that holder, or another, was faster."""
        parameters = {**claim.row(), "former": former.owner}
        return (await self._connection.execute(_TAKE_OVER, parameters)).first() is not None

    async def give_up(self, claim: Claim) -> None:
        """Free the key: the request was refused, and may be tried again."""
        await self._connection.execute(
            _GIVE_UP, {"environment": claim.environment, "key": claim.key, "owner": claim.owner}
        )

    async def keep(self, claim: Claim, *, status: int, answer: bytes) -> bool:
        """Keep the answer, sealed, beside its claim; False when the key is not claimed by it any more."""
        parameters = {"environment": claim.environment, "key": claim.key, "owner": claim.owner}
        kept = await self._connection.execute(_KEEP, {**parameters, "status": status, "ciphertext": answer})
        return kept.first() is not None
