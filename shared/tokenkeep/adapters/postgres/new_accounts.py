"""Accounts as they are made: many in one transaction, each with its own result."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.accounts import credential_values
from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.bulk_insert import BulkInsert
from tokenkeep.adapters.postgres.grant_claims import holder_of
from tokenkeep.adapters.postgres.returned_grants import Returning, take_back
from tokenkeep.adapters.postgres.schema import AccountRow, CredentialRow, LeaseRow
from tokenkeep.adapters.postgres.standings import account_values, lease_values
from tokenkeep.application.prepared_account import (
    BeingRevoked,
    Existing,
    PreparedAccount,
    Stored,
    Storing,
    StoringEach,
    Unstorable,
)
from tokenkeep.domain.ids import AccountId

_CLAIMS = Columns(
    account_id="uuid",
    source_id="uuid",
    external_id="text",
    fingerprint="bytea",
    client="bytea",
    token_mark="bytea",  # noqa: S106 - the type of a column
    prefix_mark="bytea",
)
_TAKEN = text(f"""
SELECT n.account_id AS wanted, COALESCE(i.account_id, CASE WHEN g.is_near THEN g.account_id END) AS taken
  FROM {_CLAIMS.relation("n")}
  LEFT JOIN account_identities AS i ON i.source_id = n.source_id AND i.external_id = n.external_id
  LEFT JOIN LATERAL ({holder_of("n")}) AS g ON true
 WHERE i.account_id IS NOT NULL OR g.account_id IS NOT NULL
""")  # noqa: S608 - only our own names are put in
# In the order of their keys, as every statement that may wait for another's rows.
_CLAIM_IDENTITIES = text(f"""
INSERT INTO account_identities (source_id, external_id, account_id)
SELECT source_id, external_id, account_id FROM {_CLAIMS.relation("n")}
 WHERE external_id IS NOT NULL ORDER BY source_id, external_id
ON CONFLICT DO NOTHING RETURNING account_id
""")  # noqa: S608 - only our own names are put in
_CLAIM_GRANTS = text(f"""
INSERT INTO imported_grants (source_id, fingerprint, account_id, client, token_mark, prefix_mark)
SELECT source_id, fingerprint, account_id, client, token_mark, prefix_mark FROM {_CLAIMS.relation("n")}
 WHERE fingerprint IS NOT NULL ORDER BY fingerprint, client, source_id
