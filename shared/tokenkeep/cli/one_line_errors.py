"""Errors of ours end a command with one line on stderr and exit code 1. Anything else is a bug and shows itself."""

from typing import Any

import typer
from typer.core import TyperGroup

from tokenkeep.domain.errors import TokenkeepError


class OneLineErrors(TyperGroup):
    """The root of the command line."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for. `ctx` is Click's, which newer versions of Typer bring along privately."""
        try:
            return super().invoke(ctx)
        except TokenkeepError as error:
            typer.echo(" ".join(str(error).split()), err=True)
            raise typer.Exit(1) from None
