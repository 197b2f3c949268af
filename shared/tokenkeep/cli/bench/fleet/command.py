"""`tokenkeep bench fleet`: how evenly millions of accounts come due, and whether this machine keeps them fresh."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tokenkeep.cli.bench.fleet.day import Day
    from tokenkeep.cli.bench.fleet.minutes import MinutesFigures
    from tokenkeep.cli.bench.fleet.run import FleetFigures
    from tokenkeep.cli.bench.fleet.targets import Target
    from tokenkeep.cli.bench.scenario import Advance, Told

_ACCOUNTS = 3_000_000
_SECONDS = 120
_MOST_SECONDS = 900
_SAMPLE = 30_000
_WORKERS = 2


def fleet(
    *,
    accounts: Annotated[int, typer.Option("--accounts", min=1_000, help="How many accounts there are.")] = _ACCOUNTS,
    seconds: Annotated[
        int,
        typer.Option(
            "--seconds", min=0, max=_MOST_SECONDS, help="How long they are kept fresh at real rate; 0: not at all."
        ),
    ] = _SECONDS,
    sample: Annotated[
        int, typer.Option("--sample", min=100, help="How many of them are taken through each simulated day.")
    ] = _SAMPLE,
    workers: Annotated[int, typer.Option("--workers", min=1, help="How many worker processes there are.")] = _WORKERS,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", dir_okay=False, help="Draw the days' load as SVG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take a sample through three days in no time, then keep a whole fleet fresh at real rate, at forty made-up providers.

    PostgreSQL, Valkey, a scheduler, the workers and the token endpoints are started for it and run on this machine too, and
    everything goes when it is over. PostgreSQL waits for the disk. Three millions take six minutes to be made, and 10 GB.
    """
    from tokenkeep.cli.bench.scenario import report  # noqa: PLC0415  # see the package

    report([FleetScenario(accounts, seconds, sample, workers, picture)], as_json=as_json)


@dataclass(frozen=True, slots=True)
class FleetScenario:
    """How a fleet is measured and told."""

    accounts: int = _ACCOUNTS
    seconds: int = _SECONDS
    sample: int = _SAMPLE
    workers: int = _WORKERS
    picture: Path | None = None
    name: str = "fleet"

    def measure(self, advance: "Advance") -> "Told":
        """Measure; `advance` is told how far it has come. Draws the picture, if one is wanted."""
        from rich.console import Group  # noqa: PLC0415  # see the package

        from tokenkeep.cli.bench.fleet.picture import picture  # noqa: PLC0415  # as above
        from tokenkeep.cli.bench.fleet.run import measure_fleet  # noqa: PLC0415  # as above

        figures = measure_fleet(
            accounts=self.accounts,
            sample=self.sample,
            seconds=self.seconds,
            workers=self.workers,
            advance=advance,
        )
        if self.picture is not None:
            self.picture.write_text(picture(figures.days, accounts=self.accounts), encoding="utf-8")
        return _document(figures), Group(*_tables(figures))


def _document(it: "FleetFigures") -> dict[str, Any]:
    from tokenkeep.cli.bench.fleet.targets import day_targets, minutes_targets  # noqa: PLC0415  # see the package

    targets = [target for day in it.days for target in day_targets(day)]
    document: dict[str, Any] = {
        "accounts": it.accounts,
        "sample": it.sample,
        "days": {str(day.beginning): _day_document(day) for day in it.days},
    }
    if it.minutes is not None:
        targets += minutes_targets(it.minutes)
        document["minutes"] = _minutes_document(it.minutes)
    document["targets"] = {
        one.name: {
            "measured": round(one.measured, 3),
            "at_least" if one.at_least else "at_most": one.wanted,
            "met": one.met,
        }
        for one in targets
    }
    return document


def _day_document(day: "Day") -> dict[str, Any]:
    return {
        "sampling_error": round(day.chance, 3),
        **{
            name: {
                "mean_per_s": round(load.mean_per_s, 1),
                "peak_ratio": round(load.peak_ratio, 2),
                "deviation_first_rounds": round(load.first_rounds, 3),
                "deviation_afterwards": round(load.afterwards, 3),
            }
            for name, load in (("smoothed", day.ours), ("naive", day.naive))
        },
    }


