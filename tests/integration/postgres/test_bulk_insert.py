"""Many rows by one statement: each value arrives as it was given."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import Text

from tokenkeep.adapters.postgres.bulk_insert import BulkInsert
from tokenkeep.adapters.postgres.engine import Database


class _Base(DeclarativeBase):
    pass


class _Thing(_Base):
    __tablename__ = "things"

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(Text())
    secret: Mapped[bytes | None]
    words: Mapped[list[str] | None] = mapped_column(ARRAY(Text()))
    # The model's name for it is another than the column's, as with what SQLAlchemy keeps for itself.
    document: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB(none_as_null=True))
    at: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    kind: Mapped[str] = mapped_column(Text(), server_default=text("'plain'"))


_COLUMNS = ("number", "name", "secret", "words", "metadata", "at")
_INSERT = BulkInsert(_Thing, *_COLUMNS)
_AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
_ROWS: list[tuple[Any, ...]] = [
    (1, "one", b"\x00\xff", ["read", "write"], {"a": [1, None, "ü"]}, _AT),
    (2, None, None, None, None, None),
    (3, "", b"", [], {}, _AT),
    (4, 'quoted " \\ , { }', b"'", ['"', "\\", "a,b", "{}", "", "NULL", " spaced ", "ü\n"], {'"': "\\"}, _AT),
]


async def test_each_row_is_as_it_was_given(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.run_sync(_Base.metadata.drop_all)
        await connection.run_sync(_Base.metadata.create_all)
        await _INSERT(connection, [dict(zip(_COLUMNS, row, strict=True)) for row in _ROWS])
        await _INSERT(connection, [])
        found = (await connection.execute(select(_Thing.__table__).order_by(_Thing.number))).all()
        await connection.run_sync(_Base.metadata.drop_all)
    assert [tuple(row) for row in found] == [(*row, "plain") for row in _ROWS]


async def test_one_row_that_is_refused_refuses_them_all(database: Database) -> None:
    twice = [dict(zip(_COLUMNS, _ROWS[0], strict=True))] * 2
    async with database.transaction() as connection:
        await connection.run_sync(_Base.metadata.drop_all)
        await connection.run_sync(_Base.metadata.create_all)
        savepoint = await connection.begin_nested()
        with pytest.raises(DBAPIError) as caught:
            await _INSERT(connection, twice)
        await savepoint.rollback()
        assert caught.value.orig.sqlstate == "23505"  # type: ignore[union-attr]  # the driver's
        assert (await connection.execute(select(_Thing.__table__))).all() == []
        await connection.run_sync(_Base.metadata.drop_all)
