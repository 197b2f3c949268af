"""What these commands print: JSON, facts one a line, tables."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(document: Any) -> None:
    """One document, indented."""
    import orjson  # noqa: PLC0415  # see the package `cli`

    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def print_facts(document: Mapping[str, Any]) -> None:
    """A thing's members, one a line."""
    for name, value in document.items():
        typer.echo(plain(f"{name:25}{_told(value)}"))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, one: str, many: str) -> None:
    """One thing a line, the first column whole, and how many there are."""
    from rich.console import Console  # noqa: PLC0415  # see the package `cli`
    from rich.table import Table  # noqa: PLC0415  # as above

    table = Table(*headings, box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    Console().print(table, markup=False)
    typer.echo(f"1 {one}" if len(rows) == 1 else f"{len(rows)} {many}")


def plain(text: str) -> str:
    """What others chose may hold what a terminal obeys."""
    return "".join(letter for letter in text if letter.isprintable())


def _told(value: Any) -> str:
    match value:
        case None:
            return ""
        case dict():
            return ", ".join(f"{name}: {inner}" for name, inner in value.items())
        case list():
            return " ".join(map(str, value))
        case _:
            return str(value)
