"""Whether a provider's word that grants are dead is believed: not when it says so of too many accounts at once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tokenkeep.application.ports import SourceLedger
from tokenkeep.application.refreshing import Answered, LockedSource, RevocationNote
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.mass_revocation import RevocationGuard
from tokenkeep.domain.source import MASS_REVOCATION, SourceState
from tokenkeep.domain.source_changes import pause, source_event
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
    ) -> set[SourceId]:
        """The sources whose revocations are held.

        Args:
            sources: The transaction's view of sources.
            disabling: The attempts that would disable an account as revoked.
            batch: All attempts that are settled together; those that were granted are not in the journal yet.
        """
        by_source: dict[SourceId, list[tuple[Answered, Settlement]]] = defaultdict(list)
        for item, settlement in disabling:
            by_source[item.source.id].append((item, settlement))
        if not by_source:
            return set()
        held: set[SourceId] = set()
        for source_id, locked in (await sources.lock(sorted(by_source))).items():
            items = by_source[source_id]
            granted = sum(one.source.id == source_id and isinstance(one.verdict, Granted) for one in batch)
            if await self._is_held(sources, locked, items, granted=granted):
                held.add(source_id)
            notes = [_note(item, settlement, held=source_id in held) for item, settlement in items]
            await sources.note_revocations(notes)
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
        if source.proving:
            # A changed client id makes every grant look dead: nobody is given up on its word.
            if len(moments) >= _FEW_WHILE_PROVING:
                await _pause(sources, locked)
            return True
        count = len(earlier) + await sources.count_accounts(source.id, most=self.guard.most_accounts)
        began = self.guard.run_began(moments, accounts=count)
        if began is None:
            return False
        granted += await sources.count_grants(source.id, since=began, most=self.guard.most_grants)
        if not self.guard.is_unusual(accounts=count, granted=granted):
            return False
        await _pause(sources, locked)
        return True


async def _pause(sources: SourceLedger, locked: LockedSource) -> None:
    if locked.source.state is SourceState.PAUSED:
        return  # an operator's pause stands, and whoever resumes it decides
    changed = pause(locked.source, MASS_REVOCATION, now=locked.now)
    number = locked.event_sequence + 1
    await sources.save(changed, event_sequence=number)
    await sources.tell([source_event(changed, EventType.SOURCE_PAUSED, sequence=number, now=locked.now)])


def _note(item: Answered, settlement: Settlement, *, held: bool) -> RevocationNote:
    disabled: Mapping[str, str | None] = {"reason": "revoked", "detail": None}
    account = settlement.standing.account
    if account.disabled is not None:
        disabled = {"reason": account.disabled.reason.value, "detail": account.disabled.detail}
    return RevocationNote(
        source_id=item.source.id,
        account_id=item.attempt.account_id,
        epoch=item.attempt.epoch,
        generation=item.attempt.presented_generation,
        held=held,
        reason=disabled["reason"] or "revoked",
        detail=disabled["detail"],
    )
