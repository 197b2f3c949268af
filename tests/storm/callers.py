"""Customers of the API who ask for tokens at any time, and try out what they are given."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import httpx

from storm.grants import Memory
from storm.house import House

_FORCED = 0.15


@dataclass(slots=True)
class Complaints:
    """What callers hold against the tokens they were handed, a line for each with the account's id in front."""

    broken: list[tuple[str, str]] = field(default_factory=list)
    stale: list[tuple[str, str]] = field(default_factory=list)


class Callers:
    """A few callers, each with one request at a time."""

    def __init__(self, house: House, memory: Memory, dice: Random, *, count: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.complaints = Complaints()
        self._house = house
        self._memory = memory
        self._dice = dice
        self._count = count

    async def run(self) -> None:
        """Call until cancelled."""
        await asyncio.gather(*(self._call_on() for _ in range(self._count)))

    async def _call_on(self) -> None:
        while True:  # bounded by the storm, which cancels it
            await asyncio.sleep(self._dice.uniform(0.05, 0.3))
            account_id = self._dice.choice(list(self._house.accounts))
            force = self._dice.random() < _FORCED
            await self.ask(account_id, min_ttl=self._dice.choice([1, 2, 3]), wait=self._dice.uniform(1, 5), force=force)

    async def ask(self, account_id: str, *, min_ttl: float, wait: float, force: bool = False) -> bool:
        """Ask for a token and try it out. True if one was had and was good, or its grant is dead."""
        asked_at = time.monotonic()
        body = {"min_ttl": min_ttl, "wait": wait, "force": force}
        try:
            answer = await self._house.api.post(f"/v1/accounts/{account_id}/token", json=body)
        except httpx.TransportError:
            self.statuses[0] += 1
            return False
        self.statuses[answer.status_code] += 1
        if answer.status_code != httpx.codes.OK:
            return False
        token: str = answer.json()["data"]["access_token"]
        return self._try_out(account_id, token, asked_at=asked_at, force=force)

    def _try_out(self, account_id: str, token: str, *, asked_at: float, force: bool) -> bool:
        known = self._memory.access(token)
        if known is None or known.grant is not self._house.accounts[account_id]:
            self.complaints.broken.append((account_id, "the token handed out is not one of this grant"))
            return False
        if known.grant.death is not None:
            return True  # tokenkeep can't know yet
        if not self._memory.works(token):
            over = time.monotonic() - known.ends_at
            self.complaints.broken.append((account_id, f"the token handed out had run out {over:.2f} s ago"))
            return False
        if force and known.issued_at < asked_at:
            age = asked_at - known.issued_at
            self.complaints.stale.append((account_id, f"a forced token was {age:.2f} s older than the call"))
        return True
