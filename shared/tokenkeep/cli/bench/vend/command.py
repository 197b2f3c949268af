"""`tokenkeep bench vend`: how fast tokens are handed out that are in store."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from tokenkeep.cli.bench.scenario import Advance, Told
    from tokenkeep.cli.bench.vend.load import Load
    from tokenkeep.cli.bench.vend.run import VendFigures

_ACCOUNTS = 10_000
_SECONDS = 5.0


def vend(
    accounts: Annotated[int, typer.Option("--accounts", min=100, help="Accounts whose tokens are read.")] = _ACCOUNTS,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1.0, help="How long each of the measurements lasts.")
    ] = _SECONDS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002  # Typer's form of a flag
) -> None:
    """Measure reads of tokens that are in store, through the real API, beside its bare server and an API of the usual kind.

    PostgreSQL and Valkey are started for it, and everything goes when it is over. The load comes from a compiled program
    (the extra `bench`), which checks that each answer holds its account's token.
    """
    from tokenkeep.cli.bench.scenario import report  # noqa: PLC0415  # see the package

    report([VendScenario(accounts, seconds)], as_json=as_json)


@dataclass(frozen=True, slots=True)
class VendScenario:
    """How reads of tokens are measured and told."""

    accounts: int = _ACCOUNTS
    seconds: float = _SECONDS
    name: str = "vend"

    def measure(self, advance: "Advance") -> "Told":
        """Measure; `advance` is told how far it has come."""
        import asyncio  # noqa: PLC0415  # see the package

        from tokenkeep.cli.bench.vend.run import measure_vend  # noqa: PLC0415  # as above

        figures = asyncio.run(measure_vend(accounts=self.accounts, seconds=self.seconds, advance=advance))
        return _document(figures), _table(figures)


def _document(it: "VendFigures") -> dict[str, Any]:
    from tokenkeep.cli.bench.vend.run import TYPICAL  # noqa: PLC0415  # see the package

    typical = it.random[TYPICAL]
    return {
        "rps": round(typical.per_s, 1),
        "hello_rps": round(it.hello.per_s, 1),
        "naive_rps": round(it.naive.per_s, 1),
        "ratio_to_hello": round(typical.per_s / it.hello.per_s, 3),
        "ratio_to_naive": round(typical.per_s / it.naive.per_s, 1),
        "p50_ms": round(typical.p50_ms, 3),
        "p99_ms": round(typical.p99_ms, 3),
        "hello_p99_ms": round(it.hello.p99_ms, 3),
        "naive_p99_ms": round(it.naive.p99_ms, 3),
        "random": {str(count): _figures(load) for count, load in it.random.items()},
        "hot": {str(count): _figures(load) for count, load in it.hot.items()},
        "reads": it.reads,
        "audit_rows": it.audit_rows,
    }


def _figures(load: "Load") -> dict[str, float]:
    return {"rps": round(load.per_s, 1), "p50_ms": round(load.p50_ms, 3), "p99_ms": round(load.p99_ms, 3)}


def _table(it: "VendFigures") -> "Table":
    from rich.table import Table  # noqa: PLC0415  # see the package

    table = Table(title="Reads of tokens that are in store", title_justify="left")
    table.add_column("")
    for heading in ("connections", "a second", "median", "p99", "x reference", "of the bare server"):
        table.add_column(heading, justify="right")
    for kind, loads in (("random accounts", it.random), ("one account", it.hot)):
        for count, load in loads.items():
            table.add_row(*_row(it, kind, count, load))
    table.add_row(*_row(it, "reference: ORM, lock, write", 64, it.naive))
    table.add_row(*_row(it, "limit: the bare server", 64, it.hello))
    return table


def _row(it: "VendFigures", kind: str, connections: int, load: "Load") -> list[str]:
    return [
        kind,
        str(connections),
        f"{load.per_s:,.0f}",
        f"{load.p50_ms:.2f} ms",
        f"{load.p99_ms:.2f} ms",
        f"{load.per_s / it.naive.per_s:.1f} x",
        f"{load.per_s / it.hello.per_s:.0%}",
    ]
