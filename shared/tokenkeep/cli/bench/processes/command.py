"""`tokenkeep bench processes`: what more processes do, and what a refresh then costs the machine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from tokenkeep.cli.bench.processes.meter import Spent
    from tokenkeep.cli.bench.processes.run import CaseFigures, ProcessFigures
    from tokenkeep.cli.bench.scenario import Advance, Told

_ACCOUNTS = 6_000
_NAIVE_ACCOUNTS = 1_000
_COUNTS = [1, 2, 4]
_LATENCY_MS = 300
_IN_FLIGHT = 100
_MICRO = 1e6


def processes(
    accounts: Annotated[int, typer.Option("--accounts", min=100, help="Accounts that are refreshed.")] = _ACCOUNTS,
    naive_accounts: Annotated[
        int, typer.Option("--naive-accounts", min=50, help="Accounts that the reference refreshes.")
    ] = _NAIVE_ACCOUNTS,
    count: Annotated[
        list[int] | None,
        typer.Option("--count", min=1, max=32, help="How many workers, and as many schedulers; may be repeated."),
    ] = None,
    latency: Annotated[
        int, typer.Option("--latency", min=1, help="How long the slow endpoint takes, in ms.")
    ] = _LATENCY_MS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002  # Typer's form of a flag
) -> None:
    """Measure one, two and four workers and schedulers over one database, and what a refresh costs the machine.

    Once where each worker waits for at most 100 answers of a slow endpoint, so that the machine has room, and once where answers
    come at once. PostgreSQL, Valkey and the token endpoint run on this machine too, and everything goes when it is over.
    """
    from tokenkeep.cli.bench.scenario import report  # noqa: PLC0415  # see the package

    report([ProcessScenario(accounts, naive_accounts, tuple(count or _COUNTS), latency)], as_json=as_json)


@dataclass(frozen=True, slots=True)
class ProcessScenario:
    """How processes are measured and told."""

    accounts: int = _ACCOUNTS
    naive_accounts: int = _NAIVE_ACCOUNTS
    counts: tuple[int, ...] = tuple(_COUNTS)
    latency_ms: int = _LATENCY_MS
    name: str = "processes"

    def measure(self, advance: "Advance") -> "Told":
        """Measure; `advance` is told how far it has come."""
        import uvloop  # noqa: PLC0415  # see the package

        from tokenkeep.cli.bench.processes.run import Case, measure_processes  # noqa: PLC0415  # as above

        counts = sorted(set(self.counts))
        cases = [Case(count, self.latency_ms, _IN_FLIGHT) for count in counts]
        cases += [Case(count, 0, None) for count in counts]
        figures = uvloop.run(
            measure_processes(cases, accounts=self.accounts, naive_accounts=self.naive_accounts, advance=advance)
        )
        document = _document(figures)
        return document, _tables(document)


def _document(it: "ProcessFigures") -> dict[str, Any]:
    import os  # noqa: PLC0415  # see the package

    waiting = [one for one in it.cases if one.case.in_flight is not None]
    full = [one for one in it.cases if one.case.in_flight is None]
    return {
        "cores": os.cpu_count(),
        "presented_twice": it.presented_twice,
        "attempted_twice": it.attempted_twice,
        "unsettled": it.unsettled,
        "kept_bytes": round(it.kept_bytes),
        "with_room": [_case_document(one, waiting[0]) for one in waiting],
        "full": [_case_document(one, full[0]) for one in full],
        "reference": [
            {
                "processes": one.processes,
                "rps": round(one.rps, 1),
                "ratio_to_first": round(one.rps / it.reference[0].rps, 2),
                "cpu_us": _cpu_us(one.spent, one.accounts),
            }
            for one in it.reference
        ],
    }


def _case_document(it: "CaseFigures", first: "CaseFigures") -> dict[str, Any]:
    limit, stored, elapsed_s = it.case.limit_per_s, it.stored, it.spent.at
    cost, first_cost = (_cpu_us(one.spent, one.accounts) for one in (it, first))
    idle_commands = it.idle_redis_commands_per_s * elapsed_s
    return {
        "latency_ms": it.case.latency_ms,
        "processes": it.case.processes,
        "in_flight_per_worker": it.case.in_flight,
        "rps": round(it.rps, 1),
        "ratio_to_first": round(it.rps / first.rps, 2),
        "ratio_to_limit": None if limit is None else round(it.rps / limit, 2),
        "cores_of_ours": round(sum(it.spent.cpu_s.values()) / elapsed_s, 2),
        "cores_busy": round(it.spent.machine_s / elapsed_s, 2),
        "cpu_us": cost,
        "cpu_ratio_to_first": round(cost["total"] / first_cost["total"], 2),
        "wal_bytes": round(stored.wal_bytes / it.accounts),
        "wal_syncs": round(stored.wal_syncs / it.accounts, 3),
        "commits": round(stored.commits / it.accounts, 3),
        "redis_commands": round(max(stored.redis_commands - idle_commands, 0.0) / it.accounts, 2),
        "redis_bytes": round(stored.redis_bytes / it.accounts),
        "idle_redis_commands_per_s": round(it.idle_redis_commands_per_s, 1),
        "connections": {kind: round(held, 1) for kind, held in it.connections.items() if held},
    }


def _cpu_us(spent: "Spent", accounts: int) -> dict[str, int]:
    """Microseconds of each kind of process for one refresh. The endpoint's are not ours, and not in the total."""
    each = {kind: round(used / accounts * _MICRO) for kind, used in spent.cpu_s.items()}
    return each | {"total": sum(used for kind, used in each.items() if kind != "endpoint")}


