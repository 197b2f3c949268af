"""Where the show is shown: a table that renews itself, or lines."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live

from tokenkeep.cli.demonstration.board import Board
from tokenkeep.cli.demonstration.screen import draw

_FRAME_S = 0.25


def print_line(at: datetime, line: str) -> None:
    """One line of the plain show."""
    print(f"{at.astimezone():%H:%M:%S} {line}", flush=True)


def keep_quiet(_at: datetime, _line: str) -> None:
    """On the screen, the table tells it all."""


@contextlib.contextmanager
def screen_to_itself(log_file: Path) -> Iterator[Console]:
    """A console that nothing else writes to: what the processes of the household say goes to a file meanwhile."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    terminal = os.fdopen(os.dup(1), "w")
    try:
        for number, _ in kept:
            os.dup2(log, number)
        yield Console(file=terminal)
    finally:
        terminal.flush()
        for number, original in kept:
            os.dup2(original, number)
            os.close(original)
        os.close(log)
        terminal.close()


def live_table(console: Console, board: Board, *, lifetime_s: float) -> Callable[[], Awaitable[None]]:
    """What draws the board over and over, until it is cancelled; the last picture stays."""

    async def run() -> None:
        with Live(
            console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, vertical_overflow="crop"
        ) as live:
            while True:
                picture = draw(board, lifetime_s=lifetime_s, now=datetime.now(UTC), height=console.height)
                live.update(picture, refresh=True)
                await asyncio.sleep(_FRAME_S)

    return run
