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


@pytest.fixture
def clocks() -> Driven:
    return Driven()


@pytest.fixture
def backpressure(clocks: Driven) -> Backpressure:
    return Backpressure(10_000, clocks)


async def test_a_batch_waits_until_there_is_room_again(clocks: Driven, backpressure: Backpressure) -> None:
    full = await backpressure.take(FIRST_LIMIT, demanded=False)
    assert clocks.slept == 0

    waiting = asyncio.create_task(backpressure.take(10, demanded=False))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    full.let_go()
    permits = await waiting
    assert backpressure.in_hand == FIRST_LIMIT - 1 + 10
    full.close()
    permits.close()
    assert backpressure.in_hand == 0


async def test_those_that_somebody_waits_for_do_not_wait(clocks: Driven, backpressure: Backpressure) -> None:
    backpressure.hold(FIRST_LIMIT, demanded=False)
    await backpressure.take(50, demanded=True)
    assert clocks.slept == 0
    await backpressure.take(50, demanded=False)
    assert clocks.slept > 0


async def test_demands_that_wait_for_their_places_shut_nobody_out(clocks: Driven, backpressure: Backpressure) -> None:
    demands = await backpressure.take(10 * FIRST_LIMIT, demanded=True)
    assert backpressure.in_hand == 0
    demands.keep(3)  # so many were admitted
    assert backpressure.in_hand == 3
    await backpressure.take(1, demanded=False)
    assert clocks.slept == 0


async def test_no_hint_waits_for_ever(clocks: Driven, backpressure: Backpressure) -> None:
    backpressure.hold(FIRST_LIMIT, demanded=False)
    await backpressure.take(10, demanded=False)
    assert 9.0 < clocks.slept < 11.0


async def test_nobody_keeps_a_process_from_its_end(clocks: Driven, backpressure: Backpressure) -> None:
    backpressure.hold(FIRST_LIMIT, demanded=False)
    waiting = asyncio.create_task(backpressure.take(10, demanded=False))
    await asyncio.sleep(0)
    backpressure.hurry()
    await waiting
    assert clocks.slept < 1.0


async def test_who_waits_elsewhere_is_not_in_hand(clocks: Driven, backpressure: Backpressure) -> None:
    permits = backpressure.hold(FIRST_LIMIT, demanded=False)
    with backpressure.elsewhere():
        await backpressure.take(1, demanded=False)
        assert clocks.slept == 0
        with backpressure.here():
            assert backpressure.in_hand == FIRST_LIMIT + 1
    with pytest.raises(ConnectionError), backpressure.elsewhere(5):
        raise ConnectionError
    assert backpressure.in_hand == FIRST_LIMIT + 1
    permits.close()
    assert backpressure.in_hand == 1


def test_what_is_let_go_of_twice_is_let_go_of_once(backpressure: Backpressure) -> None:
    backpressure.hold(5, demanded=False)
    permits = backpressure.hold(2, demanded=False)
    for _ in range(3):
        permits.let_go()
    permits.close()
    assert backpressure.in_hand == 5


async def test_answers_that_are_late_let_fewer_in(clocks: Driven, backpressure: Backpressure) -> None:
    for _ in range(20):
        backpressure.note_settled(LATE_S + 0.1)
    backpressure.hold(FIRST_LIMIT - 1, demanded=False)
    await backpressure.take(1, demanded=False)
    assert clocks.slept > 0
