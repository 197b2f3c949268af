"""Locks that are held are kept from ageing out."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from fakes import MemoryCustodyLocks
from tokenkeep.application.lock_keeping import LockKeeper
from tokenkeep.domain.ids import AccountId


class Watched(MemoryCustodyLocks):
    def __init__(self) -> None:
        super().__init__()
        self.renewed: list[Sequence[tuple[AccountId, str]]] = []

    async def renew(self, held: Sequence[tuple[AccountId, str]]) -> None:
        self.renewed.append(held)


class SteppedClocks:
    """Sleeps until the test lets it go on."""

    def __init__(self) -> None:
        self.steps: asyncio.Queue[None] = asyncio.Queue()
        self.asleep = asyncio.Event()

    def boottime(self) -> float:
        return 0.0

    def loop_time(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        assert seconds == 10.0
        self.asleep.set()
        await self.steps.get()

    async def step(self) -> None:
        await self.asleep.wait()
        self.asleep.clear()
        self.steps.put_nowait(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_all_that_is_held_is_renewed_in_one_call_until_nothing_is() -> None:
    locks, clocks = Watched(), SteppedClocks()
    keeper = LockKeeper(locks, every=timedelta(seconds=10), clocks=clocks)
    first, second = AccountId(uuid4()), AccountId(uuid4())
    keeper.hold([first], "a")
    keeper.hold([second], "b")
    await clocks.step()
    keeper.let_go(first, "a")
    await clocks.step()
    keeper.let_go(second, "b")
    await clocks.step()
    assert locks.renewed == [[(first, "a"), (second, "b")], [(second, "b")]]
    keeper.hold([first], "c")
    await clocks.step()
    assert locks.renewed[2:] == [[(first, "c")]]
    await keeper.close()


async def test_a_lock_that_another_message_took_since_is_not_let_go() -> None:
    locks, clocks = Watched(), SteppedClocks()
    keeper = LockKeeper(locks, every=timedelta(seconds=10), clocks=clocks)
    one = AccountId(uuid4())
    keeper.hold([one], "a")
    keeper.hold([one], "b")
    keeper.let_go(one, "a")
    await clocks.step()
    assert locks.renewed == [[(one, "b")]]
    await keeper.close()


class Failing(Watched):
    async def renew(self, held: Sequence[tuple[AccountId, str]]) -> None:
        await super().renew(held)
        if len(self.renewed) == 1:
            raise ConnectionError


async def test_a_gate_that_fails_once_is_asked_again() -> None:
    locks, clocks = Failing(), SteppedClocks()
    keeper = LockKeeper(locks, every=timedelta(seconds=10), clocks=clocks)
    one = AccountId(uuid4())
    keeper.hold([one], "a")
    await clocks.step()
    await clocks.step()
    assert locks.renewed == [[(one, "a")], [(one, "a")]]
    await keeper.close()
