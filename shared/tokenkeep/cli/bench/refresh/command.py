"""`tokenkeep bench refresh`: how many accounts a second a worker refreshes, with the whole custody protocol on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from tokenkeep.cli.bench.refresh.run import CaseFigures, RefreshFigures
    from tokenkeep.cli.bench.scenario import Advance, Told

_ACCOUNTS = 20_000
_NAIVE_ACCOUNTS = 1_000
_IN_FLIGHT = 1_000
_MANY = 8_000
_LATENCIES = [0, 100, 300]


def refresh(
    accounts: Annotated[int, typer.Option("--accounts", min=100, help="Accounts that are refreshed.")] = _ACCOUNTS,
    naive_accounts: Annotated[
        int, typer.Option("--naive-accounts", min=50, help="Accounts that the reference refreshes.")
    ] = _NAIVE_ACCOUNTS,
    latency: Annotated[
        list[int] | None, typer.Option("--latency", min=0, help="How long the endpoint takes, in ms; may be repeated.")
    ] = None,
    many: Annotated[int, typer.Option("--many", min=100, help="How many are held in flight at most.")] = _MANY,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002  # Typer's form of a flag
) -> None:
    """Measure one worker from due to settled, beside its own HTTP client and a worker of the usual kind.

    PostgreSQL, Valkey, a scheduler and the token endpoint are started for it and run on this machine too, and everything
    goes when it is over. PostgreSQL waits for the disk.
    """
    from tokenkeep.cli.bench.scenario import report  # noqa: PLC0415  # see the package

    report([RefreshScenario(accounts, naive_accounts, tuple(latency or _LATENCIES), many)], as_json=as_json)


@dataclass(frozen=True, slots=True)
class RefreshScenario:
    """How refreshes are measured and told."""

    accounts: int = _ACCOUNTS
    naive_accounts: int = _NAIVE_ACCOUNTS
    latencies: tuple[int, ...] = tuple(_LATENCIES)
    many: int = _MANY
    name: str = "refresh"

    def measure(self, advance: "Advance") -> "Told":
        """Measure; `advance` is told how far it has come."""
        import uvloop  # noqa: PLC0415  # see the package

        from tokenkeep.cli.bench.refresh.run import Case, measure_refresh  # noqa: PLC0415  # as above

        cases = [Case(latency, _IN_FLIGHT) for latency in self.latencies]
        cases.insert(1, Case(self.latencies[0], _IN_FLIGHT, rotating=False))
        figures = uvloop.run(
            measure_refresh(
                cases, accounts=self.accounts, naive_accounts=self.naive_accounts, many=self.many, advance=advance
            )
        )
        return _document(figures), _table(figures)


def _document(it: "RefreshFigures") -> dict[str, Any]:
    first = _case_document(it.cases[0])
    headline = {name: first[name] for name in ("rps", "naive_rps", "client_rps", "ratio_to_naive", "ratio_to_client")}
    return {
        **headline,
        "rss_bytes_per_in_flight": round(it.rss_bytes_per_in_flight),
        "rss_mb": round(it.rss_mb),
        "most_in_flight": it.most_in_flight,
        "presented_twice": it.reused,
        "unsettled": it.unsettled,
        "cases": [_case_document(one) for one in it.cases],
    }


def _case_document(it: "CaseFigures") -> dict[str, Any]:
    return {
        "latency_ms": it.case.latency_ms,
        "rotating": it.case.rotating,
        "in_flight": it.case.in_flight,
        "rps": round(it.rps, 1),
        "naive_rps": round(it.naive_rps, 1),
        "client_rps": round(it.client_rps, 1),
        "httpx_rps": round(it.httpx_rps, 1),
        "ratio_to_naive": round(it.rps / it.naive_rps, 2),
        "ratio_to_client": round(it.rps / it.client_rps, 3),
        "ratio_to_httpx": round(it.rps / it.httpx_rps, 2),
        "cpu_us": round(it.cpu_us),
    }


def _table(it: "RefreshFigures") -> "Table":
    from rich.table import Table  # noqa: PLC0415  # see the package

    held = f"{it.most_in_flight:,} in flight: {it.rss_mb:,.0f} MB, {it.rss_bytes_per_in_flight / 1000:.1f} KB each"
    table = Table(
        title="Refreshes by one worker process",
        caption=f"{held}. Presented twice: {it.reused}. Not settled: {it.unsettled}.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("endpoint")
    for heading in (
        "in flight",
        "a second",
        "CPU each",
        "x reference",
        "of its client",
        "reference",
        "client alone",
        "httpx alone",
    ):
        table.add_column(heading, justify="right")
    for one in it.cases:
        table.add_row(
            one.case.step,
            f"{one.case.in_flight:,}",
            f"{one.rps:,.0f}",
            f"{one.cpu_us:,.0f} us",
            f"{one.rps / one.naive_rps:.1f} x",
            f"{one.rps / one.client_rps:.0%}",
            f"{one.naive_rps:,.0f}",
            f"{one.client_rps:,.0f}",
            f"{one.httpx_rps:,.0f}",
        )
    return table
