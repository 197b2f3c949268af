"""`tokenkeep bench`: figures that anybody can measure again."""

from typing import Annotated

import typer

from tokenkeep.cli.bench import verdict
from tokenkeep.cli.bench.due import command as due
from tokenkeep.cli.bench.events import command as events
from tokenkeep.cli.bench.fleet import command as fleet
from tokenkeep.cli.bench.imports import command as imports
from tokenkeep.cli.bench.processes import command as processes
from tokenkeep.cli.bench.refresh import command as refresh
from tokenkeep.cli.bench.vend import command as vend

app = typer.Typer(help="Measure: figures that anybody can measure again.")


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002  # Typer's form of a flag
) -> None:
    """Measure speed beside limits and references: all of it, or one scenario."""
    if context.invoked_subcommand is None:
        from tokenkeep.cli.bench.scenario import Scenario, report  # noqa: PLC0415  # see the package

        scenarios: list[Scenario] = [
            refresh.RefreshScenario(),
            processes.ProcessScenario(),
            vend.VendScenario(),
            due.DueScenario(),
            events.EventScenario(),
            imports.ImportScenario(),
            fleet.FleetScenario(),
        ]
        report(scenarios, as_json=as_json)


app.command("refresh")(refresh.refresh)
app.command("processes")(processes.processes)
app.command("due")(due.due)
app.command("import")(imports.imports)
app.command("events")(events.events)
app.command("fleet")(fleet.fleet)
app.command("vend")(vend.vend)
app.command("verdict")(verdict.verdict)
