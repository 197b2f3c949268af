"""What every measurement has in common: progress while it lasts, then a table for people or a document for programs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson
import typer
from rich.console import Console, RenderableType

from tokenkeep.cli.bench.progress import shown_progress

Advance = Callable[[str, int, int], None]
"""Tells how far a step has come: its name, how much is done, how much there is."""

Told = tuple[Mapping[str, Any], RenderableType]
"""What was measured, as a document and as a table."""

_NARROWEST = 120


class Scenario(Protocol):
    """One measurement. `name` is its command's, and its document's in the output."""

    @property
    def name(self) -> str:
        """The command's name."""

    def measure(self, advance: Advance) -> Told:
        """Measure; `advance` is told how far it has come."""


def report(scenarios: Sequence[Scenario], *, as_json: bool) -> None:
    """Measure one after the other; print each table as soon as there is one, or one document of all of them."""
    console = Console()
    console.width = max(console.width, _NARROWEST)
    documents: dict[str, Any] = {}
    for scenario in scenarios:
        with shown_progress() as advance:
            document, table = scenario.measure(advance)
        documents[scenario.name] = document
        if not as_json:
            console.print(table)
    if as_json:
        typer.echo(orjson.dumps(documents, option=orjson.OPT_INDENT_2).decode())
