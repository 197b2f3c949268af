"""What a subscription on an event loop does about cancellations that get lost."""

import asyncio
from typing import Any

from tokenkeep.client.effects import Beat, Command, Effect, Flow, Pause
from tokenkeep.client.event import Event
from tokenkeep.client.running_async import AsyncSubscription


class SwallowingWire:
    """Answers though it was cancelled meanwhile, as `asyncio.wait_for` does before Python 3.12 where both come at once."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.beats = 0

    async def carry_out(self, _: Effect) -> Any:
        self.beats += 1
        self.begun.set()
        try:
            await asyncio.sleep(3600 if self.beats == 1 else 0)
        except asyncio.CancelledError:
            return 1
        return 1

    async def close(self) -> None:
        """Nothing is open."""


class OneBeat:
    """A subscription that beats until it is to stop, and then no more."""

    def run(self) -> Flow:
        yield Beat(Command(("EVAL",)), 0.001)
        yield Pause(3600)
        yield Beat(None)

    def part(self) -> Flow:
        yield from ()


async def test_a_beat_ends_though_its_cancellation_is_swallowed() -> None:
    async def handle(event: Event) -> None:
        """It is given none."""

    wire = SwallowingWire()
    subscription = AsyncSubscription(lambda _: OneBeat(), wire)
    running = asyncio.create_task(subscription.run(handle))
    await wire.begun.wait()
    subscription.stop()
    async with asyncio.timeout(10):
        await running
    assert wire.beats == 1
