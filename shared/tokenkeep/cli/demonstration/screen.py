"""The board, drawn for a terminal."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tokenkeep.cli.demonstration.board import Board, Row
from tokenkeep.cli.demonstration.subscriber import HeardEvent

_BAR_WIDTH = 16
_LINES_AROUND = 6
"""Two headers, two gaps, what is happening, and the cursor."""
_FEWEST_EVENTS = 2
_SOON = 0.25
"""The part of a token's life from which on its bar is red: it should have been refreshed by then."""


def draw(board: Board, *, lifetime_s: float, now: datetime, height: int) -> RenderableType:
    """The whole picture.

    Args:
        board: What there is to show.
        lifetime_s: What a full bar stands for.
        now: What times are told from.
        height: The lines there are. Where they are few, fewer events are shown.
    """
    room_for_events = max(height - len(board.rows) - _LINES_AROUND, _FEWEST_EVENTS)
    return Group(
        _accounts(board, lifetime_s=lifetime_s, now=now),
        Text(),
        _events(list(board.heard)[-room_for_events:]),
        Text(),
        Text(f"» {board.happening}", style="bold", overflow="ellipsis", no_wrap=True),
    )


def _accounts(board: Board, *, lifetime_s: float, now: datetime) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("account", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("time to expiry", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("last refresh", justify="right", no_wrap=True)
    table.add_column("generation", justify="right", no_wrap=True)
    for row in board.rows:
        left = max((row.expires_at - now).total_seconds(), 0.0) if row.expires_at and row.is_active else None
        table.add_row(
            row.name,
            state_text(row),
            Text() if left is None else _bar(left, lifetime_s),
            "" if left is None else f"{left:.0f} s",
            _ago(row.last_refreshed_at, now),
            str(board.generations[row.id]),
        )
    return table


def state_text(row: Row) -> Text:
    """The state in its colour, with the reason where there is one."""
    words = row.state if row.reason is None else f"{row.state}: {row.reason}"
    if row.is_active and row.health == "failing":
        return Text(f"failing: {row.reason}", style="yellow")
    if row.is_active:
        # A reason here is that of an attempt since repeated, or soon to be: not worth an alarm.
        return Text(row.state, style="green")
    return Text(words, style="red" if row.state == "disabled" else "dim")


def _bar(left_s: float, lifetime_s: float) -> ProgressBar:
    colour = "red" if left_s < lifetime_s * _SOON else "green"
    return ProgressBar(
        total=lifetime_s,
        completed=min(left_s, lifetime_s),
        width=_BAR_WIDTH,
        complete_style=colour,
        finished_style=colour,
    )


def _events(heard: Sequence[HeardEvent]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("heard", no_wrap=True)
    table.add_column("id", no_wrap=True, style="dim")
    table.add_column("type", no_wrap=True)
    table.add_column("subject", no_wrap=True)
    for event in heard:
        table.add_row(f"{event.time.astimezone():%H:%M:%S}", f"…{event.id[-8:]}", _type_text(event), _subject(event))
    return table


def _type_text(event: HeardEvent) -> Text:
    kind = event.type.rpartition(".")[2]
    style = {"disabled": "red", "failing": "yellow", "in_doubt": "yellow", "refreshed": "green"}.get(kind, "")
    return Text(event.type, style=style)


def _subject(event: HeardEvent) -> str:
    name = event.external_id or event.subject
    return name if event.reason is None else f"{name} ({event.reason})"


def _ago(then: datetime | None, now: datetime) -> str:
    if then is None:
        return "-"
    # The clocks of the database and this process may differ by a little.
    return f"{max(now - then, timedelta(0)).total_seconds():.0f} s ago"
