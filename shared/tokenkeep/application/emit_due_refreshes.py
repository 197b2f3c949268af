"""The scheduler's tick: claim what is due and hint at it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from tokenkeep.application.ports import RefreshQueue, Schedule
from tokenkeep.application.refreshing import DueAccount
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, SourceId

_AT_ONCE = 100
"""So many hints go to the queue in one go: some 50 KB."""


@dataclass(frozen=True, slots=True)
class EmitDueRefreshes:
    """Claims due accounts in batches and enqueues their ids, one message for up to `message_batch` of one source.

    A claim is a loan of time: a hint that leads to nothing within `trust` is given again by a later tick. So the queue may
    lose whatever it likes.
    """

    schedule: Schedule
    queue: RefreshQueue
    claim_batch: int
    message_batch: int
    trust: timedelta
    paused: timedelta = timedelta(minutes=10)
    most_batches: int = 50

    async def __call__(self, *, correlation_id: str) -> int:
        """Hint at everything that is due now, within `most_batches` claims; returns how many accounts that were."""
        emitted = 0
        for _ in range(self.most_batches):
            claimed = await self.schedule.claim_due(limit=self.claim_batch, trust=self.trust, paused=self.paused)
            given = await self._hint(claimed.accounts, correlation_id)
            emitted += given
            if claimed.looked_at < self.claim_batch or given < len(claimed.accounts):
                break
        return emitted

    async def _hint(self, due: Sequence[DueAccount], correlation_id: str) -> int:
        """Enqueue; what the queue does not surely take is due again at once, for whoever else looks after it."""
        given = 0
        hints = list(messages(due, size=self.message_batch))
        for start in range(0, len(hints), _AT_ONCE):
            group = hints[start : start + _AT_ONCE]
            if not await self.queue.enqueue_all(group, correlation_id=correlation_id):
                await self.schedule.unclaim([account_id for _, ids in hints[start:] for account_id in ids])
                break
            given += sum(len(account_ids) for _, account_ids in group)
        return given


def messages(due: Sequence[DueAccount], *, size: int) -> Iterator[tuple[Trigger, list[AccountId]]]:
    """Due accounts grouped by source, in lists of at most `size`, each in the order in which it fell due; probes first."""
    groups: dict[tuple[bool, SourceId], list[AccountId]] = defaultdict(list)
    for account in sorted(due, key=lambda one: (not one.probe, one.next_refresh_at)):
        groups[account.probe, account.source_id].append(account.account_id)
    for (probe, _), account_ids in groups.items():
        for start in range(0, len(account_ids), size):
            yield Trigger.PROBE if probe else Trigger.SCHEDULE, account_ids[start : start + size]
