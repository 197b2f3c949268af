"""`tokenkeep bench`: figures that anybody can measure again."""

import typer

from tokenkeep.cli.bench import events, verdict

app = typer.Typer(no_args_is_help=True, help="Measure: figures that anybody can measure again.")


@app.callback()
def bench() -> None:
    """Measure: figures that anybody can measure again."""


app.command("events")(events.events)
app.command("verdict")(verdict.verdict)
