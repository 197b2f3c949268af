"""Hints wait while answers wait for their commit, and nobody waits for ever."""

import asyncio

import pytest

from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.application.backpressure import Backpressure
from tokenkeep.bootstrap import ProcessClocks
from tokenkeep.domain.settling_window import FIRST_LIMIT, LATE_S


class Driven(ProcessClocks):
    """Clocks that stand still but for those who sleep."""

    def __init__(self) -> None:
        super().__init__(boottime)
        self.now = 100.0
        self.slept = 0.0

    def loop_time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds
        await asyncio.sleep(0)


async def test_a_batch_waits_until_there_is_room_again() -> None:
    clocks = Driven()
    backpressure = Backpressure(10_000, clocks)
    full = await backpressure.take(FIRST_LIMIT)
    assert clocks.slept == 0

    waiting = asyncio.create_task(backpressure.take(10))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    full.let_go()
    held = await waiting
    assert backpressure.in_hand == FIRST_LIMIT - 1 + 10
    full.close()
    held.close()
    assert backpressure.in_hand == 0


async def test_those_that_somebody_waits_for_do_not_wait() -> None:
    clocks = Driven()
    backpressure = Backpressure(10_000, clocks)
    backpressure.hold(FIRST_LIMIT)
    backpressure.hold(1)
    assert clocks.slept == 0
    assert backpressure.in_hand == FIRST_LIMIT + 1


async def test_no_hint_waits_for_ever() -> None:
    clocks = Driven()
    backpressure = Backpressure(10_000, clocks)
    backpressure.hold(FIRST_LIMIT)
    await backpressure.take(10)
    assert 9.0 < clocks.slept < 11.0


async def test_who_waits_for_an_endpoint_is_not_in_hand() -> None:
    clocks = Driven()
    backpressure = Backpressure(10_000, clocks)
    held = backpressure.hold(FIRST_LIMIT)
    with backpressure.elsewhere():
        await backpressure.take(1)
    assert clocks.slept == 0
    assert backpressure.in_hand == FIRST_LIMIT + 1
    with pytest.raises(ConnectionError), backpressure.elsewhere():
        raise ConnectionError
    assert backpressure.in_hand == FIRST_LIMIT + 1
    held.close()
    assert backpressure.in_hand == 1


def test_what_is_let_go_of_twice_is_let_go_of_once() -> None:
    backpressure = Backpressure(10_000, Driven())
    other = backpressure.hold(5)
    held = backpressure.hold(3)
    held.let_go(2)
    held.let_go(2)
    held.close()
    held.close()
    assert backpressure.in_hand == 5
    other.close()


async def test_answers_that_are_late_let_fewer_in() -> None:
    clocks = Driven()
    backpressure = Backpressure(10_000, clocks)
    backpressure.note_settled(LATE_S + 0.1)
    backpressure.hold(FIRST_LIMIT - 1)
    await backpressure.take(1)
    assert clocks.slept > 0
