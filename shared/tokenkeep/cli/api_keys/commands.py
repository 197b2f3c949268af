"""The commands themselves."""

from typing import Annotated, Any

import typer

from tokenkeep.cli.http_api.access import ApiFlag, EnvironmentFlag, KeyFlag, find_access
from tokenkeep.cli.http_api.confirmation import Yes, make_sure
from tokenkeep.cli.http_api.printing import AsJson, plain, print_json, print_table
from tokenkeep.domain.api_key import Scope

app = typer.Typer(no_args_is_help=True, help="Keys to the HTTP API, over the HTTP API. They take the scope admin.")


@app.callback()
def api_keys() -> None:
    """Keys to the HTTP API, over the HTTP API. They take the scope admin."""


@app.command("list")
def list_keys(
    *, as_json: AsJson = False, api: ApiFlag = None, key: KeyFlag = None, environment: EnvironmentFlag = None
) -> None:
    """The environment's keys, oldest first, one a line. None is shown whole: only its hash is stored."""
    from tokenkeep.cli.api_keys.api import open_api  # noqa: PLC0415  # see the package `cli`

    with open_api(find_access(api, key, environment)) as opened:
        found = list(opened.all())
    if as_json:
        print_json(found)
        return
    rows = [
        (
            it["id"],
            it["name"],
            it["hint"],
            " ".join(it["scopes"]),
            it["last_used_at"] or "never",
            it["expires_at"] or "never",
        )
        for it in found
    ]
    print_table(("id", "name", "key", "scopes", "last used", "ends"), rows, one="key", many="keys")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for, such as 'billing service'.")],
    *,
    scope: Annotated[list[Scope], typer.Option("--scope", help="What it may do; repeat it.")],
    expires_at: Annotated[
        str | None, typer.Option("--expires-at", metavar="TIME", help="When it ends, such as 2030-01-31T12:00:00Z.")
    ] = None,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Make a key. It is printed now and never again, alone on standard output: `… > service.key` holds it and nothing else.

    umask 077; tokenkeep api-keys create 'billing service' --scope credentials:read > service.key
    """
    from tokenkeep.cli.api_keys.api import open_api  # noqa: PLC0415  # see the package `cli`

    body: dict[str, Any] = {"name": name, "scopes": [it.value for it in scope]}
    body |= {} if expires_at is None else {"expires_at": expires_at}
    with open_api(find_access(api, key, environment)) as opened:
        made = opened.create({**body, "environment": environment or opened.environment()})
    if as_json:
        print_json(made)
        return
    typer.echo(made["key"])
    may = " ".join(made["scopes"])
    said = f"{made['id']} of the environment {made['environment']} may {may}; it is not shown again"
    typer.echo(plain(said), err=True)


@app.command()
def delete(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, key_….")],
    *,
    yes: Yes = False,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Withdraw a key. It stops working at once."""
    from tokenkeep.cli.api_keys.api import open_api  # noqa: PLC0415  # see the package `cli`

    with open_api(find_access(api, key, environment)) as opened:
        if not yes:
            named = next((it["name"] for it in opened.all() if it["id"] == key_id), None)
            what = key_id if named is None else f"{named} ({key_id})"
            make_sure(f"Withdraw the key {what}? Whoever uses it is turned away from then on.")
        opened.delete(key_id)
    if as_json:
        print_json({"id": key_id, "deleted": True})
    else:
        typer.echo(f"deleted {key_id}")
