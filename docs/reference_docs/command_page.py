"""docs/reference/command-line.md, by Typer's own documentation of its commands."""

import re
from html import unescape

import typer
from typer.cli import get_docs_for_click

from tokenkeep.cli.main import app

_HEAD = """# The command line

What `--help` says, of every command. Commands that talk to the API take its address and a key by `--api` and `--key`, or from [`TOKENKEEP_PUBLIC_URL`](settings.md#tokenkeep_public_url) and [`TOKENKEEP_ADMIN_KEY`](settings.md#tokenkeep_admin_key); beside `tokenkeep up` in the same directory they find both by themselves. Commands that start something read the [settings](settings.md).

"""


def command_page() -> str:
    """The page."""
    command = typer.main.get_command(app)
    said = get_docs_for_click(obj=command, ctx=typer.Context(command), name="tokenkeep")
    # Its own heading is ours already; what Typer escapes for HTML stands between backticks, where Markdown shows it as it is.
    body = said.split("\n", 1)[1]
    return _HEAD + re.sub(r"\n{3,}", "\n\n", unescape(body)).strip()
