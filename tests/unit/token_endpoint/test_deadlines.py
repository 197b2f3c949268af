"""Deadlines that share timers: nobody is told early, nobody is forgotten, nothing is left behind."""

import asyncio
import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenkeep.adapters.token_endpoint.deadlines import MOMENT_S, Deadlines

COARSE_S = 1e-3
"""The clock of a loop: asyncio's is finer, uvloop's counts milliseconds."""


class Waiter:
    """Notes when it is told."""

    def __init__(self, told: asyncio.Event | None = None) -> None:
        self.times: list[float] = []
        self.told = told or asyncio.Event()

    def time_is_over(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.told.set()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(min_value=-1.0, max_value=0.2), min_size=1, max_size=30))
def test_each_is_told_once_and_not_early(offsets: list[float]) -> None:
    async def scenario() -> None:
        loop, deadlines = asyncio.get_running_loop(), Deadlines()
        began = loop.time()
        waiters = [(Waiter(), began + offset) for offset in offsets]
        for waiter, deadline in waiters:
            deadlines.add(waiter, deadline)
        for waiter, _ in waiters:
            await asyncio.wait_for(waiter.told.wait(), 30)
        assert len(deadlines) == 0
        for waiter, deadline in waiters:
            assert len(waiter.times) == 1
            assert waiter.times[0] >= deadline - COARSE_S

    asyncio.run(scenario())


async def test_those_of_one_moment_share_it_and_go_by_themselves() -> None:
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    moment_s = (loop.time() // MOMENT_S + 3) * MOMENT_S
    staying, going = Waiter(), Waiter()
    deadlines.add(staying, moment_s)
    gone = deadlines.add(going, moment_s - MOMENT_S / 2)
    deadlines.remove(going, gone)
    assert len(deadlines) == 1
    await asyncio.wait_for(staying.told.wait(), 30)
    assert going.times == []
    assert len(deadlines) == 0


async def test_who_has_gone_is_held_no_longer() -> None:
    deadlines = Deadlines()
    waiter = Waiter()
    seen = weakref.ref(waiter)
    deadlines.remove(waiter, deadlines.add(waiter, asyncio.get_running_loop().time() + 3600))
    assert len(deadlines) == 0
    del waiter
    gc.collect()
    assert seen() is None


async def test_one_that_was_told_may_go_and_wait_anew() -> None:
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    waiter = Waiter()
    first = deadlines.add(waiter, loop.time())
    await asyncio.wait_for(waiter.told.wait(), 30)
    waiter.told.clear()
    second = deadlines.add(waiter, loop.time())
    deadlines.remove(waiter, first)
    if second == first:  # the same moment still: it went with it
        second = deadlines.add(waiter, loop.time())
    await asyncio.wait_for(waiter.told.wait(), 30)
    assert len(waiter.times) == 2
    assert len(deadlines) == 0


@pytest.mark.parametrize("deadline", [0.0, -5.0])
async def test_what_is_long_over_is_told_at_once(deadline: float) -> None:
    deadlines, waiter = Deadlines(), Waiter()
    deadlines.add(waiter, deadline)
    await asyncio.wait_for(waiter.told.wait(), 30)
    assert len(waiter.times) == 1
