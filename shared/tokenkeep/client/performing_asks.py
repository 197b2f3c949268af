"""Carries out calls of the API from beginning to end, in a thread or on an event loop."""

import asyncio
import time
from typing import Any, TypeVar

from tokenkeep.client.api_wire import ApiWire, AsyncApiWire
from tokenkeep.client.asking import Ask, Patience, asked
from tokenkeep.client.effects import Call, Effect, Pause
from tokenkeep.client.lifeline import Lifeline
from tokenkeep.client.performing import perform, perform_async

Result = TypeVar("Result")


class Asker:
    """Asks the API, for programs that block. Threads may share it."""

    def __init__(self, wire: ApiWire, patience: Patience) -> None:
        self._wire = wire
        self._patience = patience

    def apart(self, lifeline: Lifeline) -> "Asker":
        """One for a thread that waits, whose connections the lifeline cuts. To be closed by that thread."""
        return Asker(self._wire.apart(lifeline), self._patience)

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def __call__(self, ask: Ask[Result]) -> Result:
        """The answer. Raises `Unreachable`, `ApiProblem` or `UnreadableAnswer`."""
        return perform(asked(ask, self._patience, time.monotonic), self.do)

    def do(self, effect: Effect) -> Any:
        """The answer to one effect of a flow: a call, or a pause."""
        if isinstance(effect, Pause):
            return time.sleep(effect.seconds)
        assert isinstance(effect, Call)  # noqa: S101 - flows of calls want nothing else
        return self._wire.exchange(effect)


class AsyncAsker:
    """As `Asker`, on an event loop."""

    def __init__(self, wire: AsyncApiWire, patience: Patience) -> None:
        self._wire = wire
        self._patience = patience

    async def __call__(self, ask: Ask[Result]) -> Result:
        """As `Asker`."""
        return await perform_async(asked(ask, self._patience, time.monotonic), self.do)

    async def do(self, effect: Effect) -> Any:
        """As `Asker.do`."""
        if isinstance(effect, Pause):
            return await asyncio.sleep(effect.seconds)
        assert isinstance(effect, Call)  # noqa: S101 - as above
        return await self._wire.exchange(effect)
