"""The Redis stream, whose events end their traces."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from time import time_ns

from tokenkeep.adapters.tracing.traces import Traces
from tokenkeep.application.relay_events import EventStream, Pending, Reached


class TracedStream:
    """Publishes as the stream does, and tells of each event that it was."""

    def __init__(self, stream: EventStream, traces: Traces, *, name: str) -> None:
        """`name`: the stream's, as spans are to call it."""
        self._stream = stream
        self._traces = traces
        self._name = name

    async def epoch(self) -> str | None:
        """As the port says."""
        return await self._stream.epoch()

    async def begin(self) -> str:
        """As the port says."""
        return await self._stream.begin()

    async def fence(self, fences: dict[int, int]) -> None:
        """As the port says."""
        await self._stream.fence(fences)

    async def reached(self, shards: Iterable[int]) -> dict[int, Reached]:
        """As the port says."""
        return await self._stream.reached(shards)

    async def publish(
        self, fences: Mapping[int, int], pending: Sequence[Pending], *, epoch: str, marks: Mapping[int, int]
    ) -> dict[int, int]:
        """As the port says."""
        began = time_ns()
        taken = await self._stream.publish(fences, pending, epoch=epoch, marks=marks)
        with suppress(Exception):  # the stream has them: the outbox must hear of that
            events = (one.event for one in pending if one.shard in taken)
            self._traces.published(events, began=began, destination=self._name)
        return taken
