"""Processes of one installation that come and go while it works, and what each of them has done."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from faults.services import Nursery, Service, eventually

_READY_S = 40
_ENDING_S = 40
_HOST = "127.0.0.1"


@dataclass
class Crew:
    """The workers and schedulers, by names like `worker-1`. A place that was left is not taken again."""

    nursery: Nursery
    directory: Path
    environment: Mapping[str, str]
    processes: dict[str, Service] = field(default_factory=dict)

    async def hire(self, service: str, count: int = 1) -> None:
        """So many more of a service, at work."""
        hired = []
        for _ in range(count):
            name = f"{service}-{len(self.all_of(service)) + 1}"
            log = self.directory / f"{name}.log"
            self.processes[name] = await self.nursery.start(service, environment=dict(self.environment), log=log)
            hired.append(self.processes[name])
        for one in hired:
            await eventually(one.is_ready, one.said, within_s=_READY_S)

    def all_of(self, service: str) -> list[Service]:
        return [one for one in self.processes.values() if one.name == service]

    def living(self, service: str) -> list[Service]:
        """Those at work, the longest first."""
        return [one for one in self.all_of(service) if one.is_alive()]

    async def dismiss(self, service: Service) -> None:
        """SIGTERM; it must end, with what it has in hand."""
        service.process.terminate()
        await eventually(lambda: not service.is_alive(), service.said, within_s=_ENDING_S)

    async def lose(self, service: Service) -> None:
        """SIGKILL."""
        service.kill()
        await eventually(lambda: not service.is_alive(), service.said, within_s=_ENDING_S)

    def hints(self) -> list[int]:
        """How many accounts each scheduler says that it has hinted at."""
        return [
            sum(line["accounts"] for line in _lines(one) if line["event"] == "due_emitted")
            for one in self.all_of("scheduler")
        ]

    async def refreshes(self) -> list[int]:
        """How many accounts each living worker has refreshed, by its own metrics."""
        counts = []
        async with httpx.AsyncClient(timeout=20) as client:
            for one in self.living("worker"):
                [port] = (line["metrics_port"] for line in _lines(one) if line["event"] == "worker_ready")
                told = (await client.get(f"http://{_HOST}:{port}/metrics")).text
                counts.append(
                    sum(
                        int(sample.value)
                        for family in text_string_to_metric_families(told)
                        for sample in family.samples
                        if sample.name == "tokenkeep_refresh_attempts_total" and sample.labels["outcome"] == "ok"
                    )
                )
        return counts

    def said(self) -> str:
        """The last lines of everybody's log."""
        return "\n".join(f"--- {name}\n{one.said()[-1500:]}" for name, one in self.processes.items())

    def close(self) -> None:
        for one in self.processes.values():
            one.kill()
        psutil.wait_procs([one.process for one in self.processes.values()], timeout=_ENDING_S)


def _lines(service: Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.said().splitlines() if line.startswith("{") and line.endswith("}")]
