"""The worker's look at its spool, as long as it lives."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final, Protocol

import structlog

OF_AGE: Final = timedelta(seconds=30)
"""What has lain in the spool for a shorter time, its own worker is about to commit."""

_EVERY_S = 15.0
_LEFTOVERS_EVERY_S = 60.0

_log = structlog.get_logger("tokenkeep.worker")


class Draining(Protocol):
    """Settles what lies in the spool; returns how much could not be."""

    def __call__(self, *, of_age: timedelta) -> Awaitable[int]:
        """Settle what has lain there for so long."""


async def keep_draining(
    drain: Draining, *, every_s: float = _EVERY_S, leftovers_every_s: float = _LEFTOVERS_EVERY_S
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
            left = await drain(of_age=OF_AGE)
        except Exception as error:  # noqa: BLE001 - whatever failed, the next look finds what is left
            _log.warning("spool_not_drained", error=type(error).__name__)
