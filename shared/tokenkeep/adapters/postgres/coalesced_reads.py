"""What is read at every request: many keys by one statement, planned once."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from tokenkeep.application.batching import Batcher

Key = TypeVar("Key")
Found = TypeVar("Found")

_LATE_S: Final = 0.05
_MOST_KEYS: Final = 500


def coalesced(read: Callable[[Sequence[Key]], Awaitable[Sequence[Found]]]) -> Batcher[Key, Found]:
    """Reads of single keys that share statements. One that is late, or has 500 keys waiting behind it, gets a second beside it."""
    return Batcher(read, limit=_MOST_KEYS, concurrency=2, patience_s=_LATE_S)


def any_key(kind: str) -> str:
    """What a column is compared with (`=`) that is one of the keys in `$1`, an array of this PostgreSQL type.

    A bare `ANY($1)` has PostgreSQL plan anew at each call, at several times the cost of the read: it sees how few keys there
    are, and holds the plan for any number to be dearer. Out of a subquery it knows as little about each array, and
    keeps the plan.
    """
    return f"ANY(ARRAY(SELECT unnest($1::{kind}[])))"
