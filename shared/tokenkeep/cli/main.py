"""The root of the command line: which commands there are."""

from typing import Annotated

import typer

from tokenkeep import __version__
from tokenkeep.cli import bench, demo, processes, providers, restored, up
from tokenkeep.cli.accounts import commands as accounts
from tokenkeep.cli.api_keys import commands as api_keys
from tokenkeep.cli.doctor import command as doctor
from tokenkeep.cli.events import commands as events
from tokenkeep.cli.keys import commands as keys
from tokenkeep.cli.one_line_errors import OneLineErrors
from tokenkeep.cli.sources import commands as sources

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show local variables, and those hold secrets.
    pretty_exceptions_enable=False,
)

_ON_ONE_MACHINE = "On one machine"
_PROCESSES = "Processes"
_TENDING = "Tending"
_MEASURING = "Measuring"

app.command("up", rich_help_panel=_ON_ONE_MACHINE)(up.up)
app.command("demo", rich_help_panel=_ON_ONE_MACHINE)(demo.demo)
app.command("api", rich_help_panel=_PROCESSES)(processes.api)
app.command("scheduler", rich_help_panel=_PROCESSES)(processes.scheduler)
app.command("worker", rich_help_panel=_PROCESSES)(processes.worker)
app.command("migrate", rich_help_panel=_PROCESSES)(processes.migrate)
app.command("doctor", rich_help_panel=_TENDING)(doctor.doctor)
app.add_typer(accounts.app, name="accounts", rich_help_panel=_TENDING)
app.add_typer(api_keys.app, name="api-keys", rich_help_panel=_TENDING)
app.add_typer(events.app, name="events", rich_help_panel=_TENDING)
app.add_typer(keys.app, name="keys", rich_help_panel=_TENDING)
app.add_typer(providers.app, name="providers", rich_help_panel=_TENDING)
app.command("restored", rich_help_panel=_TENDING)(restored.restored)
app.add_typer(sources.app, name="sources", rich_help_panel=_TENDING)
app.add_typer(bench.app, name="bench", rich_help_panel=_MEASURING)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  # Typer calls it so
    if wanted:
        typer.echo(f"tokenkeep {__version__}")
        raise typer.Exit


@app.callback()
def tokenkeep(
    *,
    version: Annotated[  # its callback does it all
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Keeps OAuth grants: every account fresh, no refresh token lost or spent twice."""
