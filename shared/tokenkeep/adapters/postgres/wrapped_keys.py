"""Every wrapped data key of the database, whatever table it lies in: what the models say of themselves is what is looked at."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ARRAY, Column, Select, Table, cast, column, func, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tokenkeep.adapters.postgres.audit import write_audit
from tokenkeep.adapters.postgres.engine import Database
from tokenkeep.adapters.postgres.keyring_holders import connected_in, holders_in
from tokenkeep.adapters.postgres.schema import Base
from tokenkeep.adapters.postgres.schema.metadata import WRAPPED_FOR
from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.key_rotation import Place, WrappedRow
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.key_removal import KeyringUse

_NOW: Final = text("SELECT clock_timestamp()")


def wrapped_tables() -> dict[str, Table]:
    """The tables that hold wrapped data keys: those with a column that says for whom they are wrapped."""
    found = (table for table in Base.metadata.sorted_tables for it in table.columns if WRAPPED_FOR in it.info)
    return {table.name: table for table in found}


class PostgresWrappedKeys:
    """A `WrappedKeys`. Each call is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tables = wrapped_tables()

    def tables(self) -> Sequence[str]:
        """Their names; a table before those that refer to it."""
        return tuple(self._tables)

    async def use(self) -> KeyringUse:
        """Exact counts of all tables and the processes, all as of one moment. Reads every row: a minute for some ten million."""
        rows: dict[str, dict[str, int]] = {}
        async with self._database.snapshot() as connection:
            holders, connected = await holders_in(connection), await connected_in(connection)
            counted_at: datetime = (await connection.execute(_NOW)).scalar_one()
            for name, table in self._tables.items():
                for key_id, count in await _counts(connection, table):
                    rows.setdefault(key_id, {})[name] = count
        return KeyringUse(counted_at, rows, holders, connected)

    async def page(
        self, table: str, after: Place | None, *, current: str, limit: int
    ) -> tuple[Sequence[WrappedRow], Place | None]:
        """Of the next `limit` rows those that another key than `current` wraps, and the place to go on from; None at the end."""
        it = self._tables[table]
        places = tuple(it.primary_key.columns)
        async with self._database.reading() as connection:
            last = (await connection.execute(_last_of(_behind(select(*places), places, after, limit), places))).first()
            if last is None:
                return [], None
            upto = tuple(last)
            statement = _behind(
                select(*places, _owner_of(it).label("owner_"), it.c.key_id, it.c.wrapped_key), places, after, limit
            ).where(tuple_(*places) <= _literal(places, upto), it.c.key_id != current)
            found = (await connection.execute(statement)).all()
        width = len(places)
        return [
            WrappedRow(tuple(row[:width]), row.owner_, SealedKey(row.key_id, row.wrapped_key)) for row in found
        ], upto

    async def replace(self, table: str, rows: Sequence[tuple[WrappedRow, SealedKey]]) -> int:
        """Put these in the place of what was read; how many were. A row that has changed, or that somebody holds, is left as it is."""
        it = self._tables[table]
        places = tuple(it.primary_key.columns)
        # Locked by a statement of its own, that waits for nobody; so the one that writes has nothing to wait for.
        read = _given(it, [(*row.place, row.key.key_id, row.key.wrapped) for row, _ in rows])
        free = select(*places).where(*_same(places, read), it.c.key_id == read.c.key, it.c.wrapped_key == read.c.wrap)
        async with self._database.transaction() as connection:
            locked = await connection.execute(free.with_for_update(of=it, skip_locked=True, key_share=True))
            held = {tuple(row) for row in locked}
            anew = [(*row.place, key.key_id, key.wrapped) for row, key in rows if tuple(row.place) in held]
            if anew:
                given = _given(it, anew)
                write = update(it).values(key_id=given.c.key, wrapped_key=given.c.wrap)
                await connection.execute(write.where(*_same(places, given)))
        return len(anew)

    async def audit(self, entry: AuditEntry) -> None:
        """Append an entry to the audit trail."""
        async with self._database.transaction() as connection:
            await write_audit(connection, [entry])


async def _counts(connection: AsyncConnection, table: Table) -> Sequence[tuple[str, int]]:
    statement = select(table.c.key_id, func.count()).where(table.c.key_id.is_not(None)).group_by(table.c.key_id)
    return [(row[0], row[1]) for row in await connection.execute(statement)]


def _owner_of(table: Table) -> Column[Any]:
    name: str = table.c.wrapped_key.info[WRAPPED_FOR]
    return table.c[name]


def _literal(places: Sequence[Column[Any]], values_of: Place) -> Any:
    return tuple_(*values_of, types=[place.type for place in places])


def _behind(statement: Select[Any], places: Sequence[Column[Any]], after: Place | None, limit: int) -> Select[Any]:
    if after is not None:
        statement = statement.where(tuple_(*places) > _literal(places, after))
    return statement.order_by(*places).limit(limit)


def _last_of(page: Select[Any], places: Sequence[Column[Any]]) -> Select[Any]:
    looked_at = page.subquery("page")
    mine = [looked_at.c[place.name] for place in places]
    return select(*mine).order_by(*(it.desc() for it in mine)).limit(1)


def _given(table: Table, rows: Sequence[Place]) -> Any:
    """Rows of places, keys' ids and wrapped keys, as a statement's own table: one parameter a column, however many rows there are."""
    places = tuple(table.primary_key.columns)
    columns = [column(f"at_{place.name}", place.type) for place in places]
    columns += [column("key", table.c.key_id.type), column("wrap", table.c.wrapped_key.type)]
    arrays = [cast(list(values), ARRAY(it.type)) for it, values in zip(columns, zip(*rows, strict=True), strict=True)]
    return func.unnest(*arrays).table_valued(*columns, name="given").render_derived()


def _same(places: Sequence[Column[Any]], given: Any) -> list[Any]:
    return [place == given.c[f"at_{place.name}"] for place in places]
