"""Let a source go on, and carry out what an operator decided about its accounts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.linking import ConnectLinks
from tokenkeep.application.refreshing import SettlementWrite
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work, Works
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.connect_link import LinkMaker
from tokenkeep.domain.errors import InvalidInput, NotFound, SourcePaused
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import IdKind, SourceId, format_id
from tokenkeep.domain.mass_revocation import RevocationGuard
from tokenkeep.domain.revocation_incident import NotedRevocation, believe, disbelieve
from tokenkeep.domain.source import MASS_REVOCATION, Source, SourceState
from tokenkeep.domain.source_changes import resume, source_event

_BATCH = 200
_MOST_BATCHES = 2_000


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the revocations of a mass revocation are believed, by whom, and in which request."""

    caller: Caller
    believed: bool
    correlation_id: str


@dataclass(frozen=True, slots=True)
class ResumeSource:
    """Goes on refreshing for a source.

    The accounts of a mass revocation come first, a few in a transaction, the source last: if this ends in the middle, the
    source is still paused, and the same request carries on. Accounts are locked before their source, never after.
    """

    works: Works
    guard: RevocationGuard
    links: ConnectLinks

    async def __call__(self, source_id: SourceId, decision: Decision) -> Source:
        """The source as it is then; nothing is told when it was not paused.

        Raises:
            NotFound: There is no such source in this environment.
            InvalidInput: Revocations are confirmed of which there are none to decide about.
            SourcePaused: There are more accounts to decide about than one request can; the next one carries on.
        """
        for _ in range(_MOST_BATCHES):
            async with self.works() as work:
                source = await work.sources.get(source_id, decision.caller.environment)
            if source is None:
                raise NotFound("source")
            _check(source, decision)
            if source.paused_reason == MASS_REVOCATION:
                links = (await self.links()).of(source)
                async with self.works() as work:
                    await self._decide(work, source, decision, links)
            async with self.works() as work:
                resumed = await self._resume(work, source_id, decision)
            if resumed is not None:
                return resumed
        raise SourcePaused(MASS_REVOCATION, None)

    async def _decide(self, work: Work, source: Source, decision: Decision, links: LinkMaker | None) -> None:
        """Carry out the decision for some of the accounts: the held ones, and those disabled while the run was under way."""
        noted = await work.sources.revocations(source.id, since=self._began(source), limit=_BATCH)
        locked = await work.ledger.lock([one.account_id for one in noted])
        writes = []
        for one in noted:
            account = locked.get(one.account_id)
            if account is None:
                continue
            decide = believe if decision.believed else disbelieve
            settlement = decide(account.standing, one, now=account.now)
            if settlement is None:
                continue
            settlement, events = number_events(
                settlement, now=account.now, correlation_id=decision.correlation_id, links=links
            )
            writes.append(
                SettlementWrite(
                    before=account.standing, settlement=settlement, attempt=None, events=events, settled_at=account.now
                )
            )
        await work.ledger.write(writes)
        await work.sources.forget_revocations(source.id, [one.account_id for one in noted])

    def _began(self, source: Source) -> datetime:
        """When the first revocation may have been that counted towards the pause."""
        return (source.paused_at or source.updated_at) - self.guard.window

    async def _resume(self, work: Work, source_id: SourceId, decision: Decision) -> Source | None:
        """The source, going on; None when there are accounts left to decide about."""
        found = await work.sources.lock(source_id, decision.caller.environment)
        if found is None:
            raise NotFound("source")
        source, told = found
        if source.state is not SourceState.PAUSED:
            return source
        _check(source, decision)
        left: Sequence[NotedRevocation] = ()
        if source.paused_reason == MASS_REVOCATION:
            # An answer that was on its way may have been noted since; it is noted under the lock that we hold.
            left = await work.sources.revocations(source_id, since=self._began(source), limit=1)
        if left:
            return None
        now = await work.accounts.now()
        changed = resume(source, now=now)
        if decision.believed:
            changed = replace(changed, revocations_confirmed_at=now)
        event = source_event(
            changed,
            EventType.SOURCE_RESUMED,
            sequence=told + 1,
            now=now,
            correlation_id=decision.correlation_id,
        )
        await work.sources.save(changed, event_sequence=told + 1)
        await work.tell([event])
        await work.audit(AuditEntry(decision.caller, "source.resume", format_id(IdKind.SOURCE, source.id)))
        return changed


def _check(source: Source, decision: Decision) -> None:
    # A request that is repeated, because its answer was lost, finds the source active and its word taken.
    repeated = source.state is SourceState.ACTIVE and source.revocations_confirmed_at is not None
    if decision.believed and source.paused_reason != MASS_REVOCATION and not repeated:
        raise InvalidInput("confirm_revocations", "the source is not paused over a mass revocation")
