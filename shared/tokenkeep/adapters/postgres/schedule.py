"""The scheduler's reads: claims of what is due, and looks after what was never given back."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import Row, text

from tokenkeep.adapters.postgres.batch import Columns
from tokenkeep.adapters.postgres.claim_front import ClaimFront, is_dear
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.application.refreshing import Claimed, DueAccount, Lane, StuckLease
from tokenkeep.domain.ids import AccountId, SourceId

# Of a source that is paused, or that proves a changed client, only the account goes that was picked to show how things are.
# statement_timestamp() and not clock_timestamp(): only a stable function lets the index on due_at be used.
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT account_id, due_at FROM leases
     WHERE due_at <= statement_timestamp() AND phase = 'idle' AND next_refresh_at IS NOT NULL
       {reach}
     ORDER BY due_at {order} LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE leases AS l
   SET due_at = CASE
           WHEN NOT g.admitted THEN clock_timestamp() + make_interval(secs => :paused_s)
           WHEN l.not_before > clock_timestamp() THEN l.not_before
           ELSE clock_timestamp() + make_interval(secs => :trust_s) END
  FROM due, sources AS s,
       LATERAL (SELECT s.state = 'active' AND NOT s.proving AS all_go) AS a,
       LATERAL (SELECT a.all_go OR COALESCE(s.probe_account_id = due.account_id, false) AS admitted) AS g
 WHERE l.account_id = due.account_id AND s.id = l.source_id
RETURNING l.account_id, l.source_id, l.next_refresh_at, NOT a.all_go AS probe, due.due_at AS fell_due_at,
          statement_timestamp() AS looked_at, g.admitted AND (l.not_before IS NULL OR l.not_before <= clock_timestamp()) AS may_go
"""
# What fell due within the usual lead still has a living token, as a rule.
_CLAIMS = {
    Lane.OLDEST: text(_CLAIM.format(reach="AND due_at >= :after", order="ASC")),
    Lane.NEWEST: text(_CLAIM.format(reach="", order="DESC")),
    Lane.IN_TIME: text(_CLAIM.format(reach="AND due_at > statement_timestamp() - interval '15 minutes'", order="ASC")),
}
# To plan a claim costs PostgreSQL more than to find that nothing is due, and it plans each anew: what it expects by the values of
# one is less than it would expect of any. The plan of this is kept, and there is no transaction around it.
_IS_ANYBODY_DUE = """
SELECT FROM leases
 WHERE due_at <= statement_timestamp() AND due_at >= $1 AND phase = 'idle' AND next_refresh_at IS NOT NULL
 ORDER BY due_at LIMIT 1
"""
_WAITS = Columns(account_id="uuid", wait_s="double precision")
# A row that is locked is being worked on, one that is not idle is looked at by its lease, and one that owes nothing at its own time,
# if at all: a due time would have the row of an account that is disabled be looked at without end.
_PUT_OFF = text(f"""
UPDATE leases AS l
   SET due_at = clock_timestamp() + make_interval(secs => mine.wait_s),
       not_before = CASE WHEN :binding THEN GREATEST(l.not_before, clock_timestamp() + make_interval(secs => mine.wait_s))
                         ELSE l.not_before END
  FROM (SELECT l.account_id, w.wait_s
          FROM leases AS l JOIN {_WAITS.relation("w")} ON w.account_id = l.account_id
         WHERE l.phase = 'idle' AND l.next_refresh_at IS NOT NULL
           AND (l.next_refresh_at <= clock_timestamp() OR l.demanded_at > l.obtained_at)
           FOR UPDATE OF l SKIP LOCKED) AS mine
 WHERE l.account_id = mine.account_id
""")  # noqa: S608 - only our own names are put in
_SOURCES = text("SELECT account_id, source_id FROM leases WHERE account_id = ANY(CAST(:ids AS uuid[]))")
_LIVES = text("""
SELECT account_id, CAST(extract(epoch FROM expires_at - clock_timestamp()) AS double precision) AS life_s
  FROM credentials WHERE account_id = ANY(CAST(:ids AS uuid[]))
""")
_NOW = "SELECT statement_timestamp() AS now"
_UNCLAIM = text("""
UPDATE leases AS l SET due_at = statement_timestamp()
  FROM (SELECT account_id FROM leases
         WHERE account_id = ANY(CAST(:ids AS uuid[])) AND phase = 'idle' AND next_refresh_at IS NOT NULL
         ORDER BY account_id FOR UPDATE SKIP LOCKED) AS mine
 WHERE l.account_id = mine.account_id
""")
_STUCK = text("""
SELECT account_id, source_id, fence, phase, attempt_id, sent_at, clock_timestamp() AS seen_at,
       (SELECT a.correlation_id FROM refresh_attempts AS a
         WHERE a.account_id = leases.account_id AND a.id = leases.attempt_id) AS correlation_id
  FROM leases
 WHERE due_at <= statement_timestamp() AND phase <> 'idle' AND lease_until <= statement_timestamp()
 ORDER BY due_at LIMIT :limit
""")
_RUN_OUT = text("""
SELECT account_id, source_id FROM leases
 WHERE due_at <= statement_timestamp() AND phase = 'idle' AND next_refresh_at IS NULL
 ORDER BY due_at LIMIT :limit
""")


