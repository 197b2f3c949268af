"""The commands themselves."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tokenkeep.cli.http_api.access import ApiFlag, EnvironmentFlag, KeyFlag, find_access
from tokenkeep.cli.http_api.confirmation import Yes, make_sure
from tokenkeep.cli.http_api.printing import AsJson, print_facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Providers configured with your own client, over the HTTP API.")

SourceId = Annotated[str, typer.Argument(metavar="SOURCE", help="The source's id, src_….")]
ClientId = Annotated[str | None, typer.Option("--client-id", metavar="ID", help="From the app that you registered.")]
ClientSecretFile = Annotated[
    str | None,
    typer.Option(
        "--client-secret-file",
        metavar="FILE",
        help="The client secret, or key in PEM, is in this file; - is standard input, and asks on a terminal.",
    ),
]
HookSecretFile = Annotated[
    str | None,
    typer.Option("--hook-secret-file", metavar="FILE", help="As above: what the provider signs its notices with."),
]
CalloutSecretFile = Annotated[
    str | None,
    typer.Option(
        "--refresh-callout-secret-file",
        metavar="FILE",
        help="As above: whsec_…, goes with the option refresh_callout_url.",
    ),
]
Scopes = Annotated[list[str] | None, typer.Option("--scope", metavar="SCOPE", help="What to ask users for; repeat it.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="An option of the provider's, the value JSON or plain text; repeat it. `tokenkeep providers show` lists them.",
    ),
]


@app.callback()
def sources() -> None:
    """Providers configured with your own client, over the HTTP API."""


@app.command("list")
def list_sources(
    *, as_json: AsJson = False, api: ApiFlag = None, key: KeyFlag = None, environment: EnvironmentFlag = None
) -> None:
    """Every source, oldest first, one a line."""
    from tokenkeep.cli.sources.api import open_api  # noqa: PLC0415  # see the package `cli`

    with open_api(find_access(api, key, environment)) as opened:
        found = list(opened.sources())
    if as_json:
        print_json(found)
        return
    rows = [(it["id"], it["provider"], it["name"], _state(it)) for it in found]
    print_table(("source", "provider", "name", "state"), rows, one="source", many="sources")


@app.command()
def show(
    source: SourceId,
    *,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """All that is known of a source, its secrets aside."""
    from tokenkeep.cli.sources.api import open_api  # noqa: PLC0415  # see the package `cli`

    with open_api(find_access(api, key, environment)) as opened:
        _print_source(opened.source(source), as_json=as_json)


@app.command()
def create(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider's slug, such as quickbooks.")],
    *,
    name: Annotated[str, typer.Option("--name", help="What end users read on connect pages: your product's name.")],
    client_id: ClientId = None,
    client_secret_file: ClientSecretFile = None,
    scope: Scopes = None,
    option: Options = None,
    hook_secret_file: HookSecretFile = None,
    refresh_callout_secret_file: CalloutSecretFile = None,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Configure a provider. On a terminal the client secret is asked for, and not shown; it is never an argument.

    tokenkeep sources create quickbooks --name Books --client-id ABC --client-secret-file secret.txt
    """
    from tokenkeep.cli.sources.api import open_api  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.cli.sources.given import parsed_options  # noqa: PLC0415  # as above

    access = find_access(api, key, environment)
    body: dict[str, Any] = {"provider": provider, "name": name, "scopes": scope or []}
    body |= {} if client_id is None else {"client_id": client_id}
    body |= _secrets(client_secret_file, hook_secret_file, refresh_callout_secret_file)
    if client_id is not None and client_secret_file is None:
        body |= _asked_secret()
    with open_api(access) as opened:
        schemas = opened.option_schemas(provider) if option else {}
        body["options"] = parsed_options(option or [], schemas)
        _print_source(opened.create(body), as_json=as_json)


