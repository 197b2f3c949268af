"""What a provider gives once is stored, however often the database has to be asked."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Generic, TypeVar

import structlog

from tokenkeep.adapters.postgres.unit_of_work import PostgresWork, PostgresWorks
from tokenkeep_api.past_revocations import past_revocations
from tokenkeep_api.problems import is_passing

PATIENCE: Final = timedelta(seconds=60)
"""Longer than a failover takes. Whoever asks waits as long; what is not stored by then, nobody gets again."""

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0

_log = structlog.get_logger("tokenkeep.api")

Done = TypeVar("Done")


class _Undecided(Exception):
    """A transaction is committed or not, and PostgreSQL does not know yet."""


class Persistence:
    """Tries again what the database could not do, for as long as it can't be had."""

    def __init__(self, works: PostgresWorks, *, patience: timedelta = PATIENCE) -> None:
        self._works = works
        self._patience_s = patience.total_seconds()

    async def __call__(self, store: Callable[[PostgresWork], Awaitable[Done]]) -> Done:
        """What `store` gave in the one transaction of its that was committed.

        Raises what it raised, at once if that is neither the database's state nor a revocation that is soon over, or when
        patience has an end.
        """
        return await past_revocations(lambda: self.again(_Once(self._works, store)))

    async def again(self, do: Callable[[], Awaitable[Done]]) -> Done:
        """What it gave at last. Raises as `__call__` does."""
        loop = asyncio.get_running_loop()
        until, wait_s = loop.time() + self._patience_s, _FIRST_WAIT_S
        while True:
            try:
                return await do()
            except Exception as error:
                if not (isinstance(error, _Undecided) or is_passing(error)) or loop.time() + wait_s > until:
                    raise
                _log.warning("storing_delayed", error=type(error).__name__)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


class _Once(Generic[Done]):
    """A transaction that takes effect once, however often it is tried.

    When the acknowledgement of a commit is lost, PostgreSQL is asked what became of it, by the transaction's id: to store a
    second time would tell events twice, or refuse the caller their own account.
    """

    def __init__(self, works: PostgresWorks, store: Callable[[PostgresWork], Awaitable[Done]]) -> None:
        self._works = works
        self._store = store
        self._left_open: tuple[str, Done] | None = None

    async def __call__(self) -> Done:
        """Look at what was left open; then try, if that came to nothing."""
        if self._left_open is not None:
            transaction_id, result = self._left_open
            async with self._works.reading() as work:
                committed = await work.was_committed(transaction_id)
            if committed is None:
                raise _Undecided
            if committed:
                return result
            self._left_open = None
        async with self._works() as work:
            transaction_id = await work.transaction_id()
            result = await self._store(work)
            self._left_open = transaction_id, result
        return result