def _tables(document: Mapping[str, Any]) -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415  # see the package

    return Group(_rates(document), _stored(document))


def _rates(document: Mapping[str, Any]) -> "Table":
    counted = "Presented twice: {presented_twice}. Attempted twice: {attempted_twice}. Not settled: {unsettled}."
    kinds = ("worker", "scheduler", "postgres", "valkey", "total")
    table = _table(
        f"Workers and as many schedulers over one database, on {document['cores']} cores",
        ("of each", "a second", "x first", "of limit", *kinds, "x first"),
        f"CPU for one refresh, in us. {counted.format(**document)}",
    )
    first = document["reference"][0]["cpu_us"]["total"]
    for label, one in _rows(document):
        cpu, limit = one["cpu_us"], one.get("ratio_to_limit")
        table.add_row(
            label,
            str(one["processes"]),
            f"{one['rps']:,.0f}",
            f"{one['ratio_to_first']:.2f} x",
            "" if limit is None else f"{limit:.0%}",
            *(f"{cpu[kind]:,}" if kind in cpu else "" for kind in kinds),
            f"{one.get('cpu_ratio_to_first', cpu['total'] / first):.2f} x",
        )
    return table


def _rows(document: Mapping[str, Any]) -> "Iterator[tuple[str, Mapping[str, Any]]]":
    for one in document["with_room"]:
        yield f"{one['latency_ms']} ms, {one['in_flight_per_worker']} at a time", one
    yield from (("0 ms", one) for one in document["full"])
    yield from (("reference, 0 ms", one) for one in document["reference"])


def _stored(document: Mapping[str, Any]) -> "Table":
    table = _table(
        "What one refresh makes the stores do",
        ("of each", "log", "syncs", "commits", "Redis commands", "Redis bytes", "connections", "cores busy"),
        f"Connections are those of one worker and one scheduler, to PostgreSQL and to Redis. Kept for 30 days: {document['kept_bytes']:,} B.",
    )
    for one in (*document["with_room"], *document["full"]):
        postgres = sum(held for kind, held in one["connections"].items() if kind != "redis")
        table.add_row(
            f"{one['latency_ms']} ms",
            str(one["processes"]),
            f"{one['wal_bytes']:,} B",
            f"{one['wal_syncs']:.3f}",
            f"{one['commits']:.3f}",
            f"{one['redis_commands']:.2f}",
            f"{one['redis_bytes']:,} B",
            f"{postgres:.0f} + {one['connections']['redis']:.0f}",
            f"{one['cores_busy']:.2f}",
        )
    return table


def _table(title: str, headings: Sequence[str], caption: str) -> "Table":
    from rich.table import Table  # noqa: PLC0415  # see the package

    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("endpoint")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