class PostgresSchedule:
    """What is due, by the database's clock. Any number of schedulers share the work: claims skip locked rows."""

    def __init__(
        self, database: Database, *, front: ClaimFront | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._database = database
        self._clock = clock
        self._front = front or ClaimFront()
        self._is_behind = False

    async def claim_due(self, *, limit: int, trust: timedelta, paused: timedelta, lane: Lane = Lane.OLDEST) -> Claimed:
        """The accounts that are due, as many as the limit lets, from where the lane begins.

        The claim pushes `due_at` away by `trust`, the time that a hint is given to lead to something; `next_refresh_at` is
        only ever changed by what is settled. Accounts of sources that are paused or prove their client are put aside for
        `paused`, or until they are woken; accounts that nobody may try yet until then. Neither are returned.
        """
        parameters = {
            "limit": limit,
            "trust_s": trust.total_seconds(),
            "paused_s": paused.total_seconds(),
        }
        if lane is Lane.OLDEST:
            rows = await self._from_the_front(parameters)
        else:
            async with self._database.transaction() as connection:
                rows = (await connection.execute(_CLAIMS[lane], parameters)).all()
        accounts = [
            DueAccount(AccountId(row.account_id), SourceId(row.source_id), row.next_refresh_at, probe=row.probe)
            for row in rows
            if row.may_go
        ]
        return Claimed(accounts, len(rows))

    async def put_off(self, waits: Mapping[AccountId, float], *, binding: bool) -> None:
        """Look at these again in so many seconds. `binding`: nobody may try them before that, whoever asks."""
        rows = [{"account_id": one, "wait_s": wait_s} for one, wait_s in waits.items()]
        async with self._database.transaction() as connection:
            await connection.execute(_PUT_OFF, {**_WAITS.parameters(rows), "binding": binding})

    async def sources_of(self, account_ids: Sequence[AccountId]) -> dict[AccountId, SourceId]:
        """Whose accounts these are; those that are gone are left out."""
        async with self._database.reading() as connection:
            rows = await connection.execute(_SOURCES, {"ids": list(account_ids)})
            return {AccountId(row.account_id): SourceId(row.source_id) for row in rows}

    async def lives(self, account_ids: Sequence[AccountId]) -> dict[AccountId, float | None]:
        """How many seconds the access tokens of these still live; None for those that never expire."""
        async with self._database.reading() as connection:
            rows = await connection.execute(_LIVES, {"ids": list(account_ids)})
            return {AccountId(row.account_id): row.life_s for row in rows}

    async def _from_the_front(self, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """A claim that begins with the oldest, or where the former one ended if the way there is long."""
        after = self._front.begin(now=self._clock())
        rows: Sequence[Row[Any]] = ()
        looked_at: datetime | None = None
        try:
            began = self._clock()
            # Where the former look left some behind, the question whether there are any would be one too many.
            if self._is_behind or await self._database.fetch(_IS_ANYBODY_DUE, after):
                async with self._database.transaction() as connection:
                    rows = (await connection.execute(_CLAIMS[Lane.OLDEST], {**parameters, "after": after})).all()
            took_s = self._clock() - began
            if rows:
                looked_at = rows[0].looked_at
            elif is_dear(took_s):
                [row] = await self._database.fetch(_NOW)
                # What fell due while it looked it has not seen.
                looked_at = row["now"] - timedelta(seconds=self._clock() - began)
        except TimeoutError:
            self._front.gave_up(now=self._clock())
            raise
        # A look that has not filled its limit has seen all that is due.
        self._is_behind = len(rows) == parameters["limit"]
        last = max(row.fell_due_at for row in rows) if self._is_behind else None
        self._front.ended(after, last, looked_at, took_s=took_s, now=self._clock())
        return rows

    async def unclaim(self, account_ids: Sequence[AccountId]) -> None:
        """Make claimed accounts due again at once: their hint could not be given."""
        async with self._database.transaction() as connection:
            await connection.execute(_UNCLAIM, {"ids": list(account_ids)})

    async def stuck(self, *, limit: int) -> list[StuckLease]:
        """Leases whose time is over."""
        async with self._database.reading() as connection:
            result = await connection.execute(_STUCK, {"limit": limit})
            return [
                StuckLease(
                    AccountId(r.account_id),
                    SourceId(r.source_id),
                    r.fence,
                    r.phase,
                    r.attempt_id,
                    r.sent_at,
                    r.seen_at,
                    r.correlation_id,
                )
                for r in result
            ]

    async def run_out(self, *, limit: int) -> dict[AccountId, SourceId]:
        """Accounts that can't be refreshed and whose credentials have expired, with their sources; the longest due first."""
        async with self._database.reading() as connection:
            rows = await connection.execute(_RUN_OUT, {"limit": limit})
            return {AccountId(row.account_id): SourceId(row.source_id) for row in rows}
