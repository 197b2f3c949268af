"""`tokenkeep bench due`: how fast what is due is found, among however many accounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from tokenkeep.cli.bench.due.partitions import Layout
    from tokenkeep.cli.bench.due.run import DueFigures
    from tokenkeep.cli.bench.due.week import DayFigures
    from tokenkeep.cli.bench.scenario import Advance, Scenario, Told

_SIZES = (10_000, 100_000, 1_000_000)
_SAMPLES = 100
_WEEK_ACCOUNTS = 10_000
_DAYS = 7


def due(
    rows: Annotated[
        list[int] | None,
        typer.Option(
            "--rows", min=1_000, help="Among how many accounts; may be given several times.", show_default=False
        ),
    ] = None,
    week: Annotated[bool, typer.Option("--week", help="Instead: what a week of refreshes leaves.")] = False,  # noqa: FBT002  # as below
    partitions: Annotated[
        int, typer.Option("--partitions", min=0, help="Instead: the big tables whole, and in so many partitions.")
    ] = 0,
    samples: Annotated[int, typer.Option("--samples", min=20, help="Hints whose pick-up is timed.")] = _SAMPLES,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002  # Typer's form of a flag
) -> None:
    """Measure how accounts that are due are claimed and hinted at: among ten thousand, a hundred thousand, a million of them.

    PostgreSQL and Valkey are started for it, one of each for every size, and everything goes when it is over. PostgreSQL
    waits for the disk.
    """
    from tokenkeep.cli.bench.scenario import report  # noqa: PLC0415  # see the package

    sizes = tuple(rows or _SIZES)
    scenario: Scenario = DueScenario(sizes, samples)
    if week:
        scenario = WeekScenario(rows[0] if rows else _WEEK_ACCOUNTS)
    elif partitions:
        scenario = PartitionScenario(max(sizes), partitions)
    report([scenario], as_json=as_json)


@dataclass(frozen=True, slots=True)
class DueScenario:
    """How finding what is due is measured and told."""

    sizes: tuple[int, ...] = _SIZES
    samples: int = _SAMPLES
    name: str = "due"

    def measure(self, advance: "Advance") -> "Told":
        """Measure; `advance` is told how far it has come."""
        import asyncio  # noqa: PLC0415  # see the package

        from tokenkeep.cli.bench.due.run import measure_due  # noqa: PLC0415  # as above

        figures = asyncio.run(measure_due(sizes=self.sizes, samples=self.samples, advance=advance))
        return _document(figures), _table(figures)


def _document(it: "DueFigures") -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415  # see the package

    largest = it.rows[max(it.rows)]
    before = it.rows[max((size for size in it.rows if size < max(it.rows)), default=max(it.rows))]
    document = {
        **asdict(it),
        "rows": {str(size): asdict(figures) for size, figures in it.rows.items()},
        "cost_ratio": largest.claims_per_s / before.claims_per_s,
        "empty_poll_ratio": largest.empty_poll_us / it.rows[min(it.rows)].empty_poll_us,
        "empty_poll_to_round_trip": largest.empty_poll_us / largest.round_trip_us,
        "claim_enqueue_per_s": largest.claim_enqueue_per_s,
        "ratio_to_limit": largest.claims_per_s / largest.limit_claims_per_s,
        "ratio_to_naive": largest.claims_per_s / it.naive_claims_per_s,
        "enqueue_ratio_to_naive": largest.claim_enqueue_per_s / it.naive_claim_enqueue_per_s,
    }
    rounded: dict[str, Any] = _rounded(document)
    return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def _table(it: "DueFigures") -> "Table":
    from rich.table import Table  # noqa: PLC0415  # see the package

    table = Table(title="Finding what is due", title_justify="left")
    table.add_column("among")
    for heading in (
        "claims/s",
        "of the limit",
        "the first ones",
        "claims + hints/s",
        "empty poll",
        "round trip",
        "idle: scheduler",
        "idle: worker",
    ):
        table.add_column(heading, justify="right")
    for size, figures in it.rows.items():
        idle = [
            f"{one.rss_bytes / 1e6:.0f} MB, {one.cpu_share:.1%}" if (one := figures.idle.get(name)) else ""
            for name in ("scheduler", "worker")
        ]
        share = f"{figures.claims_per_s / figures.limit_claims_per_s:.0%}"
        first = f"{figures.first_claims_per_s:,.0f}"
        rates = (f"{figures.claims_per_s:,.0f}", share, first, f"{figures.claim_enqueue_per_s:,.0f}")
        table.add_row(
            f"{size:,}", *rates, f"{figures.empty_poll_us:,.0f} µs", f"{figures.round_trip_us:,.0f} µs", *idle
        )
    reference = (f"{it.naive_claims_per_s:,.0f}", "", "", f"{it.naive_claim_enqueue_per_s:,.0f}")
    table.add_row("reference: ORM, a message each", *reference)
    table.caption = (
        f"An idle worker takes up a hint within {it.pickup.p50_ms:.0f} ms (median), {it.pickup.p95_ms:.0f} ms (p95)."
    )
    return table


@dataclass(frozen=True, slots=True)
class WeekScenario:
    """How a week of refreshes is measured and told."""

    accounts: int = _WEEK_ACCOUNTS
    name: str = "due_week"

    def measure(self, advance: "Advance") -> "Told":
        """Measure; `advance` is told how far it has come."""
        import asyncio  # noqa: PLC0415  # see the package
        from dataclasses import asdict  # noqa: PLC0415  # as above

        from tokenkeep.cli.bench.due.week import measure_week  # noqa: PLC0415  # as above

        figures = asyncio.run(measure_week(accounts=self.accounts, days=_DAYS, advance=advance))
        return _rounded({"accounts": self.accounts, "days": [asdict(day) for day in figures]}), _week_table(figures)


def _week_table(days: "list[DayFigures]") -> "Table":
    from rich.table import Table  # noqa: PLC0415  # see the package

    table = Table(title="A week of hourly refreshes", title_justify="left")
    table.add_column("after day")
    for heading in (
        "leases",
        "its due index",
        "its key",
        "credentials",
        "dead rows",
        "in place",
        "vacuums",
        "who is next",
    ):
        table.add_column(heading, justify="right")
    for number, day in enumerate(days):
        sizes = (day.leases_bytes, day.due_index_bytes, day.key_index_bytes, day.credentials_bytes)
        shown = [f"{size / 1e6:.1f} MB" for size in sizes]
        counts = (f"{day.dead_rows:,}", f"{day.updated_in_place:.0%}", str(day.vacuums), f"{day.look_us:,.0f} µs")
        table.add_row(str(number), *shown, *counts)
    table.caption = f"{days[-1].wal_bytes:,.0f} bytes of log a refresh, attempts and events aside."
    return table


@dataclass(frozen=True, slots=True)
class PartitionScenario:
    """How the big tables in one piece and in partitions are measured and told."""

    accounts: int
    partitions: int
    name: str = "due_partitions"

    def measure(self, advance: "Advance") -> "Told":
        """Measure; `advance` is told how far it has come."""
        import asyncio  # noqa: PLC0415  # see the package
        from dataclasses import asdict  # noqa: PLC0415  # as above

        from tokenkeep.cli.bench.due.partitions import measure_partitions  # noqa: PLC0415  # as above

        figures = asyncio.run(measure_partitions(accounts=self.accounts, partitions=self.partitions, advance=advance))
        layouts = {name: asdict(layout) for name, layout in figures.items()}
        document = {"accounts": self.accounts, "partitions": self.partitions, **layouts}
        return _rounded(document), _partition_table(figures, self.accounts)


def _partition_table(layouts: "Mapping[str, Layout]", accounts: int) -> "Table":
    from rich.table import Table  # noqa: PLC0415  # see the package

    table = Table(title=f"The big tables, {accounts:,} accounts", title_justify="left")
    table.add_column("")
    for heading in ("claims/s", "empty poll", "reads/s", "refreshes/s", "vacuum", "the longest one"):
        table.add_column(heading, justify="right")
    for name, it in layouts.items():
        rates = (
            f"{it.claims_per_s:,.0f}",
            f"{it.empty_poll_us:,.0f} µs",
            f"{it.reads_per_s:,.0f}",
            f"{it.refreshes_per_s:,.0f}",
        )
        table.add_row(name, *rates, f"{it.vacuum_s:.2f} s", f"{it.longest_vacuum_s:.2f} s")
    return table
