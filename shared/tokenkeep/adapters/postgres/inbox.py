"""The inbox: events of services, from their acceptance to their effect."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.application.inbox import EventKey, FailedEvent, InboxEvent, NewInboxEvent, Outcome, PostponedEvent
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.incoming_event import IncomingEvent, IncomingType

INBOX_CHANNEL = "tokenkeep_inbox"
"""PostgreSQL notification channel that wakes those who work events off."""

_MOST_TRIES = 20
_LONGEST_WAIT_S = 300
_PAGE = 5_000
_MOST_PAGES = 40
"""Whoever stands behind 200,000 events of accounts that are put off waits until these are due."""
_LOCKS = 1_129_270_610  # a space of its own among the advisory locks
_ENVIRONMENTS = text("SELECT id, environment FROM accounts WHERE id = ANY(CAST(:ids AS uuid[]))")
_COLUMNS = Columns(
    environment="text",
    source="text",
    id="text",
    type="text",
    account_id="uuid",
    token_fingerprint="text",  # noqa: S106 - the type of a column
    actor="text",
    address="text",
    correlation_id="text",
)
_ADD = text(f"""
WITH added AS (
    INSERT INTO inbox_events
           (environment, source, id, type, account_id, token_fingerprint, actor, address, correlation_id)
    SELECT environment, source, id, type, account_id, token_fingerprint, actor, address, correlation_id
      FROM {_COLUMNS.ordered_relation("new")} ORDER BY ordinality
    ON CONFLICT DO NOTHING
    RETURNING environment, source, id
)
SELECT environment, source, id, pg_notify('{INBOX_CHANNEL}', '') FROM added
""")  # noqa: S608 - only our own names are put in
# One at a time works on an account, so its events have their effects in order; others turn to other accounts.
_HOLD = text("SELECT pg_try_advisory_xact_lock(:space, hashtext(CAST(:id AS uuid)::text))")
_TAKE = text("""
SELECT position, environment, source, id, type, account_id, token_fingerprint, actor, address, correlation_id, received_at,
       next_try_at <= clock_timestamp() AS is_due
  FROM inbox_events WHERE account_id = :id AND outcome IS NULL ORDER BY position LIMIT 1
""")
_CLOSE = text("""
UPDATE inbox_events SET outcome = :outcome, settled_at = clock_timestamp() WHERE position = :position AND outcome IS NULL
   AND account_id = :account_id
""")
_REJECTED = text("""
UPDATE credentials SET rejected_generation = generation
 WHERE account_id = :id AND rejected_generation IS DISTINCT FROM generation
RETURNING account_id
""")
# The accounts of a page of what waits, by their oldest events. In pages, and by no join: a backlog that statistics do not know
# yet would be joined with itself.
_PAGE_OF_WAITING = text(f"""
WITH page AS MATERIALIZED (
    SELECT account_id, position, next_try_at FROM inbox_events
     WHERE outcome IS NULL AND position > :after ORDER BY position LIMIT {_PAGE}
)
SELECT account_id, (array_agg(next_try_at ORDER BY position))[1] <= clock_timestamp() AS is_due,
       (SELECT max(position) FROM page) AS last, (SELECT count(*) FROM page) AS size
  FROM page GROUP BY account_id ORDER BY min(position)
""")  # noqa: S608 - only our own number is put in
_POSTPONE = text(f"""
UPDATE inbox_events
   SET tries = tries + 1, error = :error,
       next_try_at = clock_timestamp() + make_interval(secs => LEAST(power(2, tries), {_LONGEST_WAIT_S})),
       outcome = CASE WHEN tries + 1 >= {_MOST_TRIES} THEN 'failed' END,
       settled_at = CASE WHEN tries + 1 >= {_MOST_TRIES} THEN clock_timestamp() END
 WHERE outcome IS NULL AND account_id = :id
   AND position = (SELECT min(position) FROM inbox_events WHERE account_id = :id AND outcome IS NULL)
RETURNING type, correlation_id, outcome
""")  # noqa: S608 - only our own numbers are put in
_FAILED = text("""
SELECT position, environment, source, id, type, account_id, error, received_at
  FROM inbox_events
 WHERE outcome = 'failed' AND (CAST(:environment AS text) IS NULL OR environment = :environment)
 ORDER BY position LIMIT :limit
