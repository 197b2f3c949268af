"""Ctrl-C, SIGTERM and SIGHUP, as events."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """`stop` is set by the first signal, `hurry` by the second."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self._spared: asyncio.Event | None = None

    def listen(self) -> None:
        """From now on, signals set the events and do nothing else."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._heard, number)

    @contextmanager
    def sparing(self) -> Iterator[asyncio.Event]:
        """Meanwhile the first Ctrl-C sets the event that is given, and stops nothing."""
        self._spared = asyncio.Event()
        try:
            yield self._spared
        finally:
            self._spared = None

    def _heard(self, number: signal.Signals) -> None:
        if number is signal.SIGINT and self._spared is not None and not self._spared.is_set():
            self._spared.set()
            return
        (self.hurry if self.stop.is_set() else self.stop).set()
