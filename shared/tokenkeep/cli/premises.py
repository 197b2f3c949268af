"""What a household lets its guest see and do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tokenkeep.adapters.embedded.embedded_server import EmbeddedServer
from tokenkeep.adapters.embedded.supervisor import Supervisor
from tokenkeep.cli.interruption import Interruption
from tokenkeep.settings import Settings

VALKEY = "Valkey"


@dataclass(frozen=True, slots=True)
class Removable:
    """An embedded server that can be gone for a while."""

    name: str
    server: EmbeddedServer
    supervisor: Supervisor

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Killed, and started by nobody until the end of this.

        Raises:
            EmbeddedFailure: It did not start again.
        """
        await self.supervisor.leave_alone(self.name)
        await asyncio.to_thread(self.server.kill)
        try:
            yield
        finally:
            await asyncio.to_thread(self.server.restart)
            self.supervisor.keep_server(self.name, self.server)


@dataclass(frozen=True, slots=True)
class Premises:
    """The household as its guest finds it.

    Attributes:
        settings: Those of the services.
        url: Where the API answers.
        metrics: The address of each service that has one of its own for `/metrics`, by the service's name.
        valkey: The embedded Valkey; None where Redis is somebody else's.
        interruption: What Ctrl-C does.
    """

    settings: Settings
    url: str
    metrics: Mapping[str, str]
    valkey: Removable | None
    interruption: Interruption


Guest = Callable[[Premises], Awaitable[None]]
"""Runs beside the household once all is ready. Its end ends nothing, its failure all."""
