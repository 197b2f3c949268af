"""`tokenkeep api`, `scheduler`, `worker`, `migrate`: one process each."""

import gc
from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from tokenkeep.adapters.embedded.parent_watch import watch_parent
from tokenkeep.settings import Settings, load_settings, require_database

ParentPipe = Annotated[
    int | None,
    typer.Option("--parent-pipe", hidden=True, help="The descriptor that `up` lets its children watch it by."),
]


def api(parent_pipe: ParentPipe = None) -> None:
    """Serve the HTTP API, the connect pages and the console."""
    _run("tokenkeep_api.main", parent_pipe)


def scheduler(parent_pipe: ParentPipe = None) -> None:
    """Find what is due and say so: run as many as you like."""
    _run("tokenkeep_scheduler.main", parent_pipe)


def worker(parent_pipe: ParentPipe = None) -> None:
    """Refresh accounts: run as many as you like."""
    _run("tokenkeep_worker.main", parent_pipe)


def migrate() -> None:
    """Bring the database to the present schema. Safe to run at any time, by several at once, and beside processes at work."""
    from tokenkeep.adapters.postgres.migrate import migrate as apply_migrations  # noqa: PLC0415  # see the package
    from tokenkeep.adapters.telemetry.logs import configure_logging  # noqa: PLC0415  # as above

    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format, "migrate")
    revision = apply_migrations(require_database(settings))
    typer.echo(f"the database is at revision {revision}")


def _run(module: str, parent_pipe: int | None) -> None:
    """Run a service's `run(settings)`. By name: the library does not import the services that import it."""
    if parent_pipe is not None:
        watch_parent(parent_pipe)
    settings = load_settings()
    # What is imported and wired stays: looking through it again and again takes a fifth of the time of a start. Processes calm the collector themselves.
    gc.disable()
    run: Callable[[Settings], None] = import_module(module).run
    run(settings)
