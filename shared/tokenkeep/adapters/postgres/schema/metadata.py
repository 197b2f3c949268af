"""What all tables share: their root, the names of their constraints, their types."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Integer, LargeBinary, MetaData, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase

NOW = text("clock_timestamp()")
WRAPPED_FOR = "wrapped_for"
"""Under which name a column of wrapped data keys has its owner's column in its `info`."""


class Base(DeclarativeBase):
    """The root of the models, with names for every constraint."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own idiom
        UUID: Uuid(as_uuid=True),
        str: Text(),
        bytes: LargeBinary(),
        bool: Boolean(),
        int: Integer(),
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB(),
        list[str]: ARRAY(Text()),
    }


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """A column that holds one of these values."""
    allowed = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


def wrapped_for(owner: str) -> dict[str, Any]:
    """What a column of wrapped data keys says of itself: the column of its row that holds their owner, whom they are bound to."""
    return {WRAPPED_FOR: owner}
