"""The worker's look at its spool, as long as it lives."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_EVERY_S = 15.0
_LEFTOVERS_EVERY_S = 60.0

_log = structlog.get_logger("tokenkeep.worker")


async def keep_draining(
    drain: Callable[[], Awaitable[int]], *, every_s: float = _EVERY_S, leftovers_every_s: float = _LEFTOVERS_EVERY_S
) -> None:
    """Settle what lies in the spool, again and again, until cancelled.

    Another worker on the same disk may have ended while the database was away. What it left has to be settled before a
    sweeper gives it up for lost, two minutes after the database is back, and nobody may have started a worker by then. What
    can't be opened may open once the keyring is whole again.
    """
    left = 0
    while True:  # bounded by the process's life
        await asyncio.sleep(leftovers_every_s if left else every_s)
        try:
            left = await drain()
        except Exception as error:  # noqa: BLE001 - whatever failed, the next look finds what is left
            _log.warning("spool_not_drained", error=type(error).__name__)
