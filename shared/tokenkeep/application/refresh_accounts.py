"""Refresh a batch of accounts: take custody, present, settle. One straight road (custody protocol, S0 to S8).

Each account walks alone from its lease to its settlement, so a slow provider delays nobody else; the database work of
accounts that happen to be at the same step is done in one statement (`Batcher`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

from tokenkeep.application.admission import Admission, Admitted
from tokenkeep.application.backpressure import Backpressure, Permits
from tokenkeep.application.batching import Batcher
from tokenkeep.application.custody import Taken
from tokenkeep.application.keep_answers import KeepAnswers
from tokenkeep.application.lock_keeping import LockKeeper
from tokenkeep.application.notice_rollback import NoticeRollback
from tokenkeep.application.ports import Announcer, CustodyLocks, Ledgers, RefreshObserver, SourceConfigs
from tokenkeep.application.present_token import Presented, PresentToken
from tokenkeep.application.refreshing import (
    Answered,
    Leased,
    LeaseRequest,
    RefreshTask,
    RefreshTimes,
    SourceConfig,
    unsettled,
)
from tokenkeep.application.settle_attempts import Settled
from tokenkeep.application.watch_sources import WatchSources
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId, new_id
from tokenkeep.domain.standing import Settlement
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import OAuth2Rules

_HINTS = 8
"""How many hints are taken into custody at once."""
_REST = timedelta(seconds=5)
"""How soon an account is hinted at again whose source's endpoint is resting."""


@dataclass(slots=True)
class _Custody:
    """The locks that one message's batch holds. `generations`: what the mirror is told when a lock is given back; `settled`: what came of it so far."""

    owner: str
    admitted: Admitted
    permits: Permits
    generations: dict[AccountId, int] = field(default_factory=dict)
    settled: list[tuple[Answered, Settlement]] = field(default_factory=list)


