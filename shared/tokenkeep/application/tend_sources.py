"""The scheduler's care for sources: pick the account that shows how things are, wake those that were put aside."""

from dataclasses import dataclass, field
from uuid import UUID

from tokenkeep.application.ports import SourceTendings
from tokenkeep.application.refreshing import Waking
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.source_changes import picked

_MOST_PICKS = 200
_WALKS = 2
_WAKE_BATCH = 5_000
_MOST_WAKE_BATCHES = 50
_FIRST = AccountId(UUID(int=0))


@dataclass(slots=True)
class Walks:
    """The walks over a source's accounts: how far the present one has come, and how many are done."""

    after: AccountId = _FIRST
    done: int = 0


@dataclass(frozen=True, slots=True)
class TendSources:
    """Any number of schedulers may run this: each source is picked for under its row lock, and waking twice is harmless.

    A source may have millions of accounts, so a round wakes some of them and the next one goes on. They are walked over twice:
    a claim that read the source while it was paused may be written after the first walk has passed.
    """

    tendings: SourceTendings
    walks: dict[Waking, Walks] = field(default_factory=dict)

    async def __call__(self) -> tuple[int, int]:
        """One round; returns how many accounts were picked, and how many woken."""
        return await self._pick(), await self._wake()

    async def _pick(self) -> int:
        count = 0
        for _ in range(_MOST_PICKS):
            async with self.tendings() as tending:
                found = await tending.due()
                if found is None:
                    break
                source, now = found
                account_id = await tending.try_one(source)
                await tending.save(picked(source, account_id, now=now))
                count += account_id is not None
        return count

    async def _wake(self) -> int:
        waking = await self.tendings.waking()
        for forgotten in self.walks.keys() - set(waking):
            del self.walks[forgotten]
        woken, batches = 0, _MOST_WAKE_BATCHES
        for one in waking:
            # Each gets its share of the round, so that a small source does not wait for a large one.
            share = max(1, batches // len(waking))
            woken += await self._go_on(one, batches=share)
        return woken

    async def _go_on(self, waking: Waking, *, batches: int) -> int:
        walks = self.walks.setdefault(waking, Walks())
        woken = 0
        for _ in range(batches):
            last, count = await self.tendings.wake(waking.source_id, after=walks.after, limit=_WAKE_BATCH)
            woken += count
            if last is not None:
                walks.after = last
                continue
            walks.after, walks.done = _FIRST, walks.done + 1
            if walks.done == _WALKS:
                del self.walks[waking]
                await self.tendings.woken(waking)
            break
        return woken
