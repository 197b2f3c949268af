"""Claims on grants: two accounts of one client never come with the same refresh token, whatever source they are at."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.application.prepared_account import GrantClaim
from tokenkeep.domain.account import Account
from tokenkeep.domain.conflicts import AccountExists
from tokenkeep.domain.ids import IdKind, format_id


def holder_of(new: str) -> str:
    """A query for the claim that stands in the way of `new`, which has `source_id`, `fingerprint` and `client`.

    A claim counts for the client that it was made under and for the one that its source has now. `is_near`: the holder is of the
    same environment.
    """
    return f"""
SELECT g.account_id, o.environment = s.environment AS is_near
  FROM imported_grants AS g
  JOIN sources AS o ON o.id = g.source_id
  JOIN sources AS s ON s.id = {new}.source_id
 WHERE g.fingerprint = {new}.fingerprint
   AND (g.source_id = {new}.source_id OR g.client = {new}.client OR (o.provider = s.provider AND o.client_id = s.client_id))
 ORDER BY g.source_id = {new}.source_id DESC, is_near DESC LIMIT 1
"""  # noqa: S608 - only our own names are put in


_CLAIM = Columns(
    account_id="uuid",
    source_id="uuid",
    fingerprint="bytea",
    client="bytea",
    token_mark="bytea",  # noqa: S106 - the type of a column
    prefix_mark="bytea",
)
# Two at once meet at a unique index, be they of one source or of one client.
_INSERT = text(f"""
INSERT INTO imported_grants (source_id, fingerprint, account_id, client, token_mark, prefix_mark)
SELECT source_id, fingerprint, account_id, client, token_mark, prefix_mark FROM {_CLAIM.relation("n")}
ON CONFLICT DO NOTHING RETURNING account_id
""")  # noqa: S608 - only our own names are put in
_HOLDER = text(f"SELECT h.* FROM {_CLAIM.relation('n')} CROSS JOIN LATERAL ({holder_of('n')}) AS h")  # noqa: S608 - as above


async def claim_grant(connection: AsyncConnection, account: Account, claim: GrantClaim) -> None:
    """Note which refresh token an account, which claims no other one, came with; the caller commits.

    Raises:
        AccountExists: Another account of the same client came with the same one.
    """
    claimed = {
        "account_id": account.id,
        "source_id": account.source_id,
        "fingerprint": claim.fingerprint,
        "client": claim.client,
        "token_mark": claim.token_mark,
        "prefix_mark": claim.prefix_mark,
    }
    row = _CLAIM.parameters([claimed])
    holder = (await connection.execute(_HOLDER, row)).first()
    if holder is None and (await connection.execute(_INSERT, row)).first() is not None:
        return
    if holder is None:
        holder = (await connection.execute(_HOLDER, row)).first()  # it was there first after all, by a moment
    raise AccountExists(format_id(IdKind.ACCOUNT, holder.account_id) if holder is not None and holder.is_near else None)
