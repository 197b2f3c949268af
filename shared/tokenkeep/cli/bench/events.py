"""`tokenkeep bench events`: how fast what is committed is told."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tokenkeep.cli.bench.event_run import EventFigures

_NARROWEST = 120
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
    import asyncio  # noqa: PLC0415  # see the package

    from tokenkeep.cli.bench.event_run import measure_events  # noqa: PLC0415  # as above
    from tokenkeep.cli.bench.progress import shown_progress  # noqa: PLC0415  # as above

    with shown_progress() as advance:
        figures = asyncio.run(measure_events(samples=samples, transitions=transitions, advance=advance))
    if as_json:
        import orjson  # noqa: PLC0415  # see the package

        typer.echo(orjson.dumps({"events": _document(figures)}, option=orjson.OPT_INDENT_2).decode())
    else:
        _show(figures)


def _document(it: "EventFigures") -> dict[str, float]:
    from dataclasses import asdict  # noqa: PLC0415  # see the package

    ratios = {
        "ratio_to_limit": it.per_s / it.limit_per_s,
        "ratio_to_naive": it.per_s / it.naive_per_s,
        "naive_median_to_median": it.naive_median_ms / it.median_ms,
    }
    return {name: round(figure, 3) for name, figure in {**asdict(it), **ratios}.items()}


def _show(it: "EventFigures") -> None:
    from rich.console import Console  # noqa: PLC0415  # see the package
    from rich.table import Table  # noqa: PLC0415  # as above

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
    console = Console()
    console.width = max(console.width, _NARROWEST)
    console.print(table)


def _ms(figure: float) -> str:
    return f"{figure:.1f} ms"
