"""An installation for the length of one measurement: servers, database and keyring in a directory that goes with it."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenkeep.adapters.embedded.child import Child, ChildSpec
from tokenkeep.adapters.embedded.failure import EmbeddedFailure
from tokenkeep.adapters.embedded.postgres import start_postgres
from tokenkeep.adapters.embedded.valkey import start_valkey
from tokenkeep.adapters.ending import end
from tokenkeep.adapters.postgres.migrate import migrate
from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.bootstrap import Foundation, lay_foundation
from tokenkeep.cli.listening import free_port, local_url, until_ready
from tokenkeep.domain.secret import Secret
from tokenkeep.settings import PREFIX, Settings, child_environment

_HOST = "127.0.0.1"
_PATIENCE_S = 10.0
_STARTING_S = 60.0
_MOST_SHARED_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Installation:
    """PostgreSQL as it is in production (it waits for the disk), Valkey, and this process's own way into them."""

    foundation: Foundation
    keyring: Secret

    @asynccontextmanager
    async def process(self, service: str, **changed: Any) -> AsyncIterator[Child]:
        """One more process, ready to work; ended with the block. It is the one that `tokenkeep up` would start.

        `changed` are settings that are other than the installation's, by their names.
        """
        port = await free_port(_HOST, 0)
        async with self._running(service, ("tokenkeep", service), port, {"metrics_port": port, **changed}) as child:
            yield child

    @asynccontextmanager
    async def serving(self, **changed: Any) -> AsyncIterator[str]:
        """One API process, as `tokenkeep up` would start it but for these settings: its address, for the block's length."""
        port = await free_port(_HOST, 0)
        async with self._running("api", ("tokenkeep", "api"), port, {"api_port": port, **changed}):
            yield local_url(_HOST, port)

    @asynccontextmanager
    async def program(self, module: str, *arguments: str) -> AsyncIterator[str]:
        """A server to compare with, a module that takes its port as the first argument: its address, for the block's length."""
        port = await free_port(_HOST, 0)
        async with self._running(module, (module, str(port), *arguments), port, {}):
            yield local_url(_HOST, port)

    @asynccontextmanager
    async def _running(
        self, name: str, command: tuple[str, ...], port: int, changes: dict[str, Any]
    ) -> AsyncIterator[Child]:
        settings = self.foundation.settings.model_copy(update={"api_host": _HOST, **changes})
        # The scheduler can't decrypt anything: it does not get the keyring.
        without = ("keyring",) if name == "scheduler" else ()
        environment = child_environment(settings, without=without)
        lines: list[bytes] = []
        spec = ChildSpec(name, (sys.executable, "-m", *command), environment)
        child = Child(spec, out=lines.append, err=lines.append)
        await child.start()
        try:
            await _ready(child, local_url(_HOST, port))
            yield child
        finally:
            await child.stop(patience_s=_PATIENCE_S, hurry=asyncio.Event())


async def _ready(child: Child, url: str) -> None:
    """Wait until it is; a process that ends instead takes the measurement with it.

    Raises:
        EmbeddedFailure: It has ended, or is not ready within a minute. Its last lines are told.
    """
    ready = asyncio.ensure_future(until_ready(url, reminder=lambda _: None))
    ended = asyncio.ensure_future(child.wait())
    try:
        await asyncio.wait({ready, ended}, timeout=_STARTING_S, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            told = await ended if ended.done() else "is not ready"
            msg = "\n".join([f"{child.name}: {told}", *child.last_lines])
            raise EmbeddedFailure(msg)
        await ready
    finally:
        for one in (ready, ended):
            await end(one)


@asynccontextmanager
async def temporary_installation(
    *, large: bool = False, beside: int = 1, **changed: Any
) -> AsyncIterator[Installation]:
    """Start one, migrated and empty. It sees no `TOKENKEEP_*` variable, so that figures do not hang on them.

    `large`: PostgreSQL gets the memory and the log that one for millions of accounts is given; its share of the memory, where
    so many are large `beside` each other, itself counted. `changed` are settings of all its processes that are other than usual,
    by their names.

    Raises:
        EmbeddedFailure: A server can't be started; the extra `embedded` may be missing.
    """
    _forget_settings()
    directory = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="tk-bench-"))
    try:
        postgres = await asyncio.to_thread(start_postgres, directory, settings=_large(beside) if large else None)
        try:
            valkey = await asyncio.to_thread(start_valkey, directory)
            try:
                await asyncio.to_thread(migrate, Secret(postgres.url))
                async with _entered(postgres.url, valkey.url, directory, changed) as installation:
                    yield installation
            finally:
                await asyncio.to_thread(valkey.stop)
        finally:
            await asyncio.to_thread(postgres.stop)
    finally:
        await asyncio.to_thread(shutil.rmtree, directory)


@asynccontextmanager
async def _entered(
    database_url: str, redis_url: str, directory: Path, changed: dict[str, Any]
) -> AsyncIterator[Installation]:
    keyring = Keyring.generate().to_text()
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "redis_url": redis_url,
            "keyring": keyring.reveal(),
            "data_dir": str(directory),
            "allow_private_hosts": _HOST,
            "log_level": "warning",
            **changed,
        }
    )
    foundation = lay_foundation(settings, process="bench")
    try:
        yield Installation(foundation, keyring)
    finally:
        await foundation.close()


def _large(beside: int) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shared = min(memory // 4 // beside, _MOST_SHARED_BYTES)
    return {"shared_buffers": f"{shared // 1024}kB", "max_wal_size": "8GB"}


def _forget_settings() -> None:
    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            del os.environ[name]