def _minutes_document(it: "MinutesFigures") -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415  # see the package

    from tokenkeep.cli.bench.fleet.targets import deviation, done_in_time  # noqa: PLC0415  # as above

    return {
        "seconds": it.seconds,
        "workers": it.workers,
        "needed_per_s": round(it.needed_per_s, 1),
        "due_per_s": round(it.fates.due / it.seconds, 1),
        "refreshes_per_s": round(it.fates.refreshed_within / it.seconds, 1),
        "done_in_time": round(done_in_time(it), 4),
        "deviation": round(deviation(it), 3),
        "presented_per_second": list(it.presented_per_second),
        "due_per_second": list(it.due_per_second),
        **_rounded(asdict(it.fates)),
        "expired_now": it.expired_now,
        "presented_twice": it.reused,
        "revoked_grants": it.revoked_grants,
        "disabled_wrongly": it.disabled_wrongly,
        "held": it.held,
        "cores": it.cpu.cores,
        "cores_left": round(it.cpu.left, 2),
        "cores_used": {name: round(used, 3) for name, used in it.cpu.used.items()},
        "answered": it.answered,
        "outcomes": it.outcomes,
    }


def _rounded(document: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _rounded(value) if isinstance(value, dict) else round(value, 3) if isinstance(value, float) else value
        for name, value in document.items()
    }


def _tables(it: "FleetFigures") -> "list[RenderableType]":
    from tokenkeep.cli.bench.fleet.targets import day_targets, minutes_targets  # noqa: PLC0415  # see the package

    targets = [target for day in it.days for target in day_targets(day)]
    tables: list[RenderableType] = [_day_table(it)]
    if it.minutes is not None:
        targets += minutes_targets(it.minutes)
        tables.append(_minutes_table(it.minutes))
    return [*tables, _target_table(targets)]


def _day_table(it: "FleetFigures") -> "RenderableType":
    from rich.table import Table  # noqa: PLC0415  # see the package

    table = Table(title=f"A day's load of {it.accounts:,} accounts", title_justify="left", caption_justify="left")
    table.add_column("the day begins")
    for heading in ("due times", "a second", "most, of that", "off in the first two hours", "off afterwards"):
        table.add_column(heading, justify="right")
    for day in it.days:
        for name, load in (("smoothed", day.ours), ("naive", day.naive)):
            shares = (f"{load.peak_ratio:.2f} x", f"{load.first_rounds:.0%}", f"{load.afterwards:.0%}")
            table.add_row(str(day.beginning), name, f"{load.mean_per_s:,.0f}", *shares)
    chance = max(day.chance for day in it.days)
    table.caption = f"By a sample of {it.sample:,}; up to {chance:.0%} of what is off may be chance."
    return table


def _minutes_table(it: "MinutesFigures") -> "RenderableType":
    from rich.table import Table  # noqa: PLC0415  # see the package

    fates = it.fates
    table = Table(title=f"At real rate, {it.seconds} s", title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    rows = {
        "needed a second": f"{it.needed_per_s:,.0f}",
        "came due a second": f"{fates.due / it.seconds:,.0f}",
        "refreshed a second": f"{fates.refreshed_within / it.seconds:,.0f}",
        "refreshed": f"{fates.refreshed:,}",
        "revoked": f"{fates.disabled:,}",
        "waiting at the end": f"{fates.waiting:,}, of them {fates.waiting_out:,} for a provider that was out",
        "settled after due, providers in order": _late(fates.well.p50_s, fates.well.p99_s, fates.well.most_s),
        "settled after due, providers in trouble": _late(
            fates.troubled.p50_s, fates.troubled.p99_s, fates.troubled.most_s
        ),
        "cores used": ", ".join(f"{name} {used:.2f}" for name, used in it.cpu.used.items()),
        "cores left": f"{it.cpu.left:.2f} of {it.cpu.cores}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _late(median_s: float, p99_s: float, most_s: float) -> str:
    return f"median {median_s:.2f} s, p99 {p99_s:.2f} s, most {most_s:.1f} s"


def _target_table(targets: "list[Target]") -> "RenderableType":
    from rich.table import Table  # noqa: PLC0415  # see the package

    table = Table(title="What is aimed at", title_justify="left")
    table.add_column("")
    for heading in ("measured", "aim", "met"):
        table.add_column(heading, justify="right")
    for one in targets:
        bound = f"{'at least' if one.at_least else 'at most'} {one.wanted:g}"
        table.add_row(one.name.replace("_", " "), f"{one.measured:.3g}", bound, "yes" if one.met else "no")
    return table
