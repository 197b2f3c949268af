"""The findings on a terminal."""

from collections.abc import Sequence
from typing import assert_never

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tokenkeep.application.checkup.findings import Finding, Level, count

_NAME_WIDTH = 28


class Screen:
    """Shows findings as they come."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def show(self, findings: Sequence[Finding]) -> None:
        """A line for each, and another one for what is to be done."""
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(width=7)
        table.add_column(width=_NAME_WIDTH)
        table.add_column(ratio=1)
        for one in findings:
            word, style = _shown(one.level)
            lines = Text(one.saw)
            if one.do is not None:
                lines.append(f"\n→ {one.do}", style="bold")
            table.add_row(Text(word, style=style), one.check, lines)
        self._console.print(table)

    def sum_up(self, findings: Sequence[Finding]) -> None:
        """How many there are of each kind."""
        told = [f"{number} {_shown(level)[0]}" for level, number in count(findings).items() if number]
        self._console.print(Padding(Text(", ".join(told)), (1, 0, 0, 0)))


def _shown(level: Level) -> tuple[str, str]:
    match level:
        case Level.OK:
            return "well", "green"
        case Level.WARNING:
            return "warning", "yellow"
        case Level.FAULT:
            return "fault", "bold red"
        case Level.UNSEEN:
            return "unseen", "dim"
        case _:
            assert_never(level)