""")
_RETRY = text(f"""
WITH again AS (
    UPDATE inbox_events SET outcome = NULL, settled_at = NULL, tries = 0, next_try_at = clock_timestamp()
     WHERE outcome = 'failed' AND position = ANY(CAST(:positions AS bigint[]))
       AND (CAST(:environment AS text) IS NULL OR environment = :environment)
    RETURNING position
)
SELECT position, pg_notify('{INBOX_CHANNEL}', '') FROM again
""")  # noqa: S608 - only our own names are put in


class PostgresInbox:
    """The inbox over one connection; the caller commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def environments(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, str]:
        """The environment of each account that there is."""
        result = await self._connection.execute(_ENVIRONMENTS, {"ids": list(account_ids)})
        return {AccountId(row.id): row.environment for row in result}

    async def add(self, events: Sequence[NewInboxEvent]) -> Collection[EventKey]:
        """Keep these, in their order; returns the keys of those that were not there yet. No key may come twice."""
        if not events:
            return ()
        rows = [
            {
                "environment": one.sender.environment,
                "source": one.event.source,
                "id": one.event.id,
                "type": one.event.type.value,
                "account_id": one.event.account_id,
                "token_fingerprint": one.event.token_fingerprint,
                "actor": one.sender.name,
                "address": one.sender.address,
                "correlation_id": one.correlation_id,
            }
            for one in events
        ]
        result = await self._connection.execute(_ADD, _COLUMNS.parameters(rows))
        return {(row.environment, row.source, row.id) for row in result}

    async def take(self, account_id: AccountId) -> InboxEvent | None:
        """The account's oldest event that waits, and the account itself until the transaction ends.

        None if nothing waits, the oldest is put off, or somebody else is at it.
        """
        held = await self._connection.execute(_HOLD, {"space": _LOCKS, "id": account_id})
        if not held.scalar_one():
            return None
        # A statement of its own: it sees what was committed by whoever held the account before.
        row = (await self._connection.execute(_TAKE, {"id": account_id})).mappings().first()
        return None if row is None or not row["is_due"] else _event_from(row)

    async def mark_rejected(self, account_id: AccountId) -> bool:
        """Note that the provider is said to refuse the present token; whether that is news."""
        return (await self._connection.execute(_REJECTED, {"id": account_id})).first() is not None

    async def close(self, taken: InboxEvent, outcome: Outcome) -> None:
        """Note what came of an event that was taken."""
        parameters = {"position": taken.position, "account_id": taken.event.account_id, "outcome": outcome.value}
        await self._connection.execute(_CLOSE, parameters)


class PostgresInboxQueue:
    """What waits in the inbox, and what failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pending(self, limit: int) -> Sequence[AccountId]:
        """Accounts whose events wait, those first whose events have waited longest.

        Those whose oldest event is put off are left out: what waits behind it is not due either, and would crowd out the others.
        """
        found: list[AccountId] = []
        known: set[AccountId] = set()
        after = 0
        async with self._database.reading() as connection:
            for _ in range(_MOST_PAGES):
                rows = (await connection.execute(_PAGE_OF_WAITING, {"after": after})).all()
                found += [AccountId(row.account_id) for row in rows if row.is_due and row.account_id not in known]
                if len(found) >= limit or not rows or rows[0].size < _PAGE:
                    break
                known.update(row.account_id for row in rows)
                after = rows[0].last
        return found[:limit]

    async def postpone(self, account_id: AccountId, error: str) -> PostponedEvent | None:
        """Put the account's oldest event off, or give it up once it has been tried often enough; None if none waits any more."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_POSTPONE, {"id": account_id, "error": error})).first()
        if row is None:
            return None
        return PostponedEvent(IncomingType(row.type), row.correlation_id, given_up=row.outcome is not None)

    async def failed(self, limit: int, *, environment: str | None = None) -> Sequence[FailedEvent]:
        """Events that were given up, oldest first; of one environment, if one is named."""
        wanted = {"limit": limit, "environment": environment}
        async with self._database.reading() as connection:
            return [FailedEvent(**row) for row in (await connection.execute(_FAILED, wanted)).mappings()]

    async def retry(self, positions: Collection[int], *, environment: str | None = None) -> Collection[int]:
        """Have these tried again; returns those that had failed, in that environment if one is named."""
        wanted = {"positions": list(positions), "environment": environment}
        async with self._database.transaction() as connection:
            return {row.position for row in await connection.execute(_RETRY, wanted)}


def _event_from(row: RowMapping) -> InboxEvent:
    event = IncomingEvent(
        source=row["source"],
        id=row["id"],
        type=IncomingType(row["type"]),
        account_id=AccountId(row["account_id"]),
        environment=row["environment"],
        token_fingerprint=row["token_fingerprint"],
    )
    sender = Caller(row["actor"], row["environment"], frozenset(), row["address"])
    return InboxEvent(row["position"], event, sender, row["correlation_id"], row["received_at"])
