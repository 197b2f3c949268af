"""The worker's loops around the credential store: moving into it what is not there, and sweeping it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tokenkeep.application.credential_stores import CredentialStores
from tokenkeep.domain.errors import NotStored, SettingsError, StoreTaken, StoreUnavailable

_ROUND_EVERY_S = 5.0
_PAGE_EVERY_S = 0.05
_SWEEP_EVERY_S = 1800.0

_log = structlog.get_logger("tokenkeep.worker")


async def claim_stores(stores: CredentialStores) -> None:
    """See that the stores are this installation's. What can't be asked now is asked before anything is written.

    Raises:
        SettingsError: One is another installation's.
    """
    for kind in stores.kinds:
        try:
            await stores.claim(kind)
        except StoreTaken:
            raise SettingsError(f"TOKENKEEP_CREDENTIAL_STORE: the store {kind} is another installation's") from None
        except (StoreUnavailable, NotStored, SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("store_not_claimed", store=kind, error=type(error).__name__)


async def keep_moving(move: Callable[[], Awaitable[bool]], *, every_s: float = _ROUND_EVERY_S) -> None:
    """Go through all credentials, again and again, until cancelled."""
    while True:  # bounded by the process's life
        more = False
        try:
            more = await move()
        except Exception as error:  # noqa: BLE001 - whatever failed, the same page is tried again
            _log.warning("moving_credentials_failed", error=type(error).__name__)
        await asyncio.sleep(_PAGE_EVERY_S if more else every_s)


async def keep_sweeping(sweep: Callable[[], Awaitable[int]], *, every_s: float = _SWEEP_EVERY_S) -> None:
    """Take away what is of no use any more, now and then, until cancelled."""
    while True:  # bounded by the process's life
        try:
            removed = await sweep()
        except Exception as error:  # noqa: BLE001 - whatever failed, the next look finds what is left
            _log.warning("sweeping_stores_failed", error=type(error).__name__)
        else:
            _log.debug("stores_swept", removed=removed)
        await asyncio.sleep(every_s)
