"""What the machine's processors do while something is measured."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

_SERVERS = {"postgres": "PostgreSQL", "valkey-server": "Valkey"}
_PLAYED = "token endpoints"


@dataclass(frozen=True, slots=True)
class CpuUse:
    """Shares of one core: of each kind of process, and what of the whole machine was left."""

    used: dict[str, float]
    left: float
    cores: int


class CpuWatch:
    """Looks at this process's descendants, from when it is made on."""

    def __init__(self, named: Iterable[tuple[str, int | None]]) -> None:
        """`named` are the names of our processes; other programs of Python play what is outside."""
        self._names = {pid: name for name, pid in named if pid is not None}
        self._began, self._before, self._machine = time.monotonic(), self._spent(), psutil.cpu_times()

    def use(self) -> CpuUse:
        """What was used since then. Processes that have ended meanwhile count where their parents have waited for them."""
        seconds, after, machine = time.monotonic() - self._began, self._spent(), psutil.cpu_times()
        used = {name: (spent - self._before.get(name, 0.0)) / seconds for name, spent in sorted(after.items())}
        return CpuUse(used, (machine.idle - self._machine.idle) / seconds, psutil.cpu_count() or 1)

    def _spent(self) -> dict[str, float]:
        spent: dict[str, float] = {}
        me = psutil.Process()
        for process in (me, *me.children(recursive=True)):
            try:
                times, name = process.cpu_times(), self._name(process, me)
            except psutil.NoSuchProcess:  # it has ended between two looks
                continue
            total = times.user + times.system
            if name in _SERVERS.values():
                total += times.children_user + times.children_system
            spent[name] = spent.get(name, 0.0) + total
        return spent

    def _name(self, process: psutil.Process, me: psutil.Process) -> str:
        if process.pid == me.pid:
            return "measurement"
        return self._names.get(process.pid) or _SERVERS.get(process.name(), _PLAYED)
