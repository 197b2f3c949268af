"""One storm from its first process to its verdict."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any, Self

from storm.callers import Callers
from storm.disturbances import Climate, Disturbances
from storm.evidence import Evidence
from storm.grants import Kind, Memory
from storm.house import DEADLINE_S, House
from storm.judge import MUST_BE_ZERO, Findings, Judge
from storm.keeper import Keeper
from storm.listener import Listener
from storm.rest import Rest
from storm.serving import Providers
from storm.wire import Recorder, WireWeather

_LIFETIMES_S = (8, 15)
_SAY_EVERY_S = 10.0
_SCHEDULERS = 2
_CALLERS = 4
_HEARD_WITHIN_S = 60.0
_MOST_EVIDENCE = 40

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how large, how rough. `rest_s` bounds the wait for quiet at the end."""

    seconds: float
    workers: int = 3
    accounts: int = 300
    seed: int = 0
    rest_s: float = 300.0
    climate: Climate = field(default_factory=Climate)


@dataclass(frozen=True, slots=True)
class Report:
    """What a storm came to. `directory` is kept if anything was wrong; it holds logs and evidence."""

    figures: dict[str, int]
    faults: dict[str, int]
    wrong: list[tuple[str, str, str]]
    directory: Path | None

    @property
    def passed(self) -> bool:
        """Whether all that must be 0 is."""
        return not self.wrong


class Campaign:
    """Raises a storm, waits for the calm after it, and judges."""

    def __init__(self, plan: Plan, say: Say) -> None:
        self._plan = plan
        self._say = say
        dice = Random(plan.seed)  # noqa: S311 - a storm, not a secret
        self._memory = Memory(_LIFETIMES_S)
        self._recorder = Recorder()
        self._weather = WireWeather(Random(dice.random()))  # noqa: S311 - as above
        self._directory = Path(tempfile.mkdtemp(prefix="storm-"))
        self._house = House(self._directory, self._memory)
        self._keeper = Keeper(self._house)
        self._callers = Callers(self._house, self._memory, Random(dice.random()), count=_CALLERS)  # noqa: S311 - as above
        self._storm = Disturbances(self._house, self._memory, Random(dice.random()), plan.climate)  # noqa: S311 - as above
        self._began, self._began_at = time.monotonic(), datetime.now(UTC)

    async def __call__(self) -> Report:
        """Raise it. Everything is stopped and, if nothing was wrong, removed at the end."""
        kept = True
        try:
            async with AsyncExitStack() as stack:
                stack.push_async_callback(self._house.close)
                report = await self._run(stack)
            kept = not report.passed
            return report
        finally:
            if kept:
                self._say(f"logs and evidence are kept in {self._directory}")
            else:
                shutil.rmtree(self._directory)

    async def _run(self, stack: AsyncExitStack) -> Report:
        await self._house.open(workers=self._plan.workers, schedulers=_SCHEDULERS)
        self._listener = Listener(self._house.valkey.url)
        listening = asyncio.create_task(self._listener.run())
        stack.push_async_callback(_cancelled, listening)
        providers = await stack.enter_async_context(
            Providers(
                self._memory,
                self._recorder,
                self._weather,
                deadline_s=DEADLINE_S,
                opened=self._house.fleet.opened,
            )
        )
        looking = asyncio.create_task(self._house.fleet.keep_looking())
        stack.push_async_callback(_cancelled, looking)
        await self._house.create_sources(providers.urls)
        await self._house.create_accounts(list(islice(cycle(Kind), self._plan.accounts)))
        self._say(f"{self._plan.accounts} accounts; the storm begins (seed {self._plan.seed})")
        await self._rage()
        self._say("the storm is over; waiting for quiet")
        return await self._judged()

    async def _rage(self) -> None:
        self._weather.rate = self._plan.climate.wire_rate
        ends = time.monotonic() + self._plan.seconds
        async with _Together(self._storm.run(), self._callers.run(), self._keeper.run()) as together:
            while (left := ends - time.monotonic()) > 0:
                await asyncio.wait(together.tasks, timeout=min(left, _SAY_EVERY_S), return_when="FIRST_COMPLETED")
                together.check()
                self._say(self._line(left))
            self._weather.rate = 0.0
        await self._storm.calm()

    async def _judged(self) -> Report:
        rest = Rest(self._house, self._recorder, self._callers, self._keeper, self._listener)
        restless = await rest(within_s=self._plan.rest_s)
        # Nothing may change while it is judged, and what the workers told at last must still be heard.
        ended = await self._house.stop_processes("worker", "api")
        await rest.hear_the_rest(within_s=_HEARD_WITHIN_S)
        ended += await self._house.stop_processes("scheduler")
        findings = await Judge(self._house, self._recorder, self._listener, self._callers)(restless)
        await self._keep_evidence(findings)
        for words in ended:
            self._say(f"did not end well: {words}")
        faults = {**self._recorder.faults, **self._storm.counts}
        figures = self._figures(findings, sum(faults.values()))
        return Report(figures, faults, findings.wrong, self._directory if findings.wrong else None)

    def _figures(self, findings: Findings, faults: int) -> dict[str, int]:
        presentations = self._recorder.presentations
        besides = {
            **findings.apart,
            **{f"source paused, {reason}": count for reason, count in self._keeper.pauses.items()},
            **{f"API answers {status or 'lost'}": count for status, count in sorted(self._callers.statuses.items())},
            "grants ended by their users": self._storm.revocations,
            "presentations from unknown processes": sum(one.sender is None for one in presentations),
            "processes that died by themselves": self._keeper.died_by_themselves + self._storm.died_by_themselves,
            "events heard": sum(len(one.ids) for one in self._listener.subjects.values()),
            "events heard again": self._listener.replayed,
        }
        return {
            "faults injected": faults,
            "refreshes": sum(one.result is not None and not one.result.is_refusal for one in presentations),
            **{name: findings.count(name) for name in MUST_BE_ZERO},
            **besides,
        }

    async def _keep_evidence(self, findings: Findings) -> None:
        if not findings.wrong:
            return
        evidence = Evidence(self._house, self._recorder, began=self._began, began_at=self._began_at)
        with (self._directory / "evidence.txt").open("w") as file:
            for kind, account_id, words in findings.wrong[:_MOST_EVIDENCE]:
                file.write(f"{kind}: {words}\n{await evidence.of(account_id)}\n")

    def _line(self, left: float) -> str:
        faults = sum(self._recorder.faults.values()) + self._storm.counts.total()
        refreshes = len(self._recorder.presentations)
        heard = sum(len(one.ids) for one in self._listener.subjects.values())
        ended = sum(grant.death is not None for grant in self._memory.grants.values())
        return f"{left:5.0f} s left  {faults} faults  {refreshes} presentations  {heard} events  {ended} grants ended"


class _Together:
    """Runs coroutines side by side for the length of a block; the failure of one is raised by `check`."""

    def __init__(self, *work: Coroutine[Any, Any, None]) -> None:
        self._work = work
        self.tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.tasks = [asyncio.create_task(one) for one in self._work]
        return self

    async def __aexit__(self, *_: object) -> None:
        await _cancelled(*self.tasks)

    def check(self) -> None:
        for task in self.tasks:
            if task.done():
                task.result()


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
