"""The sweeper: free what was leased and never given back, tell what is about to end, disable what has (custody protocol, S9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tokenkeep.application.clocks import Clocks
from tokenkeep.application.linking import ConnectLinks
from tokenkeep.application.ports import Ledgers, RefreshObserver, Schedule, SourceConfigs
from tokenkeep.application.refreshing import LockedAccount, SettlementWrite, SourceConfig, StuckLease
from tokenkeep.application.telling import number_events
from tokenkeep.domain.connect_link import LinkMaker
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.ids import AccountId, SourceId, new_correlation_id
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import GRACE_MARGIN, Quarantine, Rotation, RotationKind
from tokenkeep.domain.settlement import Rules, Settlement
from tokenkeep.domain.takeover import take_over
from tokenkeep.domain.transitions import end_or_tell
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.options import effective_rules

_BATCH = 200
_FEW_FAILURES = 10
_HARMLESS = {RotationKind.NONE, RotationKind.UNTIL_USED}


@dataclass(frozen=True, slots=True)
class _Known:
    """What a source goes by, and its configuration, if there still is one."""

    rules: Rules
    config: SourceConfig | None


@dataclass(slots=True)
class WatchList:
    """What this sweeper has seen with its own eyes, on its own clock, without a break.

    The absolute time in a row is not enough: during an outage of the database it passes while a worker holds an answer
    and can't settle it. Whenever the watch was broken, it starts anew.
    """

    longest_gap_s: float
    seen: dict[tuple[AccountId, int], float] = field(default_factory=dict)
    last_look: float | None = None

    def look(self, leases: Sequence[StuckLease], *, now: float) -> None:
        """Take note of what is stuck at this moment."""
        if self.last_look is not None and now - self.last_look > self.longest_gap_s:
            self.seen.clear()
        self.last_look = now
        present = {(lease.account_id, lease.fence) for lease in leases}
        self.seen = {key: since for key, since in self.seen.items() if key in present}
        for key in present:
            self.seen.setdefault(key, now)

    def watched_for(self, lease: StuckLease, *, now: float) -> float:
        """For how many seconds the same lease has been stuck before our eyes."""
        return now - self.seen.get((lease.account_id, lease.fence), now)

    def forget(self) -> None:
        """The watch was broken."""
        self.seen.clear()
        self.last_look = None


class SweepLeases:
    """Takes over leases whose holders have gone silent. Any number of sweepers may run: each decides under the row lock."""

    def __init__(
        self,
        *,
        schedule: Schedule,
        ledgers: Ledgers,
        sources: SourceConfigs,
        catalogue: Catalogue,
        observer: RefreshObserver,
        clocks: Clocks,
        policy: RefreshPolicy,
        quarantine: Quarantine,
        links: ConnectLinks,
        longest_gap: timedelta,
        limit: int = 5_000,
    ) -> None:
        self._schedule = schedule
        self._ledgers = ledgers
        self._sources = sources
        self._catalogue = catalogue
        self._observer = observer
        self._clocks = clocks
        self._policy = policy
        self._quarantine = quarantine
        self._links = links
        self._limit = limit
        self._watch = WatchList(longest_gap.total_seconds())
        self._failed = False

    async def __call__(self) -> int:
        """One round; returns how many accounts were freed, disabled, or told to be expiring."""
        try:
            stuck = await self._schedule.stuck(limit=self._limit)
        except Exception:  # whatever it was, the watch was broken; the error goes on to the caller
            self._watch.forget()
            raise
        self._watch.look(stuck, now=self._clocks.loop_time())
        self._failed = False
        freed = await self._take_over(stuck)
        ended = await self._end_expired()
        if not self._failed:
            # A long round is no break of the watch: the next one is due from now on. One in which something failed may have
            # been long because the database was away.
            self._watch.last_look = self._clocks.loop_time()
        return freed + ended

    async def _take_over(self, stuck: Sequence[StuckLease]) -> int:
        if not stuck:
            return 0
        sources = await self._known({lease.source_id for lease in stuck})
        now = self._clocks.loop_time()
        ripe = [lease for lease in stuck if self._may_take(lease, sources[lease.source_id].rules.rotation, now=now)]
        freed = 0
        for start in range(0, len(ripe), _BATCH):
            freed += await self._take_batch(ripe[start : start + _BATCH], sources)
        return freed

    def _may_take(self, lease: StuckLease, rotation: Rotation, *, now: float) -> bool:
        """Whether nobody can have an answer in hand any more.

        `doubt` was settled by its own holder, who has none: its quarantine alone decides. `sent` may be a holder that can't
        reach the database, so we must have watched it ourselves: unless a second presentation is harmless, always or until
        the grace is over in which it yields the same successor.
        """
        if lease.phase != Phase.SENT or rotation.kind in _HARMLESS:
            return True
        in_grace = lease.sent_at is not None and lease.seen_at < lease.sent_at + rotation.grace - GRACE_MARGIN
        if rotation.same_successor and in_grace:
            return True
        needed = self._quarantine.span(rotation).total_seconds()
        return self._watch.watched_for(lease, now=now) >= needed

    async def _take_batch(self, leases: Sequence[StuckLease], sources: Mapping[SourceId, _Known]) -> int:
        """Take over a batch in one transaction; where that fails, each by itself, so that a bad one fails alone."""
        try:
            return await self._take(leases, sources)
        except Exception as error:  # noqa: BLE001 - told below, row by row
            self._failed = True
            if len(leases) == 1:
                self._observer.not_taken_over(leases[0], type(error).__name__)
                return 0
        return sum([await self._take_batch([lease], sources) for lease in leases])

    async def _take(self, leases: Sequence[StuckLease], sources: Mapping[SourceId, _Known]) -> int:
        taken: list[tuple[StuckLease, Settlement]] = []
        links = await self._links()
        async with self._ledgers() as ledger:
            locked = await ledger.lock([lease.account_id for lease in leases])
            writes: list[SettlementWrite] = []
            for lease in leases:
                account = locked.get(lease.account_id)
                if account is None or not _still_stuck(account, lease):
                    continue
                source = sources[lease.source_id]
                over = take_over(account.standing, now=account.now, rules=source.rules)
                settlement, write = _write(account, over, links.of(source.config), lease.correlation_id)
                writes.append(write)
                taken.append((lease, settlement))
            await ledger.write(writes)
            unseen = [lease for lease, _ in taken if lease.phase == Phase.SENT]
            await ledger.close_attempts([(lease.account_id, lease.attempt_id) for lease in unseen])
        for lease, settlement in taken:
            self._observer.taken_over(lease, settlement)
        return len(taken)

    async def _end_expired(self) -> int:
        """Look at credentials that can't be refreshed and are due: at their end, or at a stage before it that is told."""
        ended = 0
        failed = 0
        due = await self._schedule.run_out(limit=self._limit)
        sources = await self._sources(set(due.values())) if due else {}
        for account_id, source_id in due.items():
            try:
                ended += await self._end(account_id, sources.get(source_id))
            except Exception as error:
                # One account must not keep those behind it from their end; but a database that is away fails for all.
                self._observer.not_ended(account_id, error)
                self._failed = True
                failed += 1
                if failed > _FEW_FAILURES:
                    raise
        return ended

    async def _end(self, account_id: AccountId, source: SourceConfig | None) -> bool:
        links = (await self._links()).of(source)
        async with self._ledgers() as ledger:
            locked = (await ledger.lock([account_id])).get(account_id)
            settlement = None if locked is None else end_or_tell(locked.standing, now=locked.now)
            if locked is None or settlement is None:
                return False
            _, write = _write(locked, settlement, links)
            await ledger.write([write])
            return True

    async def _known(self, source_ids: set[SourceId]) -> dict[SourceId, _Known]:
        """The sources. One that this process can't work out counts as the strictest, and stops nobody else."""
        configs = await self._sources(source_ids)
        return {
            source_id: _Known(self._rules(configs.get(source_id)), configs.get(source_id)) for source_id in source_ids
        }

    def _rules(self, config: SourceConfig | None) -> Rules:
        strictest = Rules(self._policy, Rotation(RotationKind.STRICT_REVOKE), self._quarantine)
        if config is None:
            return strictest
        try:
            rules = effective_rules(self._catalogue.get(config.provider), config.options)
        except TokenkeepError:
            return strictest
        policy = self._policy.within(rules.refresh_window)
        return replace(strictest, policy=policy, rotation=rules.rotation, idle_life=rules.idle_life)


def _still_stuck(locked: LockedAccount, lease: StuckLease) -> bool:
    held = locked.standing.lease
    over = held.lease_until is not None and held.lease_until <= locked.now
    return held.fence == lease.fence and held.phase.value == lease.phase and over


def _write(
    locked: LockedAccount, settlement: Settlement, links: LinkMaker | None, cause: str | None = None
) -> tuple[Settlement, SettlementWrite]:
    correlation_id = cause or new_correlation_id()
    settlement, events = number_events(settlement, now=locked.now, correlation_id=correlation_id, links=links)
    return settlement, SettlementWrite(
        before=locked.standing, settlement=settlement, attempt=None, events=events, settled_at=locked.now
    )
