"""Keep the custody locks that are held from ageing out."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import CustodyLocks
from tokenkeep.domain.ids import AccountId


class LockKeeper:
    """Renews all locks of this process in one call, for as long as it holds any.

    A lock that ages out under its holder does no harm: the database lease decides. It would only cost others useless tries.
    """

    def __init__(self, locks: CustodyLocks, *, every: timedelta, clocks: Clocks) -> None:
        self._locks = locks
        self._every_s = every.total_seconds()
        self._clocks = clocks
        self._held: dict[AccountId, str] = {}
        self._renewing: asyncio.Task[None] | None = None

    def hold(self, account_ids: Sequence[AccountId], owner: str) -> None:
        """These locks are ours now."""
        self._held.update(dict.fromkeys(account_ids, owner))
        if self._held and self._renewing is None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew())

    def let_go(self, account_id: AccountId, owner: str) -> None:
        """This lock is about to be given back."""
        if self._held.get(account_id) == owner:
            del self._held[account_id]

    async def close(self) -> None:
        """Stop renewing."""
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            await asyncio.wait({renewing})

    async def _renew(self) -> None:
        while True:  # bounded by what is held, and by the process's life
            await self._clocks.sleep(self._every_s)
            if not self._held:
                self._renewing = None
                return
            try:
                await self._locks.renew(list(self._held.items()))
            except Exception:  # noqa: BLE001, S112 - the gate tells its own troubles; the next turn tries again
                continue
