"""Deleting in batches, each a small transaction, from the oldest row on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import TextClause, text

from tokenkeep.adapters.postgres.engine import Database

BATCH: Final = 10_000
"""How many rows a statement deletes, or looks at, at most."""

_MOST_BATCHES: Final = 1_000
"""Ten million rows of each kind in a round: what the refreshes of a fleet leave behind in hours goes within minutes."""

_FIRST: Final = {"timestamptz": "'-infinity'", "uuid": "'00000000-0000-0000-0000-000000000000'"}


@dataclass(frozen=True, slots=True)
class Deletion:
    """One statement, said again until it finds no more.

    Attributes:
        statement: Deletes at most a batch. One that walks takes `:after`, NULL at first, and returns one row: how many it
            `deleted`, the `last` that it looked at, which is where it goes on, and whether there may be `more`.
        walks: Whether it does. What it has passed is not passed again within a round: not the rows that are kept, nor the
            entries of an index whose rows were just deleted, which stay until a VACUUM.
    """

    statement: TextClause
    walks: bool = False

    async def __call__(self, database: Database, settings: Mapping[str, int]) -> int:
        """Delete what there is, within bounds; returns how many rows that were. `settings` has what the statement names."""
        named = self.statement.compile().params
        wanted: dict[str, Any] = {name: value for name, value in settings.items() if name in named}
        if self.walks:
            return await self._walk(database, wanted)
        deleted = 0
        for _ in range(_MOST_BATCHES):
            async with database.transaction() as connection:
                count = (await connection.execute(self.statement, wanted)).rowcount
            deleted += count
            if count < BATCH:
                break
        return deleted

    async def _walk(self, database: Database, wanted: Mapping[str, Any]) -> int:
        deleted, after = 0, None
        for _ in range(_MOST_BATCHES):
            async with database.transaction() as connection:
                row = (await connection.execute(self.statement, {**wanted, "after": after})).one()
            deleted += row.deleted
            if not row.more:
                break
            after = row.last
        return deleted


def oldest_first(table: str, column: str, *, until: str, besides: str = "true", kind: str = "timestamptz") -> Deletion:
    """Delete what is below `until` along an ordered index on `column`.

    Rows are found by where they lie, so that no plan can read the table for those that the index has named. The conditions
    are said twice, because a row that another transaction changes meanwhile is looked at again by the outer ones alone.

    Args:
        table: Its name.
        column: What rows are ordered by. It never changes.
        until: What is kept, as an expression of SQL: what is as young as that, or younger.
        besides: What must be true as well, in the words of a partial index if there is one.
        kind: The column's type, `timestamptz` or `uuid`.
    """
    is_old = f"{column} < {until} AND ({besides})"
    statement = f"""
WITH old AS MATERIALIZED (
    SELECT ctid, {column} AS place FROM {table}
     WHERE {column} >= coalesce(CAST(:after AS {kind}), {_FIRST[kind]}) AND {is_old} ORDER BY {column} LIMIT {BATCH}
), gone AS (
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM old)) AND {is_old} RETURNING 1
)
SELECT deleted, (SELECT place FROM old ORDER BY place DESC LIMIT 1) AS last,
       deleted > 0 AND (SELECT count(*) FROM old) = {BATCH} AS more
  FROM (SELECT count(*) AS deleted FROM gone) AS counted
"""  # noqa: S608 - only our own names and numbers are put in
    return Deletion(text(statement), walks=True)


def batch(table: str, condition: str) -> Deletion:
    """Delete what meets a condition, in no order.

    Args:
        table: Its name.
        condition: As an expression of SQL in which `r` is the row.
    """
    return Deletion(
        text(f"""
DELETE FROM {table} AS r
 WHERE r.ctid = ANY(ARRAY(SELECT r.ctid FROM {table} AS r WHERE {condition} LIMIT {BATCH})) AND {condition}
""")  # noqa: S608 - as above
    )
