"""The run of an `up`: servers, migrations, processes, until a signal or a failure; then all of it stopped in order."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tokenkeep.adapters.embedded.child import STDOUT, Child, ChildSpec
from tokenkeep.adapters.embedded.claim import claimed
from tokenkeep.adapters.embedded.embedded_server import EmbeddedServer
from tokenkeep.adapters.embedded.failure import EmbeddedFailure
from tokenkeep.adapters.embedded.postgres import start_postgres
from tokenkeep.adapters.embedded.supervisor import Supervisor
from tokenkeep.adapters.embedded.valkey import start_valkey
from tokenkeep.cli.first_start import Belongings, make_belongings, make_data_dir
from tokenkeep.cli.interruption import Interruption
from tokenkeep.cli.listening import free_port, free_ports, local_url, until_ready
from tokenkeep.cli.premises import VALKEY, Guest, Premises, Removable
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import Settings, child_environment

Welcome = Callable[[Settings, str, Path | None], str]
"""Settings, the API's URL on this machine, the admin key's file: the text to show once all is ready."""


@dataclass(frozen=True, slots=True)
class Service:
    """A process to keep running, and which settings it must not see. `{pipe}` in a word is the parent's pipe.

    `has_metrics_port`: it serves its metrics on a port of its own.
    """

    name: str
    command: Sequence[str]
    without: tuple[str, ...] = ()
    has_metrics_port: bool = False


def _ours(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tokenkeep", *words)


_ALL_SECRETS = (
    *("keyring", "keyring_file", "keyring_kms", "admin_key"),
    *("vault_token", "vault_role_id", "vault_secret_id"),
)
MIGRATION = Service("migrate", _ours("migrate"), without=_ALL_SECRETS)
SERVICES = (
    Service("api", _ours("api", "--parent-pipe", "{pipe}")),
    # The scheduler can't decrypt anything: it does not get the keyring.
    Service("scheduler", _ours("scheduler", "--parent-pipe", "{pipe}"), without=_ALL_SECRETS, has_metrics_port=True),
    Service("worker", _ours("worker", "--parent-pipe", "{pipe}"), without=("admin_key",), has_metrics_port=True),
)


def run_household(
    settings: Settings,
    *,
    welcome: Welcome,
    services: Sequence[Service] = SERVICES,
    migration: Service = MIGRATION,
    guest: Guest | None = None,
) -> None:
    """Run until a signal comes; returns once nothing of it is left running.

    Args:
        settings: The settings. What they leave open is made or started.
        welcome: The text to show once all is ready.
        services: What to run besides PostgreSQL and Valkey; one of them answers `/readyz` on the API's port.
        migration: What is run to its end before them.
        guest: Runs beside it all from then on (a demo). Its end ends nothing, its failure all.

    Raises:
        AlreadyRunning: Another one uses the data directory.
        SettingsError: A setting does not fit this machine.
        EmbeddedFailure: Something can't be started or kept running.
    """
    data_dir = make_data_dir(settings)
    with claimed(data_dir / "up.lock", on=str(data_dir)):
        belongings = make_belongings(settings, data_dir)
        for line in belongings.made:
            say(line)
        asyncio.run(_Household(belongings, welcome, services, migration, guest).run())


def say(line: str) -> None:
    """Show the user a line."""
    STDOUT(f"{line}\n".encode(errors="replace"))


class _Household:
    def __init__(
        self,
        belongings: Belongings,
        welcome: Welcome,
        services: Sequence[Service],
        migration: Service,
        guest: Guest | None,
    ) -> None:
        self._settings = belongings.settings
        self._admin_key_file = belongings.admin_key_file
        self._welcome = welcome
        self._services = services
        self._migration = migration
        self._guest = guest
        self._interruption = Interruption()
        self._valkey: EmbeddedServer | None = None

    async def run(self) -> None:
        """From the first server's start to the last one's end."""
        self._interruption.listen()
        async with AsyncExitStack() as stack:
            # What is entered last is stopped first: processes, Valkey, PostgreSQL.
            servers = await self._start_servers(stack)
            reading_end, writing_end = os.pipe()
            # Never written to: that it closes when we end, however we end, is all it says.
            stack.callback(os.close, writing_end)
            stack.callback(os.close, reading_end)
            supervisor = Supervisor(say)
            patience_s = self._settings.ends_within_s
            stack.push_async_callback(supervisor.stop, hurry=self._interruption.hurry, drain_s=patience_s)
            for name, server in servers:
                supervisor.keep_server(name, server)
            life = asyncio.create_task(self._live(supervisor, reading_end))
            failure = asyncio.create_task(supervisor.failed())
            interrupted = asyncio.create_task(self._interruption.stop.wait())
            try:
                await asyncio.wait({life, failure, interrupted}, return_when=asyncio.FIRST_COMPLETED)
                if life.done():
                    life.result()
                if failure.done():
                    raise failure.result()
                say(f"stopping; what is under way has up to {patience_s:g} s to finish (Ctrl-C again: at once)")
            finally:
                await _cancelled(life, failure, interrupted)
        say("stopped")

    async def _start_servers(self, stack: AsyncExitStack) -> list[tuple[str, EmbeddedServer]]:
        """Start those whose URLs are not set, and set them. A signal is heeded once a start is through."""
        servers: list[tuple[str, EmbeddedServer]] = []
        data_dir = self._settings.data_dir
        if self._settings.database_url is None:
            say(f"starting PostgreSQL on {data_dir / 'postgres'}")
            postgres = await asyncio.to_thread(start_postgres, data_dir)
            stack.push_async_callback(asyncio.to_thread, postgres.stop)
            self._settings = self._settings.model_copy(update={"database_url": Secret(postgres.url)})
            servers.append(("PostgreSQL", postgres))
        if self._settings.redis_url is None and not self._interruption.stop.is_set():
            say(f"starting Valkey on {data_dir / 'valkey'}")
            valkey = await asyncio.to_thread(start_valkey, data_dir)
            stack.push_async_callback(asyncio.to_thread, valkey.stop)
            self._settings = self._settings.model_copy(update={"redis_url": Secret(valkey.url)})
            self._valkey = valkey
            servers.append((VALKEY, valkey))
        return servers

    async def _live(self, supervisor: Supervisor, pipe: int) -> None:
        """Migrate, start the processes, welcome the user, and stay."""
        if self._interruption.stop.is_set():
            return
        port = await free_port(self._settings.api_host, self._settings.api_port)
        self._settings = self._settings.model_copy(update={"api_port": port})
        await self._migrate()
        own = [service.name for service in self._services if service.has_metrics_port]
        found = free_ports(self._settings.api_host, self._settings.metrics_port, len(own), but=port)
        ports = dict(zip(own, found, strict=True))
        for service in self._services:
            supervisor.keep_child(Child(self._spec(service, pipe, ports.get(service.name))))
        url = local_url(self._settings.api_host, port)
        await until_ready(url, reminder=say)
        say(self._welcome(self._settings, url, self._admin_key_file))
        if self._guest is not None:
            valkey = None if self._valkey is None else Removable(VALKEY, self._valkey, supervisor)
            places = {name: local_url(self._settings.api_host, port) for name, port in ports.items()}
            await self._guest(Premises(self._settings, url, places, valkey, self._interruption))
        await asyncio.Event().wait()

    async def _migrate(self) -> None:
        child = Child(self._spec(self._migration, None), out=_silent, err=_silent)
        await child.start()
        try:
            status = await child.wait_status()
        finally:
            await child.stop(patience_s=self._settings.ends_within_s, hurry=self._interruption.hurry)
        if status != 0:
            for line in child.last_lines[:-1]:
                say(line)
            reason = child.last_lines[-1] if child.last_lines else f"exit code {status}"
            msg = f"the database can't be migrated: {reason}"
            raise EmbeddedFailure(msg)

    def _spec(self, service: Service, pipe: int | None, metrics_port: int | None = None) -> ChildSpec:
        command = [word.replace("{pipe}", str(pipe)) for word in service.command]
        settings = self._settings
        if "api_drain_delay_s" not in settings.model_fields_set:
            # Nothing else sends requests here that could go elsewhere meanwhile.
            settings = settings.model_copy(update={"api_drain_delay_s": 0.0})
        if metrics_port is not None:
            settings = settings.model_copy(update={"metrics_port": metrics_port})
        environment = child_environment(settings, without=service.without) | {"PYTHONUNBUFFERED": "1"}
        return ChildSpec(service.name, command, environment, () if pipe is None else (pipe,))


def _silent(_lines: bytes) -> None:
    """A sink for output that is shown only if something went wrong."""


async def _cancelled(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