ON CONFLICT DO NOTHING RETURNING account_id
""")  # noqa: S608 - only our own names are put in
_INSERT_ACCOUNTS = BulkInsert(
    AccountRow, "id", "source_id", "environment", "provider", "auth_type", "external_id", "external_id_verified",
    "external_id_kind", "state", "disabled_reason", "disabled_detail", "disabled_at", "disabled_by", "health", "custody",
    "last_error_reason", "last_error_http_status", "last_error_at", "metadata", "properties",
)  # fmt: skip
_INSERT_LEASES = BulkInsert(
    LeaseRow, "account_id", "source_id", "fence", "epoch", "phase", "attempt_id", "lease_until", "sent_at",
    "presented_generation", "obtained_at", "next_refresh_at", "due_at", "not_before", "consecutive_failures",
    "failing_since", "doubts", "doubt_since", "suspected_at", "event_sequence", "watched_end", "tell_at",
)  # fmt: skip
_INSERT_CREDENTIALS = BulkInsert(
    CredentialRow, "account_id", "epoch", "generation", "installed_fence", "key_id", "wrapped_key", "access_ciphertext",
    "refresh_ciphertext", "token_type", "scopes", "obtained_at", "expires_at", "refresh_token_expires_at",
    "refresh_end_derived", "last_refreshed_at",
)  # fmt: skip
_WITHDRAW = text("DELETE FROM accounts WHERE id = ANY(CAST(:ids AS uuid[]))")
# Wrong data, a broken constraint, a row too large for an index: the row's own fault, whoever its neighbours are.
_ROWS_OWN_FAULTS = ("22", "23", "54")


class PostgresNewAccounts:
    """New accounts over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, accounts: Sequence[PreparedAccount]) -> list[Storing]:
        """Store these; for each what became of it. One that another one has made impossible is not stored.

        Of two with the same verified external id at one source, or the same refresh token of one client, the earlier one is
        stored.
        """
        results: dict[AccountId, Storing] = {}
        waiting = list(accounts)
        while waiting:  # each round decides the first of them, unless who took his place has gone again meanwhile
            front, later = _front(waiting)
            results |= await self._add_front(front)
            waiting = [one for one in front if one.account.id not in results] + later
        return [results[one.account.id] for one in accounts]

    async def add_each(self, accounts: Sequence[PreparedAccount]) -> list[StoringEach]:
        """As `add`, but what the database refuses is left out alone, found by halving the batch."""
        if not accounts:
            return []
        try:
            async with self._connection.begin_nested():
                return list(await self.add(accounts))
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None) or ""
            if not state.startswith(_ROWS_OWN_FAULTS):
                raise
        if len(accounts) == 1:
            return [Unstorable()]
        middle = len(accounts) // 2
        return [*await self.add_each(accounts[:middle]), *await self.add_each(accounts[middle:])]

    async def _add_front(self, accounts: Sequence[PreparedAccount]) -> dict[AccountId, Storing]:
        """What became of those of whom no two claim the same; without those who lost to somebody who has gone."""
        results = await self._taken(accounts)
        free = [one for one in accounts if one.account.id not in results]
        if not free:
            return results
        await _INSERT_ACCOUNTS(self._connection, [_account_row(one) for one in free])
        losers: list[PreparedAccount] = []
        for statement, claimed in ((_CLAIM_IDENTITIES, "identity"), (_CLAIM_GRANTS, "claim")):
            claiming = [one for one in free if getattr(one, claimed) is not None]
            won = await self._claim(statement, claiming)
            losers += [one for one in claiming if one.account.id not in won]
            free = [one for one in free if getattr(one, claimed) is None or one.account.id in won]
        if losers:
            await self._connection.execute(_WITHDRAW, {"ids": [one.account.id for one in losers]})
            results |= await self._taken(losers)
        # A grant, or a user, that comes back is not to lose what he brings to the giving up of what he had.
        blocked = await take_back(self._connection, [_returning(one) for one in free])
        if blocked:
            await self._connection.execute(_WITHDRAW, {"ids": list(blocked)})
            results |= {account_id: BeingRevoked(wait) for account_id, wait in blocked.items()}
            free = [one for one in free if one.account.id not in blocked]
        await self._complete(free)
        return results | dict.fromkeys((one.account.id for one in free), Stored())

    async def _taken(self, accounts: Sequence[PreparedAccount]) -> dict[AccountId, Storing]:
        claims = _CLAIMS.parameters(_claim_row(one) for one in accounts)
        rows = await self._connection.execute(_TAKEN, claims)
        return {AccountId(row.wanted): Existing(None if row.taken is None else AccountId(row.taken)) for row in rows}

    async def _claim(self, statement: Any, accounts: Sequence[PreparedAccount]) -> set[AccountId]:
        if not accounts:
            return set()
        rows = await self._connection.execute(statement, _CLAIMS.parameters(_claim_row(one) for one in accounts))
        return {AccountId(row.account_id) for row in rows}

    async def _complete(self, accounts: Sequence[PreparedAccount]) -> None:
        """Leases and credentials, once it is sure that the accounts stay."""
        await _INSERT_LEASES(self._connection, [_lease_row(one) for one in accounts])
        with_credentials = [row for one in accounts if (row := _credential_row(one)) is not None]
        await _INSERT_CREDENTIALS(self._connection, with_credentials)


def _front(accounts: Iterable[PreparedAccount]) -> tuple[list[PreparedAccount], list[PreparedAccount]]:
    """Those that may be stored together, in their order, and those that claim what one before them claims."""
    front: list[PreparedAccount] = []
    later: list[PreparedAccount] = []
    seen: set[tuple[Any, ...]] = set()
    for one in accounts:
        claims: set[tuple[Any, ...]] = set()
        if one.identity is not None:
            claims.add((one.account.source_id, one.identity))
        if one.claim is not None:
            claims.add((one.claim.client or one.account.source_id, one.claim.fingerprint))
        (later if claims & seen else front).append(one)
        seen |= claims
    return front, later


def _claim_row(one: PreparedAccount) -> dict[str, Any]:
    return {
        "account_id": one.account.id,
        "source_id": one.account.source_id,
        "external_id": one.identity,
        "fingerprint": None if one.claim is None else one.claim.fingerprint,
        "client": None if one.claim is None else one.claim.client,
        "token_mark": None if one.claim is None else one.claim.token_mark,
        "prefix_mark": None if one.claim is None else one.claim.prefix_mark,
    }


def _returning(one: PreparedAccount) -> Returning:
    known = frozenset[bytes]() if one.credentials is None else one.credentials.fingerprints
    return Returning(one.account.id, one.account.source_id, one.identity, known)


def _account_row(one: PreparedAccount) -> dict[str, Any]:
    account = one.account
    values = account_values(account)
    del values["account_id"]
    return {
        **values,
        "id": account.id,
        "source_id": account.source_id,
        "environment": account.environment,
        "provider": account.provider,
        "auth_type": account.auth_type.value,
        "external_id": account.external_id,
        "external_id_verified": account.external_id_verified,
        "external_id_kind": account.external_id_kind,
        "metadata": dict(one.metadata),
        "properties": dict(one.properties),
    }


def _lease_row(one: PreparedAccount) -> dict[str, Any]:
    account = one.account
    return {**lease_values(account, one.lease), "source_id": account.source_id, "obtained_at": one.obtained_at}


def _credential_row(one: PreparedAccount) -> dict[str, Any] | None:
    credentials = one.credentials
    if credentials is None:
        return None
    values = credential_values(credentials.version, credentials.key, credentials.sealed)
    return {"account_id": one.account.id, **values}
