"""The calm after the storm: waited for, and hurried on where accounts only wait for their turn."""

import asyncio
import time
from collections.abc import Mapping
from random import Random
from typing import Any

from storm.callers import Callers
from storm.house import House
from storm.keeper import Keeper
from storm.listener import Listener
from storm.wire import Recorder
from tokenkeep.domain.ids import IdKind, format_id

_LOOK_EVERY_S = 2.0
_HURRY_AFTER_S = 12.0
_AT_ONCE = 10


class Rest:
    """Waits until each account is disabled, or was refreshed twice more and gives a token that works."""

    def __init__(self, house: House, recorder: Recorder, callers: Callers, keeper: Keeper, listener: Listener) -> None:
        self._house = house
        self._recorder = recorder
        self._callers = callers
        self._keeper = keeper
        self._listener = listener
        self._since = time.monotonic()
        self._dice = Random(0)  # noqa: S311 - who comes first

    async def __call__(self, *, within_s: float) -> list[str]:
        """Wait; returns the accounts that did not come to rest, and asks the others for their tokens."""
        ends = time.monotonic() + within_s
        while True:
            await self._keeper.resume_sources()
            rows = await self._house.read(
                "SELECT a.id, a.state, a.custody, l.phase, l.doubts FROM accounts AS a JOIN leases AS l ON l.account_id = a.id"
            )
            by_id = {format_id(IdKind.ACCOUNT, row["id"]): row for row in rows}
            restless = [account_id for account_id, row in by_id.items() if not self._is_calm(account_id, row)]
            if not restless or time.monotonic() > ends:
                break
            if time.monotonic() - self._since > _HURRY_AFTER_S:
                await self._hurry(restless)
            await asyncio.sleep(_LOOK_EVERY_S)
        calm = [one for one, row in by_id.items() if row["state"] == "active" and one not in restless]
        return restless + await self._without_token(calm)

    def _is_calm(self, account_id: str, row: Mapping[str, Any]) -> bool:
        if row["phase"] != "idle":
            return False
        if row["state"] == "disabled":
            return True
        since = [one for one in self._house.accounts[account_id].granted if one > self._since]
        return len(since) > 1 and row["doubts"] == 0

    async def _hurry(self, restless: list[str]) -> None:
        """Ask for refreshes of those whose next attempt is minutes away."""
        for account_id in self._dice.sample(restless, min(len(restless), _AT_ONCE)):
            await self._house.api.post(f"/v1/accounts/{account_id}/refresh")

    async def _without_token(self, account_ids: list[str]) -> list[str]:
        """Those that give no token that works. What was disabled a moment ago counts as at rest."""
        failed: list[str] = []
        gate = asyncio.Semaphore(_AT_ONCE)

        async def ask(account_id: str) -> None:
            async with gate:
                if not await self._callers.ask(account_id, min_ttl=1, wait=20):
                    failed.append(account_id)

        await asyncio.gather(*(ask(one) for one in account_ids))
        return failed

    async def hear_the_rest(self, *, within_s: float) -> None:
        """Wait until nothing is left to publish, and what was published was heard. Nobody refreshes any more."""
        ends = time.monotonic() + within_s
        while time.monotonic() < ends:
            [row] = await self._house.read(
                "SELECT (SELECT count(*) FROM outbox) AS pending, (SELECT count(*) FROM events) AS stored"
            )
            heard = sum(len(one.ids) for one in self._listener.subjects.values())
            if row["pending"] == 0 and heard >= row["stored"]:
                return
            await asyncio.sleep(_LOOK_EVERY_S / 4)
