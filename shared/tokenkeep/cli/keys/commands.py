"""The commands themselves."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The keyring: the keys that encrypt all credentials, and their rotation.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="The keyring's file, if it is not TOKENKEEP_KEYRING_FILE's."),
]
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, such as k1a2b3c4d.")]
Unasked = Annotated[
    bool,
    typer.Option("--unasked", help="Do not ask whether every running process has the key: what lacks it, can't open."),
]


@app.callback()
def keys() -> None:
    """The keyring: the keys that encrypt all credentials, and their rotation."""


@app.command()
def generate(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to a new file of mode 0600 instead of the terminal."
        ),
    ] = None,
) -> None:
    """Make a new keyring of one key, for TOKENKEEP_KEYRING or a TOKENKEEP_KEYRING_FILE.

    Where TOKENKEEP_KEYRING_KMS names a key service, the key is encrypted by it.
    """
    from tokenkeep.adapters.vault.keyring_file import create_keyring_file  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.cli.keys.installation import encrypting_service, new_key_of  # noqa: PLC0415  # as above
    from tokenkeep.domain.errors import KeyServiceError, SettingsError  # noqa: PLC0415  # as above
    from tokenkeep.settings import load_settings  # noqa: PLC0415  # as above

    settings = load_settings()
    if output is None:
        typer.echo(new_key_of(settings)[1].reveal())
        return
    try:
        create_keyring_file(output, encrypting_service(settings))
    except KeyServiceError as error:
        raise SettingsError(f"TOKENKEEP_KEYRING_KMS: {error}") from None
    typer.echo(f"wrote a new keyring to {output}; keep a copy where the database's backups are not")


@app.command()
def add(
    *,
    first: Annotated[
        bool, typer.Option("--first", help="Before the others: it is wrapped by at once, by who has read the file.")
    ] = False,
    file: File = None,
) -> None:
    """Add a new key to the keyring's file, behind the others: it can be read, and nothing is wrapped by it yet."""
    from tokenkeep.adapters.vault.keyring_edits import add_key  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.cli.keys.installation import find_installation, keyring_file, new_key_of  # noqa: PLC0415  # as above

    settings = find_installation()
    path = keyring_file(settings, file)
    ring, entry = new_key_of(settings)
    add_key(path, entry, first=first)
    typer.echo(f"added {ring.current} to {path}; keep a copy where the database's backups are not")
    if not first:
        typer.echo(f"once every process has it: tokenkeep keys use {ring.current}", err=True)


@app.command()
def use(key: KeyId, *, file: File = None, unasked: Unasked = False) -> None:
    """Make a key of the keyring's file the current one: what is sealed from now on is wrapped by it.

    Refuses while a running process does not have the key yet.
    """
    from tokenkeep.adapters.vault.keyring_edits import put_first  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.cli.keys.installation import find_installation, keyring_file  # noqa: PLC0415  # as above
    from tokenkeep.cli.keys.rotation import require_key_everywhere  # noqa: PLC0415  # as above

    settings = find_installation()
    path = keyring_file(settings, file)
    if not unasked:
        require_key_everywhere(settings, key)
    if put_first(path, key):
        typer.echo(f"{key} is the current key of {path}; to have all rows wrapped by it: tokenkeep keys rotate")
    else:
        typer.echo(f"{key} is the current key of {path} already")


@app.command()
def rotate(
    *,
    rows_per_s: Annotated[
        float,
        typer.Option("--rows-per-s", min=0, metavar="N", help="At most so many rows a second; 0 is as many as can be."),
    ] = 2000.0,
    unasked: Unasked = False,
    as_json: AsJson = False,
) -> None:
    """Wrap every data key anew by the keyring's current key, beside the traffic.

    Can be stopped at any time (Ctrl-C) and begun again: rows that are on the current key are passed over. Exits with 0 when no row is
    left on another key, with 130 when it was stopped, else with 1.
    """
    from tokenkeep.cli.keys.rotation import rotate_keys  # noqa: PLC0415  # see the package `cli`

    raise typer.Exit(rotate_keys(rows_per_s=rows_per_s, unasked=unasked, as_json=as_json))


@app.command()
def status(
    *,
    removable: Annotated[
        str | None,
        typer.Option("--removable", metavar="KEY", help="Exit with 0 if this key may be removed, else with 1."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How many rows each key wraps, exactly, which process has which keys, and which may be removed."""
    from tokenkeep.cli.keys.state import show_status  # noqa: PLC0415  # see the package `cli`

    raise typer.Exit(show_status(removable=removable, as_json=as_json))


@app.command()
def remove(key: KeyId, *, file: File = None) -> None:
    """Take a key out of the keyring's file. Refuses while anything may still need it."""
    from tokenkeep.adapters.vault.keyring_edits import remove_key  # noqa: PLC0415  # see the package `cli`
    from tokenkeep.cli.keys.installation import find_installation, keyring_file  # noqa: PLC0415  # as above
    from tokenkeep.cli.keys.state import require_removable  # noqa: PLC0415  # as above

    settings = find_installation()
    path = keyring_file(settings, file)
    require_removable(settings, key)
    remove_key(path, key)
    typer.echo(f"removed {key} from {path}; keep it elsewhere for as long as a backup of the database may be restored")


@app.command()
def forget(
    process: Annotated[str, typer.Argument(metavar="PROCESS", help="The process's id, as `status` shows it.")],
) -> None:
    """Take a process that is gone for good out of the account: its spool is lost, or was looked through."""
    from tokenkeep.cli.keys.state import forget_process  # noqa: PLC0415  # see the package `cli`

    typer.echo(forget_process(process))