@app.command()
def update(
    source: SourceId,
    *,
    name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    client_id: ClientId = None,
    client_secret_file: ClientSecretFile = None,
    no_client_secret: Annotated[bool, typer.Option("--no-client-secret", help="It has none from now on.")] = False,
    scope: Scopes = None,
    no_scopes: Annotated[bool, typer.Option("--no-scopes", help="Users are asked for none.")] = False,
    option: Options = None,
    without_option: Annotated[
        list[str] | None, typer.Option("--without-option", metavar="NAME", help="Take this option away; repeat it.")
    ] = None,
    hook_secret_file: HookSecretFile = None,
    no_hook_secret: Annotated[bool, typer.Option("--no-hook-secret", help="It has none from now on.")] = False,
    refresh_callout_secret_file: CalloutSecretFile = None,
    no_refresh_callout_secret: Annotated[
        bool, typer.Option("--no-refresh-callout-secret", help="It has none from now on.")
    ] = False,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Change what is given, and leave the rest. Scopes are replaced as a whole, options one by one.

    A changed client is tried with one account before the others follow.
    """
    from tokenkeep.cli.sources.api import open_api  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.cli.sources.given import parsed_options  # noqa: PLC0415  # as above

    access = find_access(api, key, environment)
    plain_changes = {"name": name, "client_id": client_id, "scopes": [] if no_scopes else scope or None}
    body: dict[str, Any] = {member: value for member, value in plain_changes.items() if value is not None}
    dropped = {
        "client_secret": no_client_secret,
        "hook_secret": no_hook_secret,
        "refresh_callout_secret": no_refresh_callout_secret,
    }
    body |= {member: None for member, is_dropped in dropped.items() if is_dropped}
    body |= _secrets(client_secret_file, hook_secret_file, refresh_callout_secret_file)
    with open_api(access) as opened:
        if option or without_option:
            present = opened.source(source)
            changed = parsed_options(option or [], opened.option_schemas(present["provider"]))
            kept = {one: value for one, value in present["options"].items() if one not in (without_option or [])}
            body["options"] = {**kept, **changed}
        _print_source(opened.update(source, body), as_json=as_json)


@app.command()
def pause(
    source: SourceId,
    *,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Stop refreshing for a source. Its accounts keep their states; tokens that are still good are handed out."""
    from tokenkeep.cli.sources.api import open_api  # noqa: PLC0415  # see the package `cli`

    with open_api(find_access(api, key, environment)) as opened:
        _print_source(opened.pause(source), as_json=as_json)


@app.command()
def resume(
    source: SourceId,
    *,
    confirm_revocations: Annotated[
        bool,
        typer.Option(
            "--confirm-revocations",
            help="After a mass revocation: believe the provider, and disable the accounts that it called revoked. Without it they"
            " are refreshed again.",
        ),
    ] = False,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Go on refreshing for a source. What has come due meanwhile is refreshed within seconds."""
    from tokenkeep.cli.sources.api import open_api  # noqa: PLC0415  # see the package `cli`

    with open_api(find_access(api, key, environment)) as opened:
        _print_source(opened.resume(source, confirm_revocations=confirm_revocations), as_json=as_json)


@app.command()
def delete(
    source: SourceId,
    *,
    yes: Yes = False,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Delete a source that has no accounts any more. Nothing brings it back."""
    from tokenkeep.cli.sources.api import open_api  # noqa: PLC0415  # see the package `cli`

    with open_api(find_access(api, key, environment)) as opened:
        if not yes:
            found = opened.source(source)
            make_sure(f"Delete {found['name']} ({found['provider']}, {source}) for good?")
        opened.delete(source)
    if as_json:
        print_json({"id": source, "deleted": True})
    else:
        typer.echo(f"deleted {source}")


def _secrets(client: str | None, hook: str | None, callout: str | None) -> Mapping[str, str]:
    from tokenkeep.cli.sources.given import read_secret  # noqa: PLC0415  # see the package `cli`

    given = {
        "client_secret": ("--client-secret-file", client),
        "hook_secret": ("--hook-secret-file", hook),
        "refresh_callout_secret": ("--refresh-callout-secret-file", callout),
    }
    return {member: read_secret(flag, file) for member, (flag, file) in given.items() if file is not None}


def _asked_secret() -> Mapping[str, str]:
    """The client secret as it is typed; nothing where there is no terminal, or nothing is typed."""
    import sys  # noqa: PLC0415  # see the package `cli`

    from tokenkeep.cli.sources.given import prompted  # noqa: PLC0415  # as above

    if not sys.stdin.isatty():
        return {}
    secret = prompted("--client-secret-file", note=" (empty: it has none)")
    return {"client_secret": secret} if secret else {}


def _state(source: Mapping[str, Any]) -> str:
    reason = source["paused_reason"]
    return str(source["state"]) if reason is None else f"{source['state']} ({reason})"


def _print_source(source: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(source)
    else:
        print_facts({name: value for name, value in source.items() if name != "account_schema"})
