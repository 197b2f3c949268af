"""The command itself."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tokenkeep.application.checkup.findings import Finding

_DEADLINE_S = 30.0


def doctor(
    *,
    api: Annotated[
        bool, typer.Option("--api", help="Ask the API too, at TOKENKEEP_PUBLIC_URL or where it listens here.")
    ] = False,
    deadline_s: Annotated[
        float, typer.Option("--deadline", min=1, max=600, help="Seconds that all checks together may take.")
    ] = _DEADLINE_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at settings, stores, keyring, clocks and this host, and say what to do. Exit code 1 if something is wrong.

    Run it with the environment of the processes, on their host: what it sees is what they see. It changes nothing.
    """
    import asyncio  # noqa: PLC0415  # see the package `cli`

    from tokenkeep.application.checkup.findings import Level  # noqa: PLC0415  # as above

    findings = asyncio.run(_look(ask_api=api, deadline_s=deadline_s, show=not as_json))
    if as_json:
        _print_json(findings)
    if any(one.level is Level.FAULT for one in findings):
        raise typer.Exit(1)


async def _look(*, ask_api: bool, deadline_s: float, show: bool) -> "list[Finding]":
    from tokenkeep.application.checkup.findings import look  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.cli.doctor.checks import CHECK_DEADLINE_S, all_checks  # noqa: PLC0415  # as above
    from tokenkeep.cli.doctor.screen import Screen  # noqa: PLC0415  # as above

    screen = Screen() if show else None
    findings: list[Finding] = []
    each_s = min(CHECK_DEADLINE_S, deadline_s)
    async for found in look(all_checks(ask_api=ask_api), deadline_s=each_s, whole_deadline_s=deadline_s):
        findings += found
        if screen is not None:
            screen.show(found)
    if screen is not None:
        screen.sum_up(findings)
    return findings


def _print_json(findings: "list[Finding]") -> None:
    import json  # noqa: PLC0415  # see the package `cli`

    from tokenkeep.application.checkup.findings import count  # noqa: PLC0415  # as above

    documents = [{"check": one.check, "level": one.level.value, "saw": one.saw, "do": one.do} for one in findings]
    levels = {level.value: number for level, number in count(findings).items()}
    typer.echo(json.dumps({"findings": documents, "counts": levels}))
