"""Processes of one installation that are killed at random and started again."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faults.services import Nursery, Service, eventually

_READY_S = 60


@dataclass
class Victims:
    """The processes, by names like `scheduler-1`; the word before the dash is the service."""

    nursery: Nursery
    directory: Path
    environment: Mapping[str, str]
    pauses: Mapping[str, tuple[float, float]]
    """How long, in seconds, one of a service works at least and at most before it is killed."""
    random: random.Random
    processes: dict[str, Service] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)
    """How often, by service."""

    async def start(self, name: str) -> None:
        service = name.partition("-")[0]
        self.processes[name] = await self.nursery.start(
            service, environment=dict(self.environment), log=self.directory / f"{name}.log"
        )

    async def all_ready(self) -> None:
        for service in self.processes.values():
            await eventually(service.is_ready, service.said, within_s=_READY_S)

    async def harass(self) -> None:
        """Until cancelled: kill one, chosen at random, a moment later; start it again; and wait until it works.

        Each is met while it works, for one that is killed at its start disturbs nobody. The others go on meanwhile.
        """
        await self.all_ready()
        async with asyncio.TaskGroup() as group:
            for name in list(self.processes):
                group.create_task(self._harass(name))

    async def _harass(self, name: str) -> None:
        service = name.partition("-")[0]
        while True:
            await asyncio.sleep(self.random.uniform(*self.pauses[service]))
            self.processes[name].kill()
            self.killed[service] += 1
            await eventually(lambda: not self.processes[name].is_alive(), lambda: f"{name} lives", within_s=10)
            await self.start(name)
            ready = self.processes[name]
            await eventually(ready.is_ready, ready.said, within_s=_READY_S)

    def end(self) -> None:
        for service in self.processes.values():
            service.kill()
