"""The scheduler's tick: claim what is due and hint at it."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

from tokenkeep.application.ports import HintQueue, Schedule
from tokenkeep.application.refreshing import DueAccount, Lane
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.need import by_need
from tokenkeep.domain.waiting_line import WaitingLine

_LANES = (Lane.OLDEST, Lane.NEWEST, Lane.IN_TIME, Lane.IN_TIME)
"""Where claims begin, in turns. When there is no backlog, the first one takes everything."""

_MOST_SOURCES = 10_000


@dataclass(slots=True)
class _Tick:
    """One tick: how many messages there is room for, and how many each source has got."""

    room: int
    most_of_one: int
    got: Counter[SourceId] = field(default_factory=Counter)
    emitted: int = 0
    is_over: bool = False


_AT_ONCE = 100
"""So many hints go to the queue in one go: some 50 KB."""


@dataclass(frozen=True, slots=True)
class EmitDueRefreshes:
    """Claims due accounts in batches and enqueues their ids, one message for up to `message_batch` of one source.

    A claim is a loan of time: a hint that leads to nothing within `trust` is given again by a later tick. So the queue may
    lose whatever it likes. And so it must never hold more than workers take within that time, or it would hold everything twice: no more
    than `most_waiting` messages wait in it, and one source gets at most half of the room that a tick finds. What a source has beyond that
    waits in its rows. Once `leaving` says so nothing more is claimed; what was claimed is hinted at.
    """

    schedule: Schedule
    queue: HintQueue
    claim_batch: int
    message_batch: int
    trust: timedelta
    paused: timedelta = timedelta(minutes=10)
    most_batches: int = 50
    most_waiting: int = 1_000
    now: Callable[[], float] = monotonic
    leaving: Callable[[], bool] = bool
    lines: dict[SourceId, WaitingLine] = field(default_factory=dict)
    lanes: deque[Lane] = field(default_factory=lambda: deque(_LANES))

    async def __call__(self, *, correlation_id: str) -> int:
        """Hint at what is due now, within `most_batches` claims and the room in the queue; returns how many accounts that were."""
        waiting = await self.queue.waiting()
        if waiting is None or waiting >= self.most_waiting:
            return 0
        room = self.most_waiting - waiting
        tick = _Tick(room, max(room // 2, 1))
        for _ in range(self.most_batches):
            if self.leaving():
                break
            # A tick that finds little room makes one claim: the next tick's begins where it is the next lane's turn.
            lane = self.lanes[0]
            self.lanes.rotate(-1)
            claimed = await self.schedule.claim_due(
                limit=self.claim_batch, trust=self.trust, paused=self.paused, lane=lane
            )
            await self._hint(claimed.accounts, tick, correlation_id)
            if claimed.looked_at < self.claim_batch and lane is not Lane.IN_TIME:
                self.lanes.clear()
                self.lanes.extend(_LANES)
                break
            if tick.is_over or tick.room <= 0:
                break
        return tick.emitted

    async def _hint(self, due: Sequence[DueAccount], tick: _Tick, correlation_id: str) -> None:
        """Enqueue; what the queue does not surely take is due again at once, for whoever else looks after it."""
        hints = list(messages(await self._within_bounds(due, tick), size=self.message_batch))
        for start in range(0, len(hints), _AT_ONCE):
            group = hints[start : start + _AT_ONCE]
            if not await self.queue.enqueue_all(group, correlation_id=correlation_id):
                await self.schedule.unclaim([one for _, _, ids in hints[start:] for one in ids])
                tick.is_over = True
                return
            for trigger, source_id, account_ids in group:
                tick.emitted += len(account_ids)
                tick.got[source_id] += trigger is Trigger.SCHEDULE
                tick.room -= trigger is Trigger.SCHEDULE

    async def _within_bounds(self, due: Sequence[DueAccount], tick: _Tick) -> list[DueAccount]:
        """Those of each source that it has a share for. The others wait, those longest whose need is least."""
        going = [account for account in due if account.probe]
        of_source: dict[SourceId, list[DueAccount]] = defaultdict(list)
        for account in due:
            if not account.probe:
                of_source[account.source_id].append(account)
        for source_id, accounts in of_source.items():
            share = (tick.most_of_one - tick.got[source_id]) * self.message_batch
            going += accounts if len(accounts) <= share else await self._neediest(source_id, accounts, max(share, 0))
        return going

    async def _neediest(self, source_id: SourceId, accounts: Sequence[DueAccount], share: int) -> list[DueAccount]:
        by_id = {one.account_id: one for one in accounts}
        order = by_need(list(by_id), await self.schedule.lives(list(by_id)))
        if len(self.lines) >= _MOST_SOURCES:
            self.lines.clear()
        line = self.lines.setdefault(source_id, WaitingLine())
        # A tick's share, each second; what there is more of is spread over the next minutes.
        per_s = float(self.most_waiting // 2 * self.message_batch)
        waits = line.places(order[share:], now=self.now(), wait_s=1.0, per_s=per_s)
        await self.schedule.put_off(dict(zip(order[share:], waits, strict=True)), binding=False)
        return [by_id[one] for one in order[:share]]


def messages(due: Sequence[DueAccount], *, size: int) -> Iterator[tuple[Trigger, SourceId, list[AccountId]]]:
    """Due accounts grouped by source, in lists of at most `size`, each in the order in which it fell due; probes first."""
    groups: dict[tuple[bool, SourceId], list[AccountId]] = defaultdict(list)
    for account in sorted(due, key=lambda one: (not one.probe, one.next_refresh_at)):
        groups[account.probe, account.source_id].append(account.account_id)
    for (probe, source_id), account_ids in groups.items():
        for start in range(0, len(account_ids), size):
            yield Trigger.PROBE if probe else Trigger.SCHEDULE, source_id, account_ids[start : start + size]
