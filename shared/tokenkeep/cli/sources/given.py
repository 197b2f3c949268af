"""What is given on the command line, as the API takes it: options by name and value, secrets from where nobody else reads them."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import typer

from tokenkeep.domain.errors import SettingsError

STDIN: Final = "-"
_MOST_BYTES: Final = 256 * 1024


def parsed_options(given: Iterable[str], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Each `name=value` as a member: JSON where the value is JSON, else the text itself.

    Where the provider's schema wants a text, a value that is JSON of another kind (`hostname=4711`) is one.

    Raises:
        SettingsError: One of them is no `name=value`, or a name comes twice.
    """
    import orjson  # noqa: PLC0415  # see the package `cli`

    options: dict[str, Any] = {}
    for one in given:
        name, mark, text = one.partition("=")
        if not (name and mark):
            msg = "--option: must be name=value, such as token_url=https://login.example.com/token"
            raise SettingsError(msg)
        if name in options:
            msg = f"--option: {name} is given twice"
            raise SettingsError(msg)
        try:
            value = orjson.loads(text)
        except ValueError:
            value = text
        wants_text = schemas.get(name, {}).get("type") == "string"
        options[name] = text if wants_text and not isinstance(value, str) else value
    return options


def read_secret(flag: str, file: str) -> str:
    """The secret in this file, without the line's end after it; `-` is standard input, which asks on a terminal.

    Raises:
        SettingsError: It can't be read, or is none; `flag` is named, the content never.
    """
    if file == STDIN and sys.stdin.isatty():
        return ask_secret(flag)
    try:
        if file == STDIN:
            content = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(_MOST_BYTES + 1)
        secret = content.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{flag}: can't be read: {type(error).__name__}"
        raise SettingsError(msg) from None
    if not secret or len(content) > _MOST_BYTES:
        msg = f"{flag}: must hold a secret"
        raise SettingsError(msg)
    return secret


def ask_secret(flag: str) -> str:
    """The secret that is typed on the terminal, which does not show it.

    Raises:
        SettingsError: Nothing was typed.
    """
    secret = prompted(flag)
    if not secret:
        msg = f"{flag}: must hold a secret"
        raise SettingsError(msg)
    return secret


def prompted(flag: str, *, note: str = "") -> str:
    """What is typed on the terminal, which does not show it; empty if nothing is."""
    what = flag.removeprefix("--").removesuffix("-file").replace("-", " ").capitalize()
    typed: str = typer.prompt(f"{what}{note}", default="", hide_input=True, show_default=False, err=True)
    return typed
