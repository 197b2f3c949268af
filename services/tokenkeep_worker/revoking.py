"""The worker's loop that has the grants of accounts revoked which were given up."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_EVERY_S = 5.0
_AT_ONCE = 8
"""So many hosts are worked at side by side; one that keeps silent holds one of these places until it is given its rest."""

_log = structlog.get_logger("tokenkeep.worker")


async def keep_revoking(
    revoke: Callable[[], Awaitable[int]], *, every_s: float = _EVERY_S, at_once: int = _AT_ONCE
) -> None:
    """Work off what is due, now and then, until cancelled. What is cancelled in between comes up again later."""
    await asyncio.gather(*(_revoke_in_turn(revoke, every_s=every_s) for _ in range(at_once)))


async def _revoke_in_turn(revoke: Callable[[], Awaitable[int]], *, every_s: float) -> None:
    while True:  # bounded by the process's life
        try:
            while await revoke():
                pass
        except Exception as error:  # noqa: BLE001 - whatever failed, the next round finds what is left
            _log.warning("revoking_failed", error=type(error).__name__)
        await asyncio.sleep(every_s)
