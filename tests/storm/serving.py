"""The providers on an event loop and a thread of their own: whatever keeps the storm busy, they answer in time."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from storm.grants import Kind, Memory
from storm.provider import Provider, Pulse
from storm.wire import Line, Recorder, WireWeather


class Providers:
    """One provider of each kind, from entering to leaving. `urls` are their token endpoints."""

    def __init__(
        self,
        memory: Memory,
        recorder: Recorder,
        weather: WireWeather,
        *,
        deadline_s: float,
        opened: Callable[[Line], None],
    ) -> None:
        self.urls: dict[Kind, str] = {}
        pulse = self._pulse = Pulse()
        self._providers = [
            Provider(
                kind,
                memory=memory,
                recorder=recorder,
                weather=weather,
                deadline_s=deadline_s,
                opened=opened,
                pulse=pulse,
            )
            for kind in Kind
        ]
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="providers", daemon=True)

    async def __aenter__(self) -> Self:
        self._thread.start()
        await asyncio.to_thread(self._ready.wait)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        await asyncio.to_thread(self._thread.join)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        beating = asyncio.create_task(self._pulse.beat())
        try:
            async with AsyncExitStack() as stack:
                for provider in self._providers:
                    await stack.enter_async_context(provider)
                    self.urls[provider.kind] = provider.url
                self._ready.set()
                await self._stopping.wait()
        finally:
            # Whoever waits for the start must not wait for ever because it failed.
            self._ready.set()
            beating.cancel()
