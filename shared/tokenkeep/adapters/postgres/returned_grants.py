"""Grants and users that come back while they are still to be revoked: what they bring must not be lost by that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.audit import write_audit
from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.living_grants import is_same_client
from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.revocations import RevocationEnd
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.ids import AccountId, IdKind, SourceId, format_id

_RETURNING = Columns(account_id="uuid", source_id="uuid", external_id="text", fingerprint="bytea")
# Written so that each line finds an index: it is run for each account that comes in. The rows stay locked: a worker that is about
# to send one of them waits, and finds it gone.
_FOUND = text(f"""
WITH brought AS MATERIALIZED (SELECT * FROM {_RETURNING.relation("n")}),
     coming AS MATERIALIZED (
         SELECT n.account_id, n.external_id, n.fingerprint, other.id AS source_id
           FROM (SELECT DISTINCT source_id FROM brought) AS named
           JOIN sources AS one ON one.id = named.source_id
           JOIN sources AS other ON {is_same_client("one", "other")}
           JOIN brought AS n ON n.source_id = named.source_id),
     found AS (
         SELECT r.id, n.account_id FROM brought AS n JOIN revocation_requests AS r ON r.account_id = n.account_id
          UNION
         SELECT r.id, n.account_id FROM coming AS n JOIN revocation_requests AS r
             ON r.source_id = n.source_id AND r.fingerprint = n.fingerprint
          UNION
         SELECT r.id, n.account_id FROM coming AS n JOIN revocation_requests AS r
             ON r.source_id = n.source_id AND r.access_fingerprint = n.fingerprint
          UNION
         SELECT r.id, n.account_id FROM coming AS n JOIN revocation_requests AS r
             ON r.source_id = n.source_id AND r.external_id = n.external_id)
SELECT r.id, r.account_id, s.environment, found.account_id AS back, r.in_flight_until - clock_timestamp() AS unanswered
  FROM found JOIN revocation_requests AS r ON r.id = found.id LEFT JOIN sources AS s ON s.id = r.source_id
 ORDER BY r.id FOR UPDATE OF r
""")  # noqa: S608 - only our own names are put in
_DROP = text("DELETE FROM revocation_requests WHERE id = ANY(CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True)
class Returning:
    """An account that credentials come to. `external_id`: whose they are, if the provider has told that."""

    account_id: AccountId
    source_id: SourceId
    external_id: str | None
    fingerprints: frozenset[bytes]


async def take_back(connection: AsyncConnection, accounts: Sequence[Returning]) -> Mapping[AccountId, timedelta]:
    """Drop the requests for what these come back with, and tell of it in the audit trail; the caller commits.

    Returns:
        Those whose grant, or whose user's, is with the provider just now, and after what time that is over at the latest. Whether
        their credentials will be worth anything is not known before, so they must not be stored.
    """
    rows = [
        {
            "account_id": one.account_id,
            "source_id": one.source_id,
            "external_id": one.external_id,
            "fingerprint": fingerprint,
        }
        for one in accounts
        for fingerprint in one.fingerprints
    ]
    if not rows:
        return {}
    found = (await connection.execute(_FOUND, _RETURNING.parameters(rows))).all()
    blocked: dict[AccountId, timedelta] = {}
    for row in found:
        if row.unanswered is not None and row.unanswered > timedelta(0):
            account_id = AccountId(row.back)
            blocked[account_id] = max(row.unanswered, blocked.get(account_id, timedelta(0)))
    dropped = {row.id: row for row in found if AccountId(row.back) not in blocked}
    if dropped:
        await connection.execute(_DROP, {"ids": list(dropped)})
        await tell_superseded(connection, list(dropped.values()))
    return blocked


async def tell_superseded(connection: AsyncConnection, rows: Sequence[Row[tuple[object, ...]]]) -> None:
    """Tell, in the trail of its environment, of each that is not revoked after all: `account_id` and `environment`."""
    entries = [
        AuditEntry(
            Caller("tokenkeep", row.environment, frozenset()),
            "account.revoke",
            format_id(IdKind.ACCOUNT, AccountId(row.account_id)),
            RevocationEnd.SUPERSEDED.value,
        )
        for row in rows
        if row.environment is not None  # of a source that is gone it is not known whose trail that would be
    ]
    await write_audit(connection, entries)
