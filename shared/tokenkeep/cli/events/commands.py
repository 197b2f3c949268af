"""The commands themselves."""

from typing import Annotated, Any

import typer

from tokenkeep.domain.errors import TokenkeepError

app = typer.Typer(no_args_is_help=True, help="Events: those that are told, and those that services sent in vain.")
dead_app = typer.Typer(no_args_is_help=True, help="What services sent and could not be taken, or not be worked off.")
app.add_typer(dead_app, name="dead")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_DEFAULT_LIMIT = 100


class NoSuchEntry(TokenkeepError):
    """There is nothing dead of such an id."""


@app.callback()
def events() -> None:
    """Events: those that are told, and those that services sent in vain."""


@app.command()
def tail(*, as_json: AsJson = False) -> None:
    """Show what is told from now on, one event a line, until Ctrl-C."""
    import asyncio  # noqa: PLC0415  # see the package `cli`
    import json  # noqa: PLC0415  # as above

    from tokenkeep.cli.events.tail import follow  # noqa: PLC0415  # as above

    async def show() -> None:
        async for event in follow():
            typer.echo(json.dumps(event) if as_json else _line(event))

    try:
        asyncio.run(show())
    except KeyboardInterrupt:
        raise typer.Exit from None


@dead_app.callback()
def dead() -> None:
    """What services sent and could not be taken, or not be worked off."""


@dead_app.command("list")
def list_dead(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = _DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """Show them with their reasons, oldest first. Reads Redis, and the database where TOKENKEEP_DATABASE_URL names one."""
    import asyncio  # noqa: PLC0415  # see the package `cli`
    import json  # noqa: PLC0415  # as above

    from tokenkeep.cli.events import dead as entries  # noqa: PLC0415  # as above

    found = asyncio.run(entries.list_dead(limit))
    if as_json:
        typer.echo(json.dumps(found.documents))
    else:
        for one in found.documents:
            typer.echo(f"{one['id']:<22} {one['where']:<9} {one['reason']}")
    if not found.whole:
        typer.echo(
            "TOKENKEEP_DATABASE_URL is not set: events that failed after they were accepted are not shown", err=True
        )


@dead_app.command()
def retry(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="As `list` shows them.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put them into the inbox again. What is still wrong with them brings them back here."""
    import asyncio  # noqa: PLC0415  # see the package `cli`
    import json  # noqa: PLC0415  # as above

    from tokenkeep.cli.events import dead as entries  # noqa: PLC0415  # as above

    if bool(ids) is everything:
        msg = "name ids, or give --all"
        raise typer.BadParameter(msg)
    retried, missing = asyncio.run(entries.retry_dead(None if everything else ids))
    typer.echo(json.dumps({"retried": retried}) if as_json else f"{len(retried)} put into the inbox again")
    if missing:
        msg = f"there is no such entry: {', '.join(missing)}"
        raise NoSuchEntry(msg)


def _line(event: dict[str, Any]) -> str:
    reason = event["data"].get("reason", "")
    return f"{event['time']} {event['type']:<34} {event['subject']} {reason}".rstrip()
