"""`tokenkeep providers`: the catalogue, and the check of a provider's file of one's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenkeep.cli.catalogue import this_catalogue
from tokenkeep.domain.account import AuthType

if TYPE_CHECKING:
    from tokenkeep.providers.entry import Provider

app = typer.Typer(no_args_is_help=True, help="The catalogue of providers.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def providers() -> None:
    """The catalogue of providers."""


@app.command("list")
def list_providers(
    auth_type: Annotated[AuthType | None, typer.Option("--auth-type", help="Only those of this auth type.")] = None,
    find: Annotated[
        str | None, typer.Option("--find", metavar="TEXT", help="Only those whose name holds this.")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002  # Typer's form of a flag
) -> None:
    """Every provider, one a line."""
    found = [
        it
        for it in this_catalogue().all()
        if (auth_type is None or it.auth_type is auth_type)
        and (find is None or find.lower() in it.slug or find.lower() in it.name.lower())
    ]
    if as_json:
        _print_json([_summary(it) for it in found])
        return
    from rich.console import Console  # noqa: PLC0415  # see the package
    from rich.table import Table  # noqa: PLC0415  # as above

    table = Table("slug", "name", "auth type", "categories", "known from", box=None, pad_edge=False)
    for it in found:
        table.add_row(it.slug, it.name, _kind(it), ", ".join(it.categories), it.confidence.value)
    Console().print(table)
    typer.echo("1 provider" if len(found) == 1 else f"{len(found)} providers")


@app.command()
def show(
    slug: Annotated[str, typer.Argument(help="The provider's slug, such as quickbooks.")],
    as_json: AsJson = False,  # noqa: FBT002  # Typer's form of a flag
) -> None:
    """All that is known of a provider, and how surely."""
    catalogue = this_catalogue()
    if slug not in catalogue.providers:
        from difflib import get_close_matches  # noqa: PLC0415  # only for those who mistyped

        near = get_close_matches(slug, catalogue.providers, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        typer.echo(f"there is no provider {slug} in the catalogue{hint}", err=True)
        raise typer.Exit(1)
    provider = catalogue.get(slug)
    if as_json:
        _print_json(_whole(provider))
        return
    _show_entry(provider)


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Files such as acme.yaml.")],
) -> None:
    """Check provider files of your own, and say what is wrong where."""
    from tokenkeep.domain.errors import CatalogueError  # noqa: PLC0415  # see the package
    from tokenkeep.providers.catalogue import read_entry_file  # noqa: PLC0415  # as above

    wrong = 0
    for file in files:
        try:
            provider = read_entry_file(file)
        except CatalogueError as error:
            wrong += 1
            typer.echo(str(error), err=True)
        else:
            typer.echo(f"{file.name}: fine: {provider.name}, {_kind(provider)}")
    if wrong:
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of provider files, for your editor."""
    from tokenkeep.providers.file_schema import provider_file_schema  # noqa: PLC0415  # see the package

    _print_json(provider_file_schema())


def _kind(it: "Provider") -> str:
    if it.auth_type is not AuthType.OAUTH2 or it.grant.value == "authorization_code":
        return it.auth_type.value
    return f"{it.auth_type.value} ({it.grant.value})"


def _summary(it: "Provider") -> dict[str, Any]:
    from tokenkeep.providers.capabilities import capabilities  # noqa: PLC0415  # see the package

    return {
        "slug": it.slug,
        "name": it.name,
        "auth_type": it.auth_type.value,
        "grant": it.grant.value if it.auth_type is AuthType.OAUTH2 else None,
        "categories": it.categories,
        "confidence": it.confidence.value,
        "origin": it.origin,
        "capabilities": capabilities(it),
    }


def _whole(it: "Provider") -> dict[str, Any]:
    from tokenkeep.providers.schemas import (  # noqa: PLC0415  # see the package
        credential_schema,
        options_schema,
        property_schema,
    )

    return {
        **_summary(it),
        "notes": it.notes,
        "docs": it.docs,
        "documented_fields": it.documented_fields,
        "recalled_fields": it.recalled_fields,
        "credential_schema": credential_schema(it),
        "property_schema": property_schema(it),
        "options_schema": options_schema(it),
    }


def _show_entry(it: "Provider") -> None:
    from rich.console import Console  # noqa: PLC0415  # see the package
    from rich.table import Table  # noqa: PLC0415  # as above

    from tokenkeep.providers.facts import facts_of  # noqa: PLC0415  # as above

    console = Console()
    console.print(f"[bold]{it.name}[/bold] ({it.slug}, {_kind(it)}, {it.origin})")
    table = Table("fact", "value", "known from", box=None, pad_edge=False)
    for fact in facts_of(it):
        table.add_row(fact.name, fact.value, fact.known_from)
    console.print(table)
    for address in it.docs:
        console.print(f"  {address}", highlight=False)


def _print_json(document: Any) -> None:
    import orjson  # noqa: PLC0415  # see the package

    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
