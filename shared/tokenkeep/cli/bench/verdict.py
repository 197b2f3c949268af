"""`tokenkeep bench verdict`: how well the answers of token endpoints are understood."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tokenkeep.providers.scoring import Read, Score

_LONGEST_SHOWN = 100
_NARROWEST = 120


def verdict(
    corpus: Annotated[
        Path | None,
        typer.Option(
            "--corpus",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Labelled answers in JSON lines instead of the built-in ones: provider, http_status, headers, body, verdict.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002  # Typer's form of a flag
) -> None:
    """Read a corpus of labelled answers, and show what was said of them.

    A hard miss costs something: a living account disabled, rubbish stored, or a token set thrown away.
    """
    from tokenkeep.cli.catalogue import this_catalogue  # noqa: PLC0415  # see the package
    from tokenkeep.providers.scoring import built_in_corpus, read_corpus, score  # noqa: PLC0415  # as above

    answers = built_in_corpus()
    if corpus is not None:
        answers = read_corpus(corpus.read_text(encoding="utf-8").splitlines())
    scored = score(answers, this_catalogue())
    if as_json:
        import orjson  # noqa: PLC0415  # see the package

        typer.echo(orjson.dumps(_document(scored), option=orjson.OPT_INDENT_2).decode())
    else:
        _show(scored)


def _document(scored: Score) -> dict[str, Any]:
    return {
        "total": len(scored.reads),
        "exact": scored.exact,
        "hard_misses": scored.hard_misses,
        "by_verdict": {
            label.value: {
                "total": sum(row.values()),
                "exact": row[label],
                "said": {said.value: count for said, count in row.items() if count},
            }
            for label, row in scored.table().items()
        },
        "missed": [
            {
                "line": miss.of.line,
                "provider": miss.of.provider,
                "http_status": miss.of.answer.status,
                "label": miss.of.label.value,
                "said": miss.said.value,
                "hard": miss.is_hard_miss,
                "body": miss.of.answer.body.decode(errors="replace"),
            }
            for miss in scored.missed
        ],
    }


def _show(scored: Score) -> None:
    from rich.console import Console  # noqa: PLC0415  # see the package
    from rich.table import Table  # noqa: PLC0415  # as above

    console = Console()
    console.width = max(console.width, _NARROWEST)
    table = Table(title="What was said of the answers, by their labels", title_justify="left")
    table.add_column("label")
    labels = list(scored.table())
    for label in labels:
        table.add_column(label.value.replace("_", "\n"), justify="right")
    table.add_column("exact", justify="right")
    for label, row in scored.table().items():
        total = sum(row.values())
        shares = [f"[bold]{row[said]}[/bold]" if said is label else str(row[said] or "·") for said in labels]
        table.add_row(label.value, *shares, f"{row[label] / total:.1%}" if total else "-")
    console.print(table)
    for miss in scored.missed:
        console.print(_line(miss), markup=False, highlight=False, soft_wrap=True)
    total = len(scored.reads)
    share = f" ({scored.exact / total:.1%})" if total else ""
    console.print(f"{total} answers, {scored.exact} exact{share}, {scored.hard_misses} hard misses")


def _line(miss: Read) -> str:
    body = " ".join(miss.of.answer.body.decode(errors="replace").split())
    mark = "HARD" if miss.is_hard_miss else "    "
    shown = body if len(body) <= _LONGEST_SHOWN else f"{body[:_LONGEST_SHOWN]}…"
    return f"{mark} {miss.of.provider} {miss.of.answer.status}: said {miss.said}, labelled {miss.of.label}: {shown}"
