"""What came of a run, read from the rows: who was due, when he was refreshed, and what he had until then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tokenkeep.cli.bench.fleet.stock import FleetSource

# Times of before, which nobody keeps: a refresh writes over them.
_NOTE: Final = (
    text("""
CREATE UNLOGGED TABLE bench_due AS
SELECT l.account_id, l.source_id, l.next_refresh_at AS due_at, c.expires_at
  FROM leases AS l JOIN credentials AS c ON c.account_id = l.account_id WHERE l.next_refresh_at < :until
"""),
    text("ALTER TABLE bench_due ADD PRIMARY KEY (account_id)"),
    text("ANALYZE bench_due"),
)
_DUE_PER_SECOND: Final = text("""
SELECT CAST(floor(extract(epoch FROM due_at - :start)) AS integer) AS second, count(*) AS due
  FROM bench_due WHERE due_at >= :start AND due_at < :until GROUP BY 1
""")
_COUNT: Final = text("SELECT count(*) FROM bench_due WHERE due_at >= :start AND due_at < :until")
# The first refresh that succeeded; of who has had none, how late he is by now.
_FATES: Final = text("""
WITH refreshed AS (
    SELECT account_id, min(settled_at) AS at, count(*) AS times FROM refresh_attempts WHERE outcome = 'ok' GROUP BY account_id
)
SELECT d.source_id, a.state = 'disabled' AS disabled, r.at IS NOT NULL AS refreshed,
       CAST(extract(epoch FROM COALESCE(r.at, :now) - d.due_at) AS double precision) AS late_s,
       a.state = 'active' AND COALESCE(r.at, :now) > d.expires_at AS expired,
       r.at < :until AS within
  FROM bench_due AS d
  JOIN accounts AS a ON a.id = d.account_id
  LEFT JOIN refreshed AS r ON r.account_id = d.account_id
 WHERE d.due_at >= :start AND d.due_at < :until
""")
_DISABLED: Final = text("SELECT CAST(external_id AS bigint) FROM accounts WHERE state = 'disabled'")
_OUTCOMES: Final = text("SELECT outcome, count(*) AS attempts FROM refresh_attempts GROUP BY outcome")
_LEFT: Final = text("SELECT count(*) FROM leases WHERE phase <> 'idle'")
_EXPIRED: Final = text("""
SELECT count(*) FROM accounts AS a JOIN credentials AS c ON c.account_id = a.id
 WHERE a.state = 'active' AND c.expires_at <= clock_timestamp()
""")
_NOW: Final = text("SELECT clock_timestamp()")


@dataclass(frozen=True, slots=True)
class Lateness:
    """Settled minus due, in seconds, of those who were refreshed; `accounts` of them."""

    accounts: int
    p50_s: float
    p99_s: float
    most_s: float


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of those who came due within the time.

    Attributes:
        refreshed: Who was refreshed, until the last look.
        refreshed_within: Who was refreshed before the time was over.
        disabled: Who was told that his grant is revoked.
        waiting: Who was neither; of them `waiting_out` at a provider that had an outage.
        expired: Active accounts whose token ended before they were refreshed; those of a provider in an outage aside.
        well: The lateness at providers without a trouble of their own.
        troubled: That at the others.
    """

    due: int
    refreshed: int
    refreshed_within: int
    disabled: int
    waiting: int
    waiting_out: int
    expired: int
    well: Lateness
    troubled: Lateness


@dataclass(frozen=True, slots=True)
class Readings:
    """Reads over an engine whose statements may take long."""

    engine: AsyncEngine
    sources: Sequence[FleetSource]
    start: datetime
    until: datetime

    async def note(self) -> None:
        """Keep when accounts are due, and how long their tokens live. Once, before the run."""
        async with self.engine.begin() as connection:
            for statement in _NOTE:
                await connection.execute(statement, {"until": self.until} if statement is _NOTE[0] else {})

    async def due(self) -> int:
        """How many accounts come due within the time."""
        async with self.engine.connect() as connection:
            return int((await connection.execute(_COUNT, self._span)).scalar_one())

    async def due_per_second(self) -> list[int]:
        """How many come due in each second of it."""
        async with self.engine.connect() as connection:
            rows = {row.second: row.due for row in await connection.execute(_DUE_PER_SECOND, self._span)}
        return [rows.get(second, 0) for second in range(round((self.until - self.start).total_seconds()))]

    async def fates(self) -> Fates:
        """What has become of them by now."""
        troubled = {one.id for one in self.sources if one.provider.trouble is not None}
        out = {one.id for one in self.sources if one.provider.trouble == "out"}
        async with self.engine.connect() as connection:
            now = (await connection.execute(_NOW)).scalar_one()
            rows = (await connection.execute(_FATES, {**self._span, "now": now})).all()
        waiting = [row for row in rows if not row.refreshed and not row.disabled]
        return Fates(
            due=len(rows),
            refreshed=sum(row.refreshed for row in rows),
            refreshed_within=sum(bool(row.within) for row in rows),
            disabled=sum(row.disabled for row in rows),
            waiting=len(waiting),
            waiting_out=sum(row.source_id in out for row in waiting),
            expired=sum(row.expired and row.source_id not in out for row in rows),
            well=_lateness([row.late_s for row in rows if row.refreshed and row.source_id not in troubled]),
            troubled=_lateness([row.late_s for row in rows if row.refreshed and row.source_id in troubled]),
        )

    async def disabled(self) -> set[int]:
        """The numbers of the accounts that are disabled."""
        async with self.engine.connect() as connection:
            return set((await connection.execute(_DISABLED)).scalars())

    async def expired_now(self) -> int:
        """How many active accounts of the whole fleet have a token that has run out."""
        async with self.engine.connect() as connection:
            return int((await connection.execute(_EXPIRED)).scalar_one())

    async def outcomes(self) -> dict[str, int]:
        """How the attempts ended."""
        async with self.engine.connect() as connection:
            return {row.outcome or "open": row.attempts for row in await connection.execute(_OUTCOMES)}

    async def held(self) -> int:
        """How many accounts are in somebody's hands."""
        async with self.engine.connect() as connection:
            return int((await connection.execute(_LEFT)).scalar_one())

    @property
    def _span(self) -> dict[str, datetime]:
        return {"start": self.start, "until": self.until}


async def database_now(engine: AsyncEngine) -> datetime:
    """The database's clock."""
    async with engine.connect() as connection:
        now: datetime = (await connection.execute(_NOW)).scalar_one()
        return now


def after(moment: datetime, seconds: float) -> datetime:
    """So much later."""
    return moment + timedelta(seconds=seconds)


def _lateness(seconds: Sequence[float]) -> Lateness:
    if not seconds:
        return Lateness(0, 0.0, 0.0, 0.0)
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    return Lateness(len(ordered), at(0.5), at(0.99), ordered[-1])
