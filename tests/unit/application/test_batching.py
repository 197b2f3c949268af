"""Batches that form while the one before is under way."""

import asyncio
from collections.abc import Sequence

import pytest

from tokenkeep.application.batching import Batcher


class Recorder:
    """Runs batches, each only when it is let go; refuses 13."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Semaphore(0)
        self._begun = asyncio.Condition()

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        async with self._begun:
            self._begun.notify_all()
        await self.gate.acquire()
        if 13 in items:
            raise ValueError("13")
        return [item * 10 for item in items]

    async def began(self, batches: int) -> None:
        async with self._begun:
            await self._begun.wait_for(lambda: len(self.batches) >= batches)

    def release(self, batches: int) -> None:
        for _ in range(batches):
            self.gate.release()


async def test_what_comes_meanwhile_goes_together() -> None:
    run = Recorder()
    batcher = Batcher(run)
    first = asyncio.create_task(batcher(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert run.batches == [[0]]
    calls = [asyncio.create_task(batcher(n)) for n in range(1, 5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    run.release(2)
    assert await asyncio.gather(first, *calls) == [0, 10, 20, 30, 40]
    assert run.batches == [[0], [1, 2, 3, 4]]


async def test_what_comes_in_one_turn_of_the_loop_goes_together() -> None:
    run = Recorder()
    batcher = Batcher(run, concurrency=3)
    run.release(1)
    assert await asyncio.gather(*(batcher(n) for n in range(5))) == [0, 10, 20, 30, 40]
    assert run.batches == [[0, 1, 2, 3, 4]]


async def test_more_than_a_batch_holds_goes_in_several_at_once() -> None:
    run = Recorder()
    batcher = Batcher(run, limit=2, concurrency=2)
    calls = [asyncio.create_task(batcher(n)) for n in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert run.batches == [[0, 1], [2, 3]]
    run.release(3)
    await asyncio.gather(*calls)
    assert run.batches == [[0, 1], [2, 3], [4]]


async def test_a_patient_batcher_waits_for_the_batch_under_way_though_there_is_room() -> None:
    run = Recorder()
    batcher = Batcher(run, concurrency=2, patience_s=3600)
    first = asyncio.create_task(batcher(0))
    await _two_turns()
    calls = [asyncio.create_task(batcher(n)) for n in (1, 2)]
    await _two_turns()
    assert run.batches == [[0]]
    run.release(2)
    assert await asyncio.gather(first, *calls) == [0, 10, 20]
    assert run.batches == [[0], [1, 2]]


async def test_a_patient_batcher_does_not_wait_for_a_batch_that_hangs() -> None:
    run = Recorder()
    batcher = Batcher(run, concurrency=2, patience_s=0.001)
    hanging = asyncio.create_task(batcher(0))
    await _two_turns()
    call = asyncio.create_task(batcher(1))
    async with asyncio.timeout(10):
        await run.began(2)
    assert run.batches == [[0], [1]]
    run.release(2)
    assert [await hanging, await call] == [0, 10]


async def test_a_patient_batcher_lets_a_full_batch_go() -> None:
    run = Recorder()
    batcher = Batcher(run, limit=2, concurrency=2, patience_s=3600)
    first = asyncio.create_task(batcher(0))
    await _two_turns()
    calls = [asyncio.create_task(batcher(n)) for n in (1, 2, 3)]
    await _two_turns()
    assert run.batches == [[0], [1, 2]]
    run.release(3)
    await asyncio.gather(first, *calls)
    assert run.batches == [[0], [1, 2], [3]]


async def _two_turns() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_batch_is_never_longer_than_its_limit() -> None:
    run = Recorder()
    batcher = Batcher(run, limit=2)
    run.release(10)
    assert await asyncio.gather(*(batcher(n) for n in range(5))) == [0, 10, 20, 30, 40]
    assert max(len(batch) for batch in run.batches) <= 2


async def test_a_bad_item_fails_alone() -> None:
    run = Recorder()
    batcher = Batcher(run)
    run.release(20)
    results = await asyncio.gather(*(batcher(n) for n in (1, 12, 13, 14)), return_exceptions=True)
    assert results[0] == 10
    assert results[1] == 120
    assert isinstance(results[2], ValueError)
    assert results[3] == 140


async def test_a_caller_that_gives_up_does_not_stop_the_batch() -> None:
    run = Recorder()
    batcher = Batcher(run)
    first, second = asyncio.create_task(batcher(1)), asyncio.create_task(batcher(2))
    await asyncio.sleep(0)
    first.cancel()
    run.release(2)
    assert await second == 20
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_draining_waits_for_all_that_is_under_way() -> None:
    run = Recorder()
    batcher = Batcher(run)
    calls = [asyncio.create_task(batcher(n)) for n in range(3)]
    await asyncio.sleep(0)
    run.release(2)
    await batcher.drain()
    assert all(call.done() for call in calls) or await asyncio.gather(*calls) == [0, 10, 20]
