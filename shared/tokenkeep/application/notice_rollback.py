"""Notice that the database went back in time, before a refresh token is presented that was spent already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tokenkeep.application.custody import Mirrored, Taken
from tokenkeep.application.ports import CustodyLedger, CustodyLocks, Ledgers, RefreshObserver
from tokenkeep.application.refreshing import RefreshTask, SettlementWrite
from tokenkeep.application.telling import number_events
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.source import ROLLBACK, Source, SourceState
from tokenkeep.domain.source_changes import pause, source_event
from tokenkeep.domain.takeover import went_back

_CLOCKS_APART: Final = timedelta(minutes=1)
"""So far Redis's clock may be behind the database's."""


@dataclass(frozen=True, slots=True)
class NoticeRollback:
    """Compares what was leased with the mirror in Redis, which remembers the newest generation that was ever installed.

    A row that is older than its mirror is put in doubt and nothing is sent. One that has less than its mirror and yet was
    obtained later is of a grant that came after a restore. Its source is paused, for its neighbours are as
    old: an operator looks at what was restored. Once he resumes it, rows that are found behind are put in doubt and tried.
    """

    ledgers: Ledgers
    locks: CustodyLocks
    observer: RefreshObserver

    async def __call__(self, tasks: Sequence[RefreshTask], taken: Sequence[Taken]) -> list[RefreshTask]:
        """The tasks that may go on. The others are written down, and their leases given back."""
        mirrored = {one.account_id: one.mirrored for one in taken}
        sound: list[RefreshTask] = []
        behind: list[tuple[RefreshTask, bool]] = []
        for task in tasks:
            newest = mirrored.get(task.leased.account_id)
            # A refresh token that is never spent is as good as it was.
            kept = not task.rules.rotation.spends
            if kept or newest is None or not is_older(task.leased.version, newest):
                sound.append(task)
                continue
            accepted_at = task.source.rollback_accepted_at
            behind.append((task, accepted_at is not None and newest.written_at <= accepted_at))
        if behind:
            await self._put_in_doubt(behind)
        return sound

    async def _put_in_doubt(self, behind: Sequence[tuple[RefreshTask, bool]]) -> None:
        written: list[RefreshTask] = []
        async with self.ledgers() as ledger:
            locked = await ledger.lock([task.leased.account_id for task, _ in behind])
            writes: list[SettlementWrite] = []
            for task, _ in behind:
                account = locked.get(task.leased.account_id)
                if account is None or account.standing.lease.fence != task.leased.fence:
                    continue
                settlement, events = number_events(
                    went_back(account.standing, now=account.now), now=account.now, correlation_id=task.correlation_id
                )
                written.append(task)
                writes.append(
                    SettlementWrite(
                        before=account.standing,
                        settlement=settlement,
                        attempt=None,
                        events=events,
                        settled_at=account.now,
                    )
                )
            await ledger.write(writes)
            paused = await self._pause(
                ledger, {task.source.id: task.correlation_id for task, accepted in behind if not accepted}
            )
        for task in written:
            self.observer.rollback_noticed(task.leased.account_id, task.correlation_id)
            # Only now, with the doubt committed, may the mirror forget what it knew.
            await self.locks.correct(task.leased.account_id, task.leased.version.generation)
        for source in paused:
            self.observer.source_changed(source)

    async def _pause(self, ledger: CustodyLedger, causes: Mapping[SourceId, str]) -> list[Source]:
        paused: list[Source] = []
        for one in (await ledger.sources.lock(sorted(causes))).values():
            if one.source.state is SourceState.PAUSED:
                continue
            changed = pause(one.source, ROLLBACK, now=one.now)
            number = one.event_sequence + 1
            await ledger.sources.save(changed, event_sequence=number)
            cause = causes[changed.id]
            event = source_event(changed, EventType.SOURCE_PAUSED, sequence=number, now=one.now, correlation_id=cause)
            await ledger.sources.tell([event])
            paused.append(changed)
        return paused


def is_older(stored: CredentialVersion, newest: Mirrored) -> bool:
    """Whether the database has credentials from before those that were seen committed: it went back in time."""
    return stored.generation < newest.generation and stored.obtained_at <= newest.written_at + _CLOCKS_APART
