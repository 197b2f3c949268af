"""`tokenkeep demo`: a whole tokenkeep, a provider of its own, and something to watch."""

import os
import shlex
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokenkeep.cli.demonstration.failure import DemoFailure
from tokenkeep.cli.demonstration.incidents import SCRIPTS, Incident
from tokenkeep.cli.demonstration.plan import Plan
from tokenkeep.settings import Settings, load_settings

if TYPE_CHECKING:
    from tokenkeep.cli.premises import Guest, Premises

_ON_LOOPBACK = ("127.0.0.1/32", "localhost")


def demo(
    *,
    accounts: Annotated[
        int | None,
        typer.Option(min=1, max=50, show_default="6; for mass-revocation 12", help="How many accounts to connect."),
    ] = None,
    token_lifetime: Annotated[
        int, typer.Option(min=4, max=86_400, metavar="SECONDS", help="How long an access token lives.")
    ] = 30,
    revoke_every: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How often the provider revokes a grant.")
    ] = 45,
    incident: Annotated[
        Incident | None,
        typer.Option(
            metavar="INCIDENT",
            help="Rehearse one instead: outage, secret-rotated, mass-revocation, redis-down. It happens, is seen, is mended, and is "
            "judged; exit code 1 if a promise was broken.",
        ),
    ] = None,
    for_: Annotated[
        float | None,
        typer.Option(
            "--for",
            min=1,
            metavar="SECONDS",
            help="End by itself after this time. With --incident: end the incident so long after it shows.",
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines instead of a live table; also where there is no terminal.")
    ] = False,
) -> None:
    """Watch accounts being kept fresh against a local OAuth server that rotates, detects reuse, and revokes."""
    if find_spec("authlib") is None:
        msg = "the demo needs a library for its OAuth server: pip install 'tokenkeep[server,embedded,demo]'"
        raise DemoFailure(msg)
    plan = Plan(
        accounts or (6 if incident is None else SCRIPTS[incident].accounts),
        token_lifetime,
        revoke_every,
        for_,
        plain or not sys.stdout.isatty(),
    )
    if incident is None:
        _run(_show(plan))
    else:
        _rehearse(incident, plan)


def _rehearse(incident: Incident, plan: Plan) -> None:
    fewest = SCRIPTS[incident].fewest_accounts
    if plan.accounts < fewest:
        msg = f"--accounts: {incident} does not show with fewer than {fewest}"
        raise DemoFailure(msg)
    judged: list[Incident] = []
    _run(_rehearsal(incident, plan, judged.append))
    if not judged:
        msg = "stopped before there was a verdict"
        raise DemoFailure(msg)


def _run(guest: "Guest") -> None:
    from tokenkeep.cli.household import run_household  # noqa: PLC0415  # see the package

    run_household(demo_settings(load_settings()), welcome=welcome, guest=guest)


def demo_settings(settings: Settings) -> Settings:
    """The settings of the demo's own household: it shares neither data nor port with an `up` on this machine."""
    changes: dict[str, object] = {
        "data_dir": settings.data_dir / "demo",
        "database_url": None,
        "redis_url": None,
        "keyring": None,
        "keyring_file": None,
        "keyring_kms": (),
        "admin_key": None,
        "public_url": None,
        "allow_private_hosts": _ON_LOOPBACK,
    }
    if "api_port" not in settings.model_fields_set:
        changes["api_port"] = 0
    if "log_level" not in settings.model_fields_set:
        # A refused refresh is a warning in the log, and here it is the show.
        changes["log_level"] = "error"
    return settings.model_copy(update=changes)


def welcome(settings: Settings, url: str, admin_key_file: Path | None) -> str:
    """What is shown before the show: where the API is, the admin key, what to try, how to stop."""
    key = f"$(cat {shlex.quote(str(admin_key_file))})"
    lines = [
        "",
        f"the demo's tokenkeep is up: {url}",
        f"  console    {url}/console (environment: demo)",
        f"  admin key  {admin_key_file}",
        f"  data       {settings.data_dir}",
        f'  try        curl -s -H "Authorization: Bearer {key}" -H "X-Tokenkeep-Environment: demo" {url}/v1/accounts',
        "  stop       Ctrl-C",
        "",
    ]
    return "\n".join(lines)


def _show(plan: Plan) -> "Guest":
    async def run(premises: "Premises") -> None:
        from tokenkeep.cli.demonstration.stage import perform  # noqa: PLC0415  # as above

        await perform(plan, premises.settings, premises.url)
        _leave()

    return run


def _rehearsal(incident: Incident, plan: Plan, judged: Callable[[Incident], None]) -> "Guest":
    async def run(premises: "Premises") -> None:
        from tokenkeep.cli.demonstration.rehearsing import rehearse  # noqa: PLC0415  # as above

        await rehearse(incident, plan, premises)
        judged(incident)
        _leave()

    return run


def _leave() -> None:
    """A guest's end ends nothing, so the end is asked for as a user would."""
    os.kill(os.getpid(), signal.SIGTERM)
