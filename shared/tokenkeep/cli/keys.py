"""`tokenkeep keys`: the keyring that wraps every account's data key."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The keyring: the keys that encrypt all credentials.")


@app.callback()
def keys() -> None:
    """The keyring: the keys that encrypt all credentials."""


@app.command()
def generate(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to a new file of mode 0600 instead of the terminal."
        ),
    ] = None,
) -> None:
    """Make a new keyring of one key, for TOKENKEEP_KEYRING or a TOKENKEEP_KEYRING_FILE."""
    from tokenkeep.adapters.vault.keyring import Keyring  # noqa: PLC0415  # see the package
    from tokenkeep.adapters.vault.keyring_file import create_keyring_file  # noqa: PLC0415  # as above

    if output is None:
        typer.echo(Keyring.generate().to_text().reveal().rstrip("\n"))
        return
    create_keyring_file(output)
    typer.echo(f"wrote a new keyring to {output}; keep a copy where the database's backups are not")
