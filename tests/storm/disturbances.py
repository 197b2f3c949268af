"""What befalls the processes and the stores, at random times."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from redis.exceptions import RedisError

from storm.grants import Memory
from storm.house import LONGEST_PAUSE_S, House
from storm.processes import Life, Runner
from tokenkeep.adapters.redis.connection import connect
from tokenkeep.domain.secret import Secret

_LONGEST_SCHEDULER_PAUSE_S = 9.0
"""Longer than a relay's hold on its shards and than a sweeper's watch bears; nothing that presents tokens sleeps so long."""
_BREATH_S = 3.0
"""How long a process runs between two pauses, so that they do not add up to one that is longer than is fair."""

_SPARED_AT_START = 0.9


@dataclass(frozen=True, slots=True)
class Climate:
    """How often what happens: mean seconds between two, and the share of presentations that go wrong."""

    wire_rate: float = 0.06
    kill_worker_s: float = 2.2
    pause_worker_s: float = 3.0
    kill_scheduler_s: float = 14.0
    pause_scheduler_s: float = 17.0
    flush_valkey_s: float = 55.0
    restart_valkey_s: float = 110.0
    crash_valkey_s: float = 90.0
    crash_postgres_s: float = 50.0
    revoke_s: float = 6.0


class Disturbances:
    """Kills, stops, flushes and restarts until cancelled; `counts` says how often which."""

    def __init__(self, house: House, memory: Memory, dice: Random, climate: Climate) -> None:
        self.counts: Counter[str] = Counter()
        self.revocations = 0
        self.died_by_themselves = 0
        self._house = house
        self._memory = memory
        self._dice = dice
        self._climate = climate
        self._asleep: set[asyncio.Task[None]] = set()
        self._restarts: set[asyncio.Future[None]] = set()
        self._on_stores = asyncio.Lock()

    async def run(self) -> None:
        """Disturb until cancelled."""
        climate = self._climate
        plan: list[tuple[float, str, Callable[[], Awaitable[bool]]]] = [
            (climate.kill_worker_s, "worker killed", lambda: self._kill("worker")),
            (climate.pause_worker_s, "worker stopped for a while", lambda: self._pause("worker", LONGEST_PAUSE_S)),
            (climate.kill_scheduler_s, "scheduler killed", lambda: self._kill("scheduler")),
            (
                climate.pause_scheduler_s,
                "scheduler stopped for a while",
                lambda: self._pause("scheduler", _LONGEST_SCHEDULER_PAUSE_S),
            ),
            (climate.flush_valkey_s, "Valkey flushed", self._flush),
            (climate.restart_valkey_s, "Valkey restarted", lambda: self._store(self._house.restart_valkey)),
            (climate.crash_valkey_s, "Valkey killed", lambda: self._store(self._house.crash_valkey)),
            (climate.crash_postgres_s, "PostgreSQL crashed", lambda: self._store(self._house.crash_postgres)),
        ]
        async with asyncio.TaskGroup() as group:
            for mean_s, name, disturb in plan:
                group.create_task(self._now_and_then(mean_s, name, disturb))
            group.create_task(self._revoke())

    async def calm(self) -> None:
        """Wake whoever sleeps. Call it after `run` was cancelled."""
        for task in list(self._asleep):
            task.cancel()
        await asyncio.gather(*self._asleep, return_exceptions=True)
        await asyncio.gather(*self._restarts)
        for runner in self._house.fleet.runners:
            runner.resume(runner.life)
            self.died_by_themselves += runner.raise_the_dead()

    async def _now_and_then(self, mean_s: float, name: str, disturb: Callable[[], Awaitable[bool]]) -> None:
        while True:  # bounded by the storm, which cancels it
            await asyncio.sleep(min(self._dice.expovariate(1 / mean_s), 3 * mean_s))
            if await disturb():
                self.counts[name] += 1

    async def _kill(self, service: str) -> bool:
        runner = self._dice.choice(self._house.fleet.of(service))
        # On a busy machine a start takes its time. Most are let through, or in the end nobody would be left who works.
        if not runner.running or (not runner.ready and self._dice.random() < _SPARED_AT_START):
            return False
        self._house.fleet.kill(runner)
        return True

    async def _pause(self, service: str, longest_s: float) -> bool:
        runner = self._dice.choice(self._house.fleet.of(service))
        life, now = runner.life, asyncio.get_running_loop().time()
        rested = not life.pauses or (not life.paused and now - (life.pauses[-1][1] or now) >= _BREATH_S)
        if not runner.running or not rested:
            return False
        runner.pause()
        # Half of them are short: between two steps of one refresh.
        seconds = self._dice.uniform(0.05, longest_s if self._dice.random() < 0.5 else longest_s / 4)
        task = asyncio.create_task(_wake(runner, life, seconds))
        self._asleep.add(task)
        task.add_done_callback(self._asleep.discard)
        return True

    async def _flush(self) -> bool:
        async with self._on_stores:
            client = connect(Secret(self._house.valkey.url))
            try:
                await client.flushall()
            except (RedisError, OSError):
                return False
            finally:
                await client.aclose()
        return True

    async def _store(self, restart: Callable[[], Awaitable[None]]) -> bool:
        async with self._on_stores:
            # To its end even if the storm ends meanwhile: what comes after needs the store.
            task = asyncio.ensure_future(restart())
            self._restarts.add(task)
            await asyncio.shield(task)
            self._restarts.discard(task)
        return True

    async def _revoke(self) -> None:
        """No fault: users take the client off their lists all the time, and then an account must be disabled."""
        while True:  # bounded by the storm, which cancels it
            await asyncio.sleep(self._dice.expovariate(1 / self._climate.revoke_s))
            alive = [grant for grant in self._house.accounts.values() if grant.death is None]
            if alive:
                self._memory.end(self._dice.choice(alive))
                self.revocations += 1


async def _wake(runner: Runner, life: Life, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        runner.resume(life)
