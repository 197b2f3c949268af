"""LISTEN: the database tells that something was written that somebody waits for."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import structlog

from tokenkeep.adapters.ending import end
from tokenkeep.adapters.postgres.address import read_address
from tokenkeep.domain.secret import Secret

_RETRY_S = 1.0
_PROCESS = "tokenkeep listener"
_log = structlog.get_logger("tokenkeep.notifications")


class Listener:
    """Calls back whenever a transaction that notified the channel has committed. A hint: a sweep finds what it misses."""

    def __init__(self, database_url: Secret, channel: str, notified: Callable[[], None]) -> None:
        self._address = read_address(database_url)
        self._channel = channel
        self._notified = notified
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen, on a connection of its own."""
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def stop(self) -> None:
        """Stop listening."""
        await end(self._task)

    async def _listen(self) -> None:
        while True:  # bounded by stop(): it listens as long as the process lives
            try:
                await self._until_closed()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                _log.warning("listener_interrupted", channel=self._channel, error=type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    async def _until_closed(self) -> None:
        connection = await self._address.connect(process=_PROCESS, server_settings={})
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _connection: closed.set())
        try:
            await connection.add_listener(self._channel, self._on_notification)
            self._notified()
            await closed.wait()
        finally:
            await connection.close(timeout=5)

    def _on_notification(self, *_facts: Any) -> None:
        self._notified()
