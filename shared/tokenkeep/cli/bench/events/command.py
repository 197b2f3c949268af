"""`tokenkeep bench events`: how fast what is committed is told."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from tokenkeep.cli.bench.events.run import EventFigures
    from tokenkeep.cli.bench.scenario import Advance, Told

_SAMPLES = 300
_TRANSITIONS = 10_000


def events(
    samples: Annotated[int, typer.Option("--samples", min=100, help="Changes that are made one at a time.")] = _SAMPLES,
    transitions: Annotated[
        int, typer.Option("--transitions", min=1_000, help="Changes that are made at once.")
    ] = _TRANSITIONS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002  # Typer's form of a flag
) -> None:
    """Measure the way of events from a commit to the Redis stream, beside what Redis can do and a relay of the usual kind.

    PostgreSQL and Valkey are started for it, and everything goes when it is over. PostgreSQL waits for the disk.
    """
    from tokenkeep.cli.bench.scenario import report  # noqa: PLC0415  # see the package

    report([EventScenario(samples, transitions)], as_json=as_json)


@dataclass(frozen=True, slots=True)
class EventScenario:
    """How the way of events is measured and told."""

    samples: int = _SAMPLES
    transitions: int = _TRANSITIONS
    name: str = "events"

    def measure(self, advance: "Advance") -> "Told":
        """Measure; `advance` is told how far it has come."""
        import asyncio  # noqa: PLC0415  # see the package

        from tokenkeep.cli.bench.events.run import measure_events  # noqa: PLC0415  # as above

        figures = asyncio.run(measure_events(samples=self.samples, transitions=self.transitions, advance=advance))
        return _document(figures), _table(figures)


def _document(it: "EventFigures") -> dict[str, float]:
    from dataclasses import asdict  # noqa: PLC0415  # see the package

    ratios = {
        "ratio_to_limit": it.per_s / it.limit_per_s,
        "ratio_to_naive": it.per_s / it.naive_per_s,
        "naive_median_to_median": it.naive_median_ms / it.median_ms,
    }
    return {name: round(figure, 3) for name, figure in {**asdict(it), **ratios}.items()}


def _table(it: "EventFigures") -> "Table":
    from rich.table import Table  # noqa: PLC0415  # see the package

    table = Table(title="From commit to stream", title_justify="left")
    table.add_column("")
    for heading in ("median", "p99", "a second", "x reference", "of Redis's limit"):
        table.add_column(heading, justify="right")
    faster = f"{it.naive_median_ms / it.median_ms:.0f} x sooner"
    table.add_row("one at a time, idle", _ms(it.median_ms), _ms(it.p99_ms), "", faster, "")
    table.add_row("16 writers", _ms(it.busy_median_ms), _ms(it.busy_p99_ms), f"{it.written_per_s:,.0f}", "", "")
    times, share = f"{it.per_s / it.naive_per_s:.1f} x", f"{it.per_s / it.limit_per_s:.0%}"
    table.add_row("all of them waiting", "", "", f"{it.per_s:,.0f}", times, share)
    table.add_row("reference: ORM, polling", _ms(it.naive_median_ms), "", f"{it.naive_per_s:,.0f}", "1 x", "")
    table.add_row("limit: Redis alone", "", "", f"{it.limit_per_s:,.0f}", "", "100%")
    return table


def _ms(figure: float) -> str:
    return f"{figure:.1f} ms"
