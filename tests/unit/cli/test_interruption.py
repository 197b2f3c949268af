import asyncio
import os
import signal

from tokenkeep.cli.interruption import Interruption


async def sent(number: signal.Signals, seen: asyncio.Event) -> None:
    os.kill(os.getpid(), number)
    async with asyncio.timeout(10):
        await seen.wait()


async def test_the_first_ctrl_c_is_spared_and_the_next_one_stops() -> None:
    interruption = Interruption()
    interruption.listen()
    with interruption.sparing() as spared:
        await sent(signal.SIGINT, spared)
        assert not interruption.stop.is_set()
        await sent(signal.SIGINT, interruption.stop)
    assert not interruption.hurry.is_set()


async def test_other_signals_are_not_spared_and_nothing_is_afterwards() -> None:
    interruption = Interruption()
    interruption.listen()
    with interruption.sparing() as spared:
        await sent(signal.SIGTERM, interruption.stop)
    await sent(signal.SIGINT, interruption.hurry)
    assert not spared.is_set()
