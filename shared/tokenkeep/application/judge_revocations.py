"""Whether a provider's word that grants are dead is believed: not when it says so of too many accounts at once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from tokenkeep.application.ports import SourceLedger
from tokenkeep.application.refreshing import Answered, LockedSource, RevocationNote
from tokenkeep.domain.account import DisabledReason
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.mass_revocation import RevocationGuard
from tokenkeep.domain.source import MASS_REVOCATION, Source, SourceState
from tokenkeep.domain.source_changes import is_client_fault, pause, source_event
from tokenkeep.domain.standing import Settlement
from tokenkeep.domain.verdict import Granted

_FEW_WHILE_PROVING = 3
"""How many accounts a changed client may find dead before the change itself is what an operator should look at."""


@dataclass(frozen=True, slots=True)
class JudgeRevocations:
    """Asked inside the transaction that would disable, with the accounts locked; locks their sources in turn.

    Believed or not, each revocation is written down: the next one is judged by them.
    """

    guard: RevocationGuard = field(default_factory=RevocationGuard)

    async def __call__(
        self, sources: SourceLedger, disabling: Sequence[tuple[Answered, Settlement]], batch: Sequence[Answered]
    ) -> set[AccountId]:
        """The accounts of which the provider is not believed.

        A rotation that was lost explains a refusal, so it takes no part in a run; but a client that is unproven is not
        believed about it either.

        Args:
            sources: The transaction's view of sources.
            disabling: The attempts that would disable an account, as revoked or as in doubt.
            batch: All attempts that are settled together; those that were granted are not in the journal yet.
        """
        by_source: dict[SourceId, list[tuple[Answered, Settlement]]] = defaultdict(list)
        for item, settlement in disabling:
            by_source[item.source.id].append((item, settlement))
        if not by_source:
            return set()
        held: set[AccountId] = set()
        for source_id, locked in (await sources.lock(sorted(by_source))).items():
            items = by_source[source_id]
            if not _is_unproven(locked.source):
                items = [one for one in items if _reason_of(one[1]) is DisabledReason.REVOKED]
            if not items:
                continue
            granted = sum(one.source.id == source_id and isinstance(one.verdict, Granted) for one in batch)
            is_held = await self._is_held(sources, locked, items, granted=granted)
            if is_held:
                held |= {item.attempt.account_id for item, _ in items}
            await sources.note_revocations([_note(item, settlement, held=is_held) for item, settlement in items])
        return held

    async def _is_held(
        self,
        sources: SourceLedger,
        locked: LockedSource,
        items: Sequence[tuple[Answered, Settlement]],
        *,
        granted: int,
    ) -> bool:
        source, now = locked.source, locked.now
        if source.state is SourceState.PAUSED and source.paused_reason == MASS_REVOCATION:
            return True
        accounts = {item.attempt.account_id for item, _ in items}
        earlier = await sources.revoked_at(source.id, since=now - self.guard.window, besides=accounts)
        moments = [*earlier, *(now for _ in accounts)]
        active = await sources.count_accounts(source.id, most=self.guard.most_accounts)
        if _is_unproven(source):
            # A wrong client id makes every grant look dead: nobody is given up on the word of a client that is in doubt.
            if len(moments) >= min(_FEW_WHILE_PROVING, active):
                await _pause(sources, locked, items[0][0].attempt.correlation_id)
            return True
        confirmed_at = source.revocations_confirmed_at
        if confirmed_at is not None and confirmed_at > now - self.guard.window:
            return False  # an operator has said that they are real
        count = len(earlier) + active
        began = self.guard.run_began(moments, accounts=count)
        if began is None:
            return False
        granted += await sources.count_grants(source.id, since=began, most=self.guard.most_grants)
        if not self.guard.is_unusual(accounts=count, granted=granted):
            return False
        await _pause(sources, locked, items[0][0].attempt.correlation_id)
        return True


def _is_unproven(source: Source) -> bool:
    return source.proving or is_client_fault(source.paused_reason)


async def _pause(sources: SourceLedger, locked: LockedSource, cause: str) -> None:
    source = locked.source
    if source.state is SourceState.PAUSED and not is_client_fault(source.paused_reason):
        return  # an operator's pause stands, and whoever resumes it decides
    changed = pause(locked.source, MASS_REVOCATION, now=locked.now)
    number = locked.event_sequence + 1
    await sources.save(changed, event_sequence=number)
    told = EventType.SOURCE_PAUSED
    await sources.tell([source_event(changed, told, sequence=number, now=locked.now, correlation_id=cause)])


def _reason_of(settlement: Settlement) -> DisabledReason:
    disabled = settlement.standing.account.disabled
    return DisabledReason.REVOKED if disabled is None else disabled.reason


def _note(item: Answered, settlement: Settlement, *, held: bool) -> RevocationNote:
    disabled = settlement.standing.account.disabled
    return RevocationNote(
        source_id=item.source.id,
        account_id=item.attempt.account_id,
        epoch=item.attempt.epoch,
        generation=item.attempt.presented_generation,
        held=held,
        reason=_reason_of(settlement).value,
        detail=None if disabled is None else disabled.detail,
    )
