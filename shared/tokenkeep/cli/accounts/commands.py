"""The commands themselves."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tokenkeep.cli.http_api.access import ApiFlag, EnvironmentFlag, KeyFlag, find_access
from tokenkeep.cli.http_api.printing import AsJson, plain, print_facts, print_json, print_table
from tokenkeep.domain.account import AccountState, Health

app = typer.Typer(no_args_is_help=True, help="End users' accounts, over the HTTP API.")

AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id, acc_….")]
Source = Annotated[str | None, typer.Option("--source", metavar="SOURCE", help="Only those of this source, src_….")]

_DEFAULT_LIMIT = 100
_MOST_SHOWN = 20


@app.callback()
def accounts() -> None:
    """End users' accounts, over the HTTP API."""


@app.command("list")
def list_accounts(
    *,
    source: Source = None,
    state: Annotated[AccountState | None, typer.Option("--state", help="Only those in this state.")] = None,
    health: Annotated[Health | None, typer.Option("--health", help="Only those of this health.")] = None,
    external_id: Annotated[
        str | None, typer.Option("--external-id", metavar="ID", help="Only those of this id.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="SLUG", help="Only those of this provider.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = _DEFAULT_LIMIT,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Accounts, oldest first, one a line."""
    from itertools import islice  # noqa: PLC0415  # see the package `cli`

    from tokenkeep.cli.accounts.api import open_api  # noqa: PLC0415  # as above

    filters = {"source_id": source, "external_id": external_id, "provider": provider}
    query = {name: value for name, value in filters.items() if value is not None}
    query |= {} if state is None else {"state": state.value}
    query |= {} if health is None else {"health": health.value}
    with open_api(find_access(api, key, environment)) as opened:
        found = list(islice(opened.accounts(query), limit + 1))
    shown = found[:limit]
    if as_json:
        print_json(shown)
    else:
        _print_table(shown)
    if len(found) > limit:
        typer.echo(f"there are more than {limit}; --limit shows more", err=True)


@app.command()
def show(
    account: AccountId,
    *,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """All that is known of an account, its credentials aside, and its last day in plain words: what was due, tried, answered, told."""
    from datetime import UTC, datetime  # noqa: PLC0415  # see the package `cli`

    from tokenkeep.cli.accounts.api import open_api  # noqa: PLC0415  # as above
    from tokenkeep.cli.accounts.day import look_at  # noqa: PLC0415  # as above

    with open_api(find_access(api, key, environment)) as opened:
        shown = opened.account(account)
        now = datetime.now(UTC)
        day = look_at(opened, account, now=now)
    if as_json:
        print_json({**shown, "last_day": day.document()})
        return
    _print_account(shown, as_json=False)
    _print_day(shown, day, now)


@app.command()
def enable(
    account: AccountId,
    *,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Use an account again. It is refreshed at once, which shows whether its grant is still good."""
    from tokenkeep.cli.accounts.api import open_api  # noqa: PLC0415  # see the package `cli`

    with open_api(find_access(api, key, environment)) as opened:
        _print_account(opened.toggle(account, on=True), as_json=as_json)


@app.command()
def disable(
    account: AccountId,
    *,
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Stop refreshing an account and handing out its tokens. Nothing of it is lost."""
    from tokenkeep.cli.accounts.api import open_api  # noqa: PLC0415  # see the package `cli`

    with open_api(find_access(api, key, environment)) as opened:
        _print_account(opened.toggle(account, on=False), as_json=as_json)


@app.command("import")
def import_accounts(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="NDJSON: one account a line, as POST /v1/accounts takes it.")
    ],
    *,
    source: Annotated[
        str | None, typer.Option("--source", metavar="SOURCE", help="The source of all lines, src_….")
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", metavar="FILE", help="Write the lines that are rejected to this file, as they are."),
    ] = None,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew", help="Forget earlier runs with the same file: lines that were rejected are tried again."
        ),
    ] = False,  # Typer's form of a flag
    as_json: AsJson = False,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Take over live credentials by the thousand. Stop refreshing them elsewhere first.

    A run that breaks off is gone on with by the same command: for two days, nothing of the file is done twice. The exit code is
    1 if lines were rejected.
    """
    import secrets  # noqa: PLC0415  # see the package `cli`

    from tokenkeep.cli.accounts.import_file import ImportFile  # noqa: PLC0415  # as above

    access = find_access(api, key, environment)
    looked_at = ImportFile.look_at(file)
    idempotency_key = looked_at.key(source) + (f"-{secrets.token_hex(8)}" if anew else "")
    counts = _run_import(looked_at, access, source, idempotency_key, rejects, as_json=as_json)
    summary = f"{sum(counts.values())} lines: {counts['created']} created, {counts['exists']} there already, {counts['rejected']} rejected"
    typer.echo(summary, err=as_json)
    if counts["rejected"]:
        raise typer.Exit(1)


@app.command("export")
def export_accounts(
    *,
    source: Source = None,
    with_credentials: Annotated[
        bool,
        typer.Option(
            "--with-credentials",
            help="Add the credentials: access tokens and keys, refreshed if need be. Needs the scope credentials:read; each"
            " account is audited.",
        ),
    ] = False,  # Typer's form of a flag
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file, of mode 0600.")
    ] = None,
    api: ApiFlag = None,
    key: KeyFlag = None,
    environment: EnvironmentFlag = None,
) -> None:
    """Print all accounts as NDJSON, without their credentials.

    A refresh token is never among them while tokenkeep holds it: two who refresh with it lose it both. The way out is to release
    an account, POST /v1/accounts/{id}/release, which hands its refresh token back and ends custody.
    """
    from tokenkeep.cli.accounts.api import open_api  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.cli.accounts.export import exported, opened, write_lines  # noqa: PLC0415  # as above
    from tokenkeep.cli.accounts.progress import Advance  # noqa: PLC0415  # as above

    access = find_access(api, key, environment)
    query = {} if source is None else {"source_id": source}
    missing = 0
    with open_api(access) as client, opened(output) as out, Advance("accounts", None) as advance:

        def counted() -> Any:
            nonlocal missing
            for account in exported(client, query, with_credentials=with_credentials):
                missing += "credentials_missing" in account
                advance.step()
                yield account

        count = write_lines(counted(), out)
    typer.echo(f"{count} accounts", err=True)
    if missing:
        typer.echo(f"{missing} of them have no credentials to give; credentials_missing says why", err=True)


def _run_import(
    file: Any, access: Any, source: str | None, idempotency_key: str, rejects: Path | None, *, as_json: bool
) -> dict[str, int]:
    import asyncio  # noqa: PLC0415  # see the package `cli`

    import orjson  # noqa: PLC0415  # as above

    from tokenkeep.cli.accounts.import_file import FileImport, Rejects  # noqa: PLC0415  # as above
    from tokenkeep.cli.accounts.progress import Advance  # noqa: PLC0415  # as above

    counts = {"created": 0, "exists": 0, "rejected": 0}
    kept = None if rejects is None else Rejects(file.path, rejects)
    with Advance("lines", file.lines) as advance:

        def note(result: dict[str, Any]) -> None:
            counts[result["status"]] += 1
            if kept is not None:
                kept.take(result)
            if as_json:
                typer.echo(orjson.dumps(result).decode())
            elif result["status"] == "rejected" and counts["rejected"] <= _MOST_SHOWN:
                where = f" {result['field']}:" if "field" in result else ""
                advance.say(f"line {result['line']}: {result['code']}:{where} {result['detail']}")
            advance.step()

        run = FileImport(file, access, source_id=source, key=idempotency_key, on_result=note, say=advance.say)
        try:
            asyncio.run(run.run())
        finally:
            if kept is not None:
                kept.close()
    return counts


def _print_account(account: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(account)
    else:
        print_facts(account)


def _print_day(account: dict[str, Any], day: Any, now: Any) -> None:
    from tokenkeep.cli.accounts.day_words import printed, sentences  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.domain.plain_words import clock, moment_at, standing  # noqa: PLC0415  # as above

    typer.echo("")
    for sentence in standing(account, now=now):
        typer.echo(plain(sentence))
    if account["next_refresh_at"] is not None and moment_at(account["next_refresh_at"]) > now:
        typer.echo(f"The next refresh is due at {clock(account['next_refresh_at'])}.")
    lines = sentences(day, account["provider"])
    typer.echo("\nIts last 24 hours (UTC):" if lines else "\nNothing happened in its last 24 hours.")
    for line in printed(lines):
        typer.echo(line)
    if not day.whole:
        typer.echo("There was more than that; what is older is left out.")
    if day.deliveries is None:
        typer.echo("The key has no scope webhooks:write, so what webhooks got is not shown.")


def _print_table(accounts: list[dict[str, Any]]) -> None:
    rows = []
    for it in accounts:
        disabled = it["disabled"]
        state = it["state"] if disabled is None else f"{it['state']} ({disabled['reason']})"
        rows.append(
            (it["id"], it["provider"], it["external_id"] or "", state, it["health"], it["expires_at"] or "never")
        )
    headings = ("account", "provider", "external id", "state", "health", "expires")
    print_table(headings, rows, one="account", many="accounts")
