"""`tokenkeep up`: everything on this machine, in the foreground."""

import shlex
import sys
from pathlib import Path

from tokenkeep.settings import Settings, load_settings


def up() -> None:
    """Run everything on this machine. PostgreSQL and Valkey are embedded, unless their URLs are set."""
    from tokenkeep.cli.household import run_household  # noqa: PLC0415  # see the package

    run_household(load_settings(), welcome=welcome)


def welcome(settings: Settings, url: str, admin_key_file: Path | None) -> str:
    """What `up` says once the API is ready: where it is, the admin key, what to try, how to stop."""
    if admin_key_file is None:
        place, key = "TOKENKEEP_ADMIN_KEY, as you set it", "$TOKENKEEP_ADMIN_KEY"
    else:
        place, key = str(admin_key_file), f"$(cat {shlex.quote(str(admin_key_file))})"
    lines = [
        "",
        f"tokenkeep is up: {url}",
        f"  console    {url}/console",
        f"  docs       {url}/docs",
        f"  admin key  {place}",
        f"  data       {settings.data_dir}",
        f'  try        curl -s -H "Authorization: Bearer {key}" {url}/v1/accounts',
        "  stop       Ctrl-C" if sys.stdout.isatty() else "  stop       Ctrl-C, or SIGTERM",
        "",
    ]
    return "\n".join(lines)
