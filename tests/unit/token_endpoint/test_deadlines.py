"""Deadlines that share timers: nobody is told early or late, nobody is forgotten, nothing is left behind."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenkeep.adapters.token_endpoint.deadlines import MOMENT_S, Deadlines

LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
COARSE_S = 1e-3
"""The clock of a loop: asyncio's is finer, uvloop's counts milliseconds."""


class Waiter:
    """Notes when it is told."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.told = asyncio.Event()

    def time_is_over(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.told.set()


@pytest.mark.parametrize("loop_name", LOOPS)
@settings(max_examples=20, deadline=None)
@given(offsets=st.lists(st.floats(min_value=-1.0, max_value=0.2), min_size=1, max_size=30))
def test_each_is_told_once_and_not_early(loop_name: str, offsets: list[float]) -> None:
    async def scenario() -> None:
        deadlines = Deadlines()
        began = asyncio.get_running_loop().time()
        waiters = [(Waiter(), began + offset) for offset in offsets]
        for waiter, deadline in waiters:
            deadlines.add(waiter, deadline)
        for waiter, _ in waiters:
            await asyncio.wait_for(waiter.told.wait(), 30)
        assert len(deadlines) == 0
        for waiter, deadline in waiters:
            assert len(waiter.times) == 1
            assert waiter.times[0] >= deadline - COARSE_S

    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        runner.run(scenario())


class Timers:
    """The timers that are made of a loop, which run as they would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[float, asyncio.TimerHandle]] = []
        self._call_at = asyncio.get_running_loop().call_at
        monkeypatch.setattr(asyncio.get_running_loop(), "call_at", self.make)

    def make(self, when: float, *arguments: Any, **named: Any) -> asyncio.TimerHandle:
        handle = self._call_at(when, *arguments, **named)
        self.made.append((when, handle))
        return handle


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.3, 0.999])
async def test_a_timer_runs_within_the_moment_after_the_deadline(
    monkeypatch: pytest.MonkeyPatch, fraction: float
) -> None:
    timers, deadlines, waiter = Timers(monkeypatch), Deadlines(), Waiter()
    deadline = (asyncio.get_running_loop().time() // MOMENT_S + 20 + fraction) * MOMENT_S
    deadlines.remove(waiter, deadlines.add(waiter, deadline))
    ((when, handle),) = timers.made
    assert deadline - 1e-6 <= when <= deadline + MOMENT_S + 1e-6
    assert handle.cancelled()


async def test_those_of_one_moment_share_its_timer_and_go_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers, deadlines = asyncio.get_running_loop(), Timers(monkeypatch), Deadlines()
    ends = (loop.time() // MOMENT_S + 4) * MOMENT_S
    staying, going = Waiter(), Waiter()
    kept = deadlines.add(staying, ends - MOMENT_S / 4)
    gone = deadlines.add(going, ends - MOMENT_S / 2)
    assert kept == gone
    assert len(timers.made) == 1
    deadlines.remove(going, gone)
    assert len(deadlines) == 1
    await asyncio.wait_for(staying.told.wait(), 30)
    assert going.times == []
    assert len(deadlines) == 0


async def test_who_has_gone_is_held_no_longer() -> None:
    deadlines, waiter = Deadlines(), Waiter()
    seen = weakref.ref(waiter)
    deadlines.remove(waiter, deadlines.add(waiter, asyncio.get_running_loop().time() + 3600))
    assert len(deadlines) == 0
    del waiter
    gc.collect()
    assert seen() is None


async def test_one_that_was_told_may_go_and_wait_anew() -> None:
    loop, deadlines, waiter = asyncio.get_running_loop(), Deadlines(), Waiter()
    first = deadlines.add(waiter, loop.time())
    await asyncio.wait_for(waiter.told.wait(), 30)
    waiter.told.clear()
    deadlines.remove(waiter, first)
    deadlines.add(waiter, loop.time())
    await asyncio.wait_for(waiter.told.wait(), 30)
    assert len(waiter.times) == 2
    assert len(deadlines) == 0


@pytest.mark.parametrize("deadline", [0.0, -5.0])
async def test_what_is_long_over_is_told_at_once(deadline: float) -> None:
    deadlines, waiter = Deadlines(), Waiter()
    deadlines.add(waiter, deadline)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(waiter.times) == 1
