"""Keeps the storm going: new accounts for those that were disabled, paused sources resumed, dead processes noticed."""

import asyncio
from collections import Counter

from storm.house import House

_LOOK_EVERY_S = 2.0


class Keeper:
    """Looks after the population until cancelled."""

    def __init__(self, house: House) -> None:
        self.pauses: Counter[str] = Counter()
        """How often sources paused themselves, by reason."""
        self.died_by_themselves = 0
        self._house = house
        self._replaced: set[str] = set()

    async def run(self) -> None:
        """Look every other second."""
        while True:  # bounded by the storm, which cancels it
            await asyncio.sleep(_LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """One look."""
        for runner in self._house.fleet.runners:
            self.died_by_themselves += runner.raise_the_dead()
        await self.resume_sources()
        rows = await self._house.read("SELECT external_id FROM accounts WHERE state = 'disabled'")
        new = {row["external_id"] for row in rows} - self._replaced
        self._replaced |= new
        await self._house.create_accounts([self._house.memory.grants[name].kind for name in sorted(new)])

    async def resume_sources(self) -> None:
        """An operator takes note of every pause, and ends it."""
        rows = await self._house.read("SELECT name, paused_reason FROM sources WHERE state = 'paused'")
        for row in rows:
            self.pauses[f"{row['name']}: {row['paused_reason']}"] += 1
            source_id = next(one for kind, one in self._house.sources.items() if kind.value == row["name"])
            await self._house.api.post(f"/v1/sources/{source_id}/resume")
