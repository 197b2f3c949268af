"""A process's reports of the keys that it holds, now and then, until it ends."""

import asyncio
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tokenkeep.adapters.ending import end
from tokenkeep.application.tell_keyring import TELL_EVERY_S, TellKeyring

_UNHEARD_EVERY_S: Final = 1.0
_LAST_WORD_S: Final = 5.0
"""A database that hangs keeps no process longer than it says that it takes to end; whoever said nothing counts as silent."""

_log = structlog.get_logger("tokenkeep.keyring")


class KeyringReports:
    """Tells at the start, every 10 seconds, and at the end. A database that is away is told once it is back; the log says so once."""

    def __init__(self, tell: TellKeyring, *, every_s: float = TELL_EVERY_S, last_word_s: float = _LAST_WORD_S) -> None:
        """`last_word_s`: for how long the end is told, in seconds."""
        self._tell = tell
        self._every_s = every_s
        self._last_word_s = last_word_s
        self._task: asyncio.Task[None] | None = None
        self._is_heard = True

    async def start(self) -> None:
        """Tell once, then go on beside."""
        await self._try()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Say that the process ends. Call it when nothing more will be written."""
        await end(self._task)
        try:
            async with asyncio.timeout(self._last_word_s):
                await self._tell.withdraw()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("keyring_not_withdrawn", error=type(error).__name__)

    async def _run(self) -> None:
        while True:  # until it is cancelled
            # Nothing can be written while the database is away; once it is back, a key must not be found unused before we have told.
            await asyncio.sleep(self._every_s if self._is_heard else min(self._every_s, _UNHEARD_EVERY_S))
            await self._try()

    async def _try(self) -> None:
        try:
            await self._tell()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            if self._is_heard:
                _log.warning("keyring_not_told", error=type(error).__name__)
            self._is_heard = False
        else:
            self._is_heard = True
