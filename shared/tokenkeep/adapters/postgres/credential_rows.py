"""Credentials as they lie in their rows, for those that move them."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text

from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.application.move_credentials import CredentialRow
from tokenkeep.domain.credential import SealedKey

# A page is so many rows looked at, whatever is in them: a table in which nothing is to be moved is passed in small steps.
_PAGE = text("""
SELECT account_id, epoch, generation, installed_fence, key_id, wrapped_key, access_ciphertext, refresh_ciphertext
  FROM (SELECT * FROM credentials WHERE account_id > :after ORDER BY account_id LIMIT :limit) AS page
 WHERE CAST(:marked AS boolean) OR substring(access_ciphertext FOR 1) <> CAST(:mark AS bytea)
 ORDER BY account_id
""")
_LAST = text("""
SELECT account_id FROM (SELECT account_id FROM credentials WHERE account_id > :after ORDER BY account_id LIMIT :limit) AS page
 ORDER BY account_id DESC LIMIT 1
""")
_REPLACE = text("""
UPDATE credentials SET access_ciphertext = :access, refresh_ciphertext = :refresh
 WHERE account_id = :account_id AND epoch = :epoch AND generation = :generation AND installed_fence = :installed_fence
   AND access_ciphertext = :former
RETURNING 1
""")
_PLACES = text("""
SELECT account_id, epoch, generation FROM credentials WHERE account_id = ANY(CAST(:ids AS uuid[]))
""")


class PostgresCredentialRows:
    """The rows, in a transaction of its own for each call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, after: UUID, *, limit: int, mark: bytes, marked: bool
    ) -> tuple[Sequence[CredentialRow], UUID | None]:
        """The next rows, and the id to go on from; None when these were the last.

        Args:
            after: The id behind which to look.
            limit: How many rows to look at.
            mark: What ciphertexts that are pointers begin with.
            marked: Whether these are wanted as well.
        """
        parameters = {"after": after, "limit": limit}
        async with self._database.reading() as connection:
            last = (await connection.execute(_LAST, parameters)).scalar_one_or_none()
            found = (await connection.execute(_PAGE, {**parameters, "mark": mark, "marked": marked})).all()
        rows = [
            CredentialRow(
                row.account_id,
                row.epoch,
                row.generation,
                row.installed_fence,
                SealedKey(row.key_id, row.wrapped_key),
                row.access_ciphertext,
                row.refresh_ciphertext,
            )
            for row in found
        ]
        return rows, last

    async def replace(self, row: CredentialRow, access: bytes, refresh: bytes | None) -> bool:
        """Have the row hold these instead; False when it does not hold what it did any more."""
        parameters = {
            "account_id": row.account_id,
            "epoch": row.epoch,
            "generation": row.generation,
            "installed_fence": row.installed_fence,
            "former": row.access,
            "access": access,
            "refresh": refresh,
        }
        async with self._database.transaction() as connection:
            return (await connection.execute(_REPLACE, parameters)).first() is not None

    async def places(self, account_ids: Sequence[UUID]) -> Mapping[UUID, tuple[int, int]]:
        """Epoch and generation of these accounts' credentials; those that have none are left out."""
        async with self._database.reading() as connection:
            result = await connection.execute(_PLACES, {"ids": list(account_ids)})
            return {row.account_id: (row.epoch, row.generation) for row in result}
