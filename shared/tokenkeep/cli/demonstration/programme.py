"""What a rehearsal says: beforehand, on the way, and its verdict; on a screen, or in plain lines."""

from collections.abc import Sequence
from datetime import datetime
from typing import IO, Protocol

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tokenkeep.cli.demonstration.incidents import Incident, Script
from tokenkeep.cli.demonstration.promises import Promise

Rows = Sequence[tuple[str, str]]
"""Labels and texts."""


def before(
    incident: Incident, script: Script, *, url: str, source_id: str, sign: str, places: Sequence[str], lasts_s: float
) -> Rows:
    """What is going to happen, and where it is to be seen.

    Args:
        incident: Its name.
        script: What there is to say of it.
        url: Where the API answers.
        source_id: The demo's source.
        sign: The metric by which it shows, and where.
        places: Where all processes serve their metrics.
        lasts_s: How long it goes on once it shows.
    """
    targets = ", ".join(f'"{place.removeprefix("http://")}"' for place in places)
    return (
        ("incident", f"{incident}: {script.happens}"),
        ("look for", script.to_be_seen),
        ("console", "  ".join(f"{url}{path.format(source=source_id)}" for path in script.console)),
        ("metric", sign),
        ("alert", f"{script.alert}, {script.alert_after} after the metric, and no other"),
        ("runbook", script.runbook),
        ("mended by", script.mend.format(source=source_id)),
        ("scrape", f"targets: [{targets}]"),
        ("lasts", f"{lasts_s:g} s once it shows. Ctrl-C ends it; once more, and all is judged as it stands"),
    )


def verdict_on(incident: Incident, promises: Sequence[Promise]) -> str:
    """The verdict in one line."""
    broken = sum(not one.kept for one in promises)
    if broken:
        return f"{incident}: {broken} of {len(promises)} promises broken"
    return f"{incident}: all {len(promises)} promises kept"


class Teller(Protocol):
    """Where a rehearsal is told."""

    def line(self, at: datetime, text: str) -> None:
        """Something that happens."""

    def before(self, rows: Rows) -> None:
        """What is going to happen."""

    def verdict(self, incident: Incident, promises: Sequence[Promise]) -> None:
        """How it went."""


class PlainTeller:
    """Lines, for pipes and files."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def line(self, at: datetime, text: str) -> None:
        """With the time before it."""
        self._say(f"{at.astimezone():%H:%M:%S} {text}")

    def before(self, rows: Rows) -> None:
        """A line for each."""
        self._labelled(rows)

    def verdict(self, incident: Incident, promises: Sequence[Promise]) -> None:
        """A line for each promise, and one for all."""
        self._labelled([("kept" if one.kept else "BROKEN", f"{one.words}: {one.figures}") for one in promises])
        self._labelled([("verdict", verdict_on(incident, promises))])

    def _labelled(self, rows: Rows) -> None:
        for label, text in rows:
            self._say(f"  {label:<9}  {text}")

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)


class ScreenTeller:
    """Frames, above and below the table that renews itself."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, at: datetime, text: str) -> None:
        """It stays above the table."""
        self._console.print(Text.assemble((f"{at.astimezone():%H:%M:%S} ", "dim"), text))

    def before(self, rows: Rows) -> None:
        """A frame with a row for each."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for label, text in rows:
            grid.add_row(label, Text(text))
        self._console.print(_framed(grid, "rehearsal", "yellow"))

    def verdict(self, incident: Incident, promises: Sequence[Promise]) -> None:
        """A frame whose colour tells it."""
        table = Table.grid(padding=(0, 2, 0, 0))
        for one in promises:
            mark = Text("kept", style="green") if one.kept else Text("BROKEN", style="bold red")
            table.add_row(mark, Text(one.words), Text(one.figures, style="dim"))
        colour = "green" if all(one.kept for one in promises) else "red"
        self._console.print(_framed(table, verdict_on(incident, promises), colour))


def _framed(table: Table, title: str, colour: str) -> Panel:
    return Panel(table, title=title, title_align="left", border_style=colour, expand=False)