class RefreshAccounts:
    """The worker's use-case. One instance serves a whole process; its batchers are shared by all messages."""

    def __init__(
        self,
        *,
        admission: Admission,
        backpressure: Backpressure,
        ledgers: Ledgers,
        sources: SourceConfigs,
        locks: CustodyLocks,
        keeper: LockKeeper,
        catalogue: Catalogue,
        present: PresentToken,
        keep: KeepAnswers,
        watch: WatchSources,
        announcer: Announcer,
        observer: RefreshObserver,
        times: RefreshTimes,
        hold: bool = False,
    ) -> None:
        self._admission = admission
        self._backpressure = backpressure
        self._ledgers = ledgers
        self._sources = sources
        self._locks = locks
        self._keeper = keeper
        self._catalogue = catalogue
        self._present = present
        self._keep = keep
        self._watch = watch
        self._announcer = announcer
        self._observer = observer
        self._times = times
        self._hold = hold
        self._leaving = False
        self._notice_rollback = NoticeRollback(ledgers, locks, observer)
        self._lease_rows: Batcher[Sequence[LeaseRequest], list[Leased]] = Batcher(
            self._lease_hints, limit=_HINTS, concurrency=2
        )
        self._give_back = Batcher(self._give_back_locks)

    async def __call__(
        self,
        account_ids: Sequence[AccountId],
        *,
        trigger: Trigger,
        correlation_id: str,
        source_id: SourceId | None = None,
        permits: Permits | None = None,
    ) -> list[Settled]:
        """Refresh those of these accounts that are owed a refresh, that may go now, and that nobody else holds.

        `source_id`: they are all of this source. `permits`: what `take` gave for them; without them nobody waits. Takes nobody into custody while an
        operator holds custody, or while an answer can be put nowhere.
        """
        permits = permits or self._backpressure.hold(len(account_ids), demanded=trigger is not Trigger.SCHEDULE)
        try:
            return await self._of_batch(account_ids, trigger, correlation_id, source_id, permits)
        finally:
            permits.close()

    @property
    def in_hand(self) -> int:
        """How many accounts this worker has in its own hands: begun and neither settled nor at their endpoint."""
        return self._backpressure.in_hand

    async def take(self, count: int, trigger: Trigger) -> Permits:
        """Permits for a batch of so many accounts: for a scheduled one, once answers are settled in time."""
        return await self._backpressure.take(count, demanded=trigger is not Trigger.SCHEDULE)

    async def _of_batch(
        self,
        account_ids: Sequence[AccountId],
        trigger: Trigger,
        correlation_id: str,
        source_id: SourceId | None,
        permits: Permits,
    ) -> list[Settled]:
        if self._hold or self._keep.at_risk:
            self._observer.refused_work(len(account_ids))
            return []
        if self._leaving:
            await self._admission.put_back(account_ids)
            return []
        admitted = await self._admission(account_ids, trigger=trigger, source_id=source_id)
        try:
            permits.keep(len(admitted.account_ids))
            return await self._of_admitted(admitted, trigger, correlation_id, permits)
        finally:
            await asyncio.shield(self._admission.leave(list(admitted.places), admitted))

    async def _of_admitted(
        self, admitted: Admitted, trigger: Trigger, correlation_id: str, permits: Permits
    ) -> list[Settled]:
        account_ids = admitted.account_ids
        if self._leaving:  # they were waiting for their turn meanwhile
            await self._admission.put_back(account_ids)
            return []
        custody = _Custody(new_id().hex, admitted, permits)
        taken = await self._locks.take(account_ids, custody.owner)
        if len(taken) < len(account_ids):
            self._observer.contended(len(account_ids) - len(taken))
        free = [one.account_id for one in taken]
        self._keeper.hold(free, custody.owner)
        try:
            await self._admission.leave(set(account_ids).difference(free), admitted)
            tasks = await self._lease(taken, trigger, correlation_id)
        except BaseException:  # a cancelled batch gives its locks back as well; the error goes on to the caller
            await asyncio.shield(self._let_go(free, custody))
            raise
        permits.keep(len(tasks))
        working = {task.leased.account_id for task in tasks}
        idle = asyncio.ensure_future(self._let_go([one for one in free if one not in working], custody))
        loop = asyncio.get_running_loop()
        under_way = [loop.create_task(self._in_custody(task, custody)) for task in tasks]
        try:
            # All of them end before an error goes on: what is left of a batch would be under way without its permits.
            ended = await asyncio.gather(*under_way, return_exceptions=True)
            await idle
        finally:  # however the batch ends, what was settled in it is told
            self._observer.batch_settled(custody.settled)
        error = next((one for one in ended if isinstance(one, BaseException)), None)
        if error is not None:
            raise error
        return [one for one in ended if isinstance(one, Settled)]

    def hurry(self, grace: timedelta) -> None:
        """The process is to end: whoever is not on the wire yet is given back, to be hinted at again at once.

        An answer that is in the spool may be left there after `grace`, to the next process.
        """
        self._leaving = True
        self._backpressure.hurry()
        self._keep.hurry(grace.total_seconds())

    async def drain(self) -> None:
        """Wait until nothing is under way: every answer that was received is in the database, or left in the spool."""
        await self._present.drain()
        await self._keep.drain()
        await self._admission.drain()
        await self._keeper.close()

    async def _lease(self, taken: Sequence[Taken], trigger: Trigger, correlation_id: str) -> list[RefreshTask]:
        requests = [LeaseRequest(one.account_id, AttemptId(new_id())) for one in taken]
        if not requests:
            return []
        leased = await self._lease_rows(requests)
        if not leased:
            return []
        sources = await self._sources({one.source_id for one in leased})
        rules = {source_id: self._rules_of(source) for source_id, source in sources.items()}
        tasks = [
            RefreshTask(one, sources[one.source_id], rules[one.source_id], trigger, correlation_id) for one in leased
        ]
        return await self._notice_rollback(await self._of_one_client(tasks), taken)

    async def _lease_hints(self, hints: Sequence[Sequence[LeaseRequest]]) -> Sequence[list[Leased]]:
        """S1 for the accounts of several hints, each hint's by itself. One account's lease goes to one of them."""
        async with self._ledgers() as ledger:
            leased = await ledger.lease(
                [one for hint in hints for one in hint],
                lease=self._times.lease,
                look=self._times.look,
                resting=self._watch.resting(),
            )
        by_attempt = {one.attempt_id: one for one in leased}
        return [[by_attempt[one.attempt_id] for one in hint if one.attempt_id in by_attempt] for hint in hints]

    async def _of_one_client(self, tasks: Sequence[RefreshTask]) -> list[RefreshTask]:
        """Those whose client is still the one that the lease was given for. Another must be proven by one account first."""
        changed = [task for task in tasks if task.source.secret_version != task.leased.secret_version]
        if changed:
            async with self._ledgers() as ledger:
                for task in sorted(changed, key=lambda one: one.leased.account_id):
                    await ledger.give_back(task.leased.account_id, task.leased.fence)
        return [task for task in tasks if task.source.secret_version == task.leased.secret_version]

    def _rules_of(self, source: SourceConfig) -> OAuth2Rules | None:
        """The source's rules; None when this process can't work them out: its catalogue may be another one."""
        try:
            return effective_rules(self._catalogue.get(source.provider), source.options)
        except TokenkeepError:
            return None

    async def _in_custody(self, task: RefreshTask, custody: _Custody) -> Settled | None:
        account_id = task.leased.account_id
        custody.generations[account_id] = task.leased.version.generation
        try:
            settled = await self._refresh(task, custody)
            if settled is not None and settled.settlement is not None:
                custody.generations[account_id] = settled.settlement.standing.credential.generation
        except Exception as error:  # noqa: BLE001 - one account's fault must not end its neighbours' refreshes
            # The lease stays as it is: a sweeper looks after it, by how far it had come.
            self._observer.abandoned(account_id, task.correlation_id, error)
            return None
        finally:
            custody.permits.let_go()
            await self._let_go([account_id], custody)
        if settled is not None:
            await self._tell_the_watch(settled)
        return settled

    async def _tell_the_watch(self, settled: Settled) -> None:
        try:
            await self._watch.note_verdict(settled.answered)
        except Exception as error:  # noqa: BLE001 - the refresh is settled; the next verdict says the same of the source
            self._observer.source_not_changed(settled.answered.source.id, error)

    async def _refresh(self, task: RefreshTask, custody: _Custody) -> Settled | None:
        started = monotonic()
        if self._leaving:
            async with self._ledgers() as ledger:
                await ledger.give_back(task.leased.account_id, task.leased.fence)
            return None
        if not self._watch.admits(task.source.id, doubtful=task.leased.doubts > 0):
            async with self._ledgers() as ledger:
                await ledger.give_back(task.leased.account_id, task.leased.fence, rest=_REST)
            return None
        presented = await self._present(task)
        if presented is None:
            return None
        self._note_call(task, presented, took_s=monotonic() - started)
        settled = await self._keep(_answered(task, presented))
        if settled is not None:
            self._observe(task, settled, custody, duration_s=monotonic() - started)
        return settled

    def _note_call(self, task: RefreshTask, presented: Presented, *, took_s: float) -> None:
        """Let others know at once how the endpoint is, before the answer is kept: that may take as long as the database is away."""
        try:
            self._watch.note_call(task.source, task.rules, presented.verdict)
            self._admission.note_call(
                task.source,
                task.leased.account_id,
                presented.verdict,
                took_s=took_s,
                own_client=presented.own_client,
            )
        except Exception as error:  # noqa: BLE001 - nothing may come between an answer and its keeping
            self._observer.source_not_changed(task.source.id, error)

    def _observe(self, task: RefreshTask, settled: Settled, custody: _Custody, *, duration_s: float) -> None:
        if settled.settlement is None:
            return
        now = settled.settled_at
        late_s = 0.0 if now is None else max((now - task.leased.due_since).total_seconds(), 0.0)
        self._observer.settled(settled.answered, settled.settlement, duration_s=duration_s, late_s=late_s)
        custody.settled.append((settled.answered, settled.settlement))

    async def _let_go(self, account_ids: Sequence[AccountId], custody: _Custody) -> None:
        for one in account_ids:
            self._keeper.let_go(one, custody.owner)
        given_back = [self._give_back.submit((one, custody.owner, custody.generations.get(one))) for one in account_ids]
        await self._admission.leave(account_ids, custody.admitted)
        await asyncio.gather(*given_back)

    async def _give_back_locks(self, held: Sequence[tuple[AccountId, str, int | None]]) -> Sequence[None]:
        await self._locks.give_back(held)
        await self._announcer.settled([account_id for account_id, _, _ in held])
        return [None] * len(held)


def _answered(task: RefreshTask, presented: Presented) -> Answered:
    attempt = unsettled(
        task.leased, trigger=task.trigger, correlation_id=task.correlation_id, sent_at=presented.sent_at
    )
    return Answered(
        attempt=attempt,
        verdict=presented.verdict,
        source=task.source,
        rules=task.rules,
        presented=presented.token,
        scopes=task.leased.scopes,
        sealed_key=task.leased.sealed_key,
        doubts=task.leased.doubts,
        presentations=presented.presentations,
        own_client=presented.own_client,
        properties=task.leased.properties,
        former_ciphertext=task.leased.refresh_ciphertext,
    )
