"""Credentials erased while their accounts stay: deleted with all that was derived from them."""

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.domain.ids import AccountId

_IDS = "CAST(:ids AS uuid[])"
# The highest generation is remembered in the lease: credentials that come later go on counting from there. The epoch moves on
# as well, so that a late answer of the erased grant is not taken for one of the grant just before the present one.
_ERASE = (
    text(f"""
UPDATE leases AS l
   SET epoch = l.epoch + 1, presented_generation = GREATEST(l.presented_generation, c.generation), doubts = 0,
       doubt_since = NULL
  FROM credentials AS c WHERE c.account_id = l.account_id AND l.account_id = ANY({_IDS})
"""),  # noqa: S608 - only our own expression is put in
    text(f"DELETE FROM credentials WHERE account_id = ANY({_IDS})"),  # noqa: S608 - as above
    text(f"DELETE FROM receipts WHERE account_id = ANY({_IDS})"),  # noqa: S608 - as above
    text(f"DELETE FROM imported_grants WHERE account_id = ANY({_IDS})"),  # noqa: S608 - as above
    text(f"DELETE FROM source_revocations WHERE account_id = ANY({_IDS})"),  # noqa: S608 - as above
)


async def erase_credentials(connection: AsyncConnection, account_ids: Collection[AccountId]) -> None:
    """Erase the credentials of these accounts, which are locked; the caller commits."""
    for statement in _ERASE:
        await connection.execute(statement, {"ids": list(account_ids)})
