"""Asking before something that can't be undone."""

import sys
from typing import Annotated

import typer

from tokenkeep.cli.http_api.printing import plain
from tokenkeep.domain.errors import SettingsError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def make_sure(question: str) -> None:
    """Ask before something that can't be undone, where `--yes` was not given.

    Raises:
        SettingsError: There is no terminal, so nobody can be asked.
        Exit: The answer is no.
    """
    if not sys.stdin.isatty():
        msg = "--yes: must be given where nobody can be asked"
        raise SettingsError(msg)
    if not typer.confirm(plain(question), err=True):
        raise typer.Exit(1)
