"""Pages of lists: how long they are, and where the next one begins."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Query

from tokenkeep.domain.errors import InvalidInput

Item = TypeVar("Item")

DEFAULT_LIMIT = 50
MOST = 200

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many things the page has at most.")]
Cursor = Annotated[
    str | None, Query(max_length=100, description="The former page's `next_cursor`.", pattern="^[A-Za-z0-9_-]*$")
]

_ID_BYTES = 16
_NUMBER_BYTES = 8


def id_after(cursor: str | None) -> UUID | None:
    """The id that a cursor stands for. Raises `InvalidInput` when it is none of ours."""
    return None if not cursor else UUID(bytes=_decoded(cursor, _ID_BYTES))


def number_after(cursor: str | None) -> int | None:
    """The sequence number that a cursor stands for. Raises `InvalidInput` when it is none of ours."""
    return None if not cursor else int.from_bytes(_decoded(cursor, _NUMBER_BYTES), "big", signed=True)


def cursor_after(place: UUID | int) -> str:
    """The cursor that stands for this place."""
    return _encoded(place)


def split(items: Sequence[Item], limit: int, key: Callable[[Item], UUID | int]) -> tuple[list[Item], str | None]:
    """The page's items and the next page's cursor, of `limit + 1` items that were asked for."""
    shown = list(items[:limit])
    return shown, _encoded(key(shown[-1])) if len(items) > limit else None


def _encoded(place: UUID | int) -> str:
    raw = place.bytes if isinstance(place, UUID) else place.to_bytes(_NUMBER_BYTES, "big", signed=True)
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(cursor: str, size: int) -> bytes:
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    if len(raw) != size:
        raise InvalidInput("cursor", "is not a cursor of this list")
    return raw
