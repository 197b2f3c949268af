"""Reads and demands of the token route: coalesced, without locks or writes on the warm path."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.coalesced_reads import any_key, coalesced
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.standings import (
    ACCOUNT_COLUMNS,
    AUTH_TYPES,
    CREDENTIAL_COLUMNS,
    Row,
    account_from,
    credential_from,
)
from tokenkeep.application.vend_token import HeldToken, ReadyToken, StoredToken
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, SourceId

# Of a source and an account only what kinds other than OAuth 2 are handed out with.
_KIND_COLUMNS = """CASE WHEN a.auth_type <> 'oauth2' THEN a.properties END AS properties,
       CASE WHEN a.auth_type <> 'oauth2' THEN s.options END AS options,
       CASE WHEN a.auth_type <> 'oauth2' THEN s.client_id END AS client_id"""
_READ = f"""
SELECT {ACCOUNT_COLUMNS}, {CREDENTIAL_COLUMNS}, c.access_ciphertext, c.token_type, c.scopes,
       c.rejected_generation IS NOT DISTINCT FROM c.generation AS reported,
       l.next_refresh_at, l.not_before, s.state = 'paused' AS paused, {_KIND_COLUMNS},
       CASE WHEN l.phase = 'doubt' THEN l.lease_until WHEN l.doubts > 0 THEN l.next_refresh_at END AS quarantined_until, clock_timestamp() AS now
  FROM accounts AS a
  JOIN leases AS l ON l.account_id = a.id
  JOIN sources AS s ON s.id = a.source_id
  LEFT JOIN credentials AS c ON c.account_id = a.id
 WHERE a.id = {any_key("uuid")}
"""  # noqa: S608 - only our own names are put in
_READY = f"""
SELECT {CREDENTIAL_COLUMNS}, a.id, a.source_id, a.environment, a.provider, a.auth_type, c.access_ciphertext, c.token_type, c.scopes,
       {_KIND_COLUMNS}, clock_timestamp() AS now
  FROM accounts AS a
  JOIN credentials AS c ON c.account_id = a.id
  LEFT JOIN sources AS s ON s.id = a.source_id AND a.auth_type <> 'oauth2'
 WHERE a.id = {any_key("uuid")} AND a.state = 'active' AND c.rejected_generation IS DISTINCT FROM c.generation
"""  # noqa: S608 - only our own names are put in

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_WANTED = Columns(account_id="uuid", newer_than="timestamptz")
# due_at comes near, so that a demand whose message is lost is found by a tick; it is never pushed away.
# A row that says it all already is not locked: workers pass over locked rows, and each reader's demand would hide the account
# from the hint of the one before. Whoever does lock it hints after his commit.
_DEMAND = text(f"""
WITH asked AS MATERIALIZED (
    SELECT l.account_id, coalesce(w.newer_than + interval '1 microsecond', clock_timestamp()) AS moment
      FROM leases AS l JOIN {_WANTED.relation("w")} ON w.account_id = l.account_id
      JOIN sources AS s ON s.id = l.source_id
     WHERE l.next_refresh_at IS NOT NULL AND (s.state = 'active' OR :paused_too)
), lacking AS MATERIALIZED (
    SELECT l.account_id, a.moment
      FROM leases AS l JOIN asked AS a ON a.account_id = l.account_id
     WHERE l.demanded_at IS NULL OR l.demanded_at < a.moment
        OR a.moment > l.obtained_at AND l.due_at > clock_timestamp() + interval '2 seconds'
     ORDER BY l.account_id FOR UPDATE OF l
), written AS (
    UPDATE leases AS l
       SET demanded_at = GREATEST(l.demanded_at, w.moment),
           due_at = CASE WHEN w.moment > l.obtained_at
                         THEN LEAST(l.due_at, clock_timestamp() + interval '2 seconds') ELSE l.due_at END
      FROM lacking AS w WHERE l.account_id = w.account_id AND l.next_refresh_at IS NOT NULL
    RETURNING l.account_id
)
SELECT account_id, moment FROM asked
 WHERE account_id NOT IN (SELECT account_id FROM lacking) OR account_id IN (SELECT account_id FROM written)
""")  # noqa: S608 - only our own names are put in


class PostgresTokenReads:
    """Callers that come while a read is under way share the next one. Always fresh: nothing is cached."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batched = coalesced(self.many)

    async def __call__(self, account_id: AccountId) -> StoredToken | None:
        """What is stored for the account now."""
        return await self._batched(account_id)

    async def many(self, account_ids: Sequence[AccountId]) -> Sequence[StoredToken | None]:
        """What is stored for each of these accounts now."""
        rows = await self._database.fetch(_READ, list(set(account_ids)))
        found = {row["id"]: _stored_from(row) for row in rows}
        return [found.get(account_id) for account_id in account_ids]

    async def ready(self, account_ids: Sequence[AccountId]) -> Sequence[ReadyToken | None]:
        """What those of these accounts hold now that are active, and whose token nobody reports as refused: a narrower read than `many`."""
        rows = await self._database.fetch(_READY, list(set(account_ids)))
        found = {held.account_id: ReadyToken(held) for held in map(_held_from, rows)}
        return [found.get(account_id) for account_id in account_ids]


def _stored_from(row: Row) -> StoredToken:
    authenticated = row["generation"] is not None
    return StoredToken(
        account=account_from(row),
        held=_held_from(row) if authenticated else None,
        refreshing=row["next_refresh_at"] is not None,
        paused=row["paused"],
        not_before=row["not_before"],
        quarantined_until=row["quarantined_until"],
        now=row["now"],
        reported=authenticated and row["reported"],
    )


def _held_from(row: Row) -> HeldToken:
    return HeldToken(
        AccountId(row["id"]),
        SourceId(row["source_id"]),
        row["environment"],
        row["provider"],
        AUTH_TYPES[row["auth_type"]],
        credential_from(row),
        SealedKey(row["key_id"], row["wrapped_key"]),
        row["access_ciphertext"],
        row["token_type"],
        tuple(row["scopes"]),
        row["now"],
        row["client_id"],
        row["options"] or _NOTHING,
        row["properties"] or _NOTHING,
    )


class PostgresDemands:
    """Writes on-demand wishes into the accounts' rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, wanted: Mapping[AccountId, datetime | None]) -> Mapping[AccountId, datetime]:
        """Ask for credentials obtained after the given moment, or after now.

        Accounts that are not refreshed are left out, and so are those of paused sources.
        """
        async with self._database.transaction() as connection:
            return await write_demands(connection, wanted)


async def write_demands(
    connection: AsyncConnection, wanted: Mapping[AccountId, datetime | None], *, paused_too: bool = False
) -> Mapping[AccountId, datetime]:
    """Write demands; `paused_too` has them outlive a pause of their source, whose accounts are left out otherwise."""
    rows = [{"account_id": account_id, "newer_than": moment} for account_id, moment in wanted.items()]
    result = await connection.execute(_DEMAND, {**_WANTED.parameters(rows), "paused_too": paused_too})
    return {AccountId(row.account_id): row.moment for row in result}
