"""Batches of rows as arrays, for set-based statements (`unnest … RETURNING`): one statement, each row its own result."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class Columns:
    """Names and PostgreSQL types of a batch's columns.

    >>> Columns(id="uuid", fence="bigint").relation("new")
    'unnest(CAST(:id AS uuid[]), CAST(:fence AS bigint[])) AS new(id, fence)'
    """

    def __init__(self, **types: str) -> None:
        self._types = types

    def relation(self, alias: str) -> str:
        """The batch as an item of a FROM clause."""
        arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in self._types.items())
        return f"unnest({arrays}) AS {alias}({', '.join(self._types)})"

    def ordered_relation(self, alias: str) -> str:
        """As `relation`, with a column `ordinality` that keeps the order of the rows."""
        arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in self._types.items())
        return f"unnest({arrays}) WITH ORDINALITY AS {alias}({', '.join(self._types)}, ordinality)"

    def arrays(self, rows: Iterable[Sequence[Any]]) -> dict[str, Sequence[Any]]:
        """`parameters`, for rows that hold their values in the order of the columns."""
        columns = list(zip(*rows, strict=True)) or [()] * len(self._types)
        return dict(zip(self._types, columns, strict=True))

    def parameters(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """The rows turned into one array a column."""
        arrays: dict[str, list[Any]] = {name: [] for name in self._types}
        for row in rows:
            for name, array in arrays.items():
                array.append(row[name])
        return arrays
