"""`tokenkeep bench import`: how fast accounts are taken over by the thousand."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from tokenkeep.cli.bench.imports.run import ImportFigures
    from tokenkeep.cli.bench.scenario import Advance, Told

_ACCOUNTS = 20_000


def imports(
    accounts: Annotated[int, typer.Option("--accounts", min=500, help="Accounts in each import.")] = _ACCOUNTS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002  # Typer's form of a flag
) -> None:
    """Measure `POST /v1/accounts/import` beside PostgreSQL's COPY and an import of the usual kind.

    PostgreSQL, Valkey and API processes are started for it, and everything goes when it is over. PostgreSQL waits for the disk.
    """
    from tokenkeep.cli.bench.scenario import report  # noqa: PLC0415  # see the package

    report([ImportScenario(accounts)], as_json=as_json)


@dataclass(frozen=True, slots=True)
class ImportScenario:
    """How importing is measured and told."""

    accounts: int = _ACCOUNTS
    name: str = "import"

    def measure(self, advance: "Advance") -> "Told":
        """Measure; `advance` is told how far it has come."""
        import asyncio  # noqa: PLC0415  # see the package

        from tokenkeep.cli.bench.imports.run import measure_import  # noqa: PLC0415  # as above

        figures = asyncio.run(measure_import(accounts=self.accounts, advance=advance))
        return _document(figures), _table(figures)


def _document(it: "ImportFigures") -> dict[str, float]:
    from dataclasses import asdict  # noqa: PLC0415  # see the package

    ratios = {
        "ratio_to_naive": it.accounts_per_s / it.naive_accounts_per_s,
        "ratio_to_limit": it.accounts_per_s / it.limit_per_s,
        "best_ratio_to_limit": max(it.accounts_per_s, it.two_imports_per_s, it.two_processes_per_s) / it.limit_per_s,
    }
    return {name: round(figure, 3) for name, figure in {**asdict(it), **ratios}.items()}


def _table(it: "ImportFigures") -> "Table":
    from rich.table import Table  # noqa: PLC0415  # see the package

    table = Table(title="Importing", title_justify="left")
    table.add_column("")
    for heading in ("accounts/s", "x reference", "of COPY's limit"):
        table.add_column(heading, justify="right")
    for name, rate in (
        ("one import", it.accounts_per_s),
        ("two at once, one process", it.two_imports_per_s),
        ("two at once, two processes", it.two_processes_per_s),
        ("reference: ORM, a commit each, Fernet", it.naive_accounts_per_s),
        ("limit: COPY into the same tables", it.limit_per_s),
    ):
        times, share = rate / it.naive_accounts_per_s, rate / it.limit_per_s
        table.add_row(name, f"{rate:,.0f}", f"{times:.1f} x", f"{share:.0%}")
    table.caption = (
        f"{it.bytes_per_account:,.0f} bytes an account in the database, {it.wal_bytes_per_account:,.0f} in its log."
    )
    return table
