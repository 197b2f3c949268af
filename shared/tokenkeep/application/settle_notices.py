"""Give a proven notice its effect: accounts whose grants their provider says are over are disabled, or it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, assert_never

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.linking import ConnectLinks
from tokenkeep.application.ports import RefreshQueue
from tokenkeep.application.provider_notices import MeantAccount
from tokenkeep.application.refreshing import LockedAccount, SettlementWrite, SourceConfig
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Work, Works
from tokenkeep.domain.account import DisabledReason
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.connect_link import LinkMaker
from tokenkeep.domain.ids import AccountId, IdKind, format_id
from tokenkeep.domain.reports import Follows, on_provider_notice, on_provider_suspicion
from tokenkeep.domain.transitions import disable
from tokenkeep.providers.entry import Provider
from tokenkeep.providers.hook_kinds import hook_kinds
from tokenkeep.providers.hook_notices import Notice
from tokenkeep.providers.hook_rules import HookMeaning

ACTOR: Final = "provider"
"""Who does it, in the audit trail and in an account's `disabled.by`: the provider, by a notice of its own."""

ACTION: Final = "account.provider_notice"
MOST_BELIEVED: Final = 100
"""How many notices of a source are believed on their word alone within `_LATELY`; beyond them the provider is asked (ADR 0037)."""

_LATELY: Final = timedelta(minutes=10)
_LONGEST_DETAIL: Final = 200


class NoticeResult(StrEnum):
    """What became of a notice.

    `moot`: whoever it means is disabled already, or has credentials that are younger than it. `unmatched`: it means nobody here.
    """

    DISABLED = "disabled"
    ASKED = "asked"
    MOOT = "moot"
    UNMATCHED = "unmatched"
    IGNORED = "ignored"
    ILLEGIBLE = "illegible"


@dataclass(frozen=True, slots=True)
class _Letter:
    """A notice on its way, and by whom and when it is taken."""

    notice: Notice
    sender: Caller
    correlation_id: str
    links: LinkMaker | None
    believed: bool


@dataclass(frozen=True, slots=True)
class SettleNotices:
    """A notice's effect is one transaction with the events and the audit trail: it is durable when this returns.

    One that means a whole workspace takes several, of `batch` accounts each. Killed in between, it comes again, for it was not
    answered; those that are disabled are left alone then.
    """

    works: Works
    queue: RefreshQueue
    links: ConnectLinks
    batch: int = 500

    async def __call__(
        self, source: SourceConfig, provider: Provider, notice: Notice, *, correlation_id: str, address: str | None
    ) -> NoticeResult:
        """What became of it."""
        if notice.means is HookMeaning.NOTHING:
            return NoticeResult.IGNORED
        links = (await self.links()).of(source)
        sender = Caller(ACTOR, source.environment, frozenset(), address)
        # One that names no time can't be told from its repetition by the credentials' age.
        timeless = notice.happened_at is None
        async with self.works() as work:
            notices = work.provider_notices
            await notices.hold(source.id)
            if timeless and await notices.was_taken(source.id, notice.digest):
                return NoticeResult.MOOT
            meant = await self._meant(work, source, provider, notice)
            lately = await notices.count_believed(source.id, within=_LATELY, most=MOST_BELIEVED)
            letter = _Letter(notice, sender, correlation_id, links, believed=lately < MOST_BELIEVED)
            batches = _in_batches(meant, self.batch)
            disabled, asked = await self._settle(work, batches[0], letter)
            if not timeless or len(batches) == 1:
                await notices.note(source.id, notice.digest, believed=bool(disabled))
        for number, batch in enumerate(batches[1:], start=2):
            async with self.works() as work:
                more = await self._settle(work, batch, letter)
                disabled, asked = disabled + more[0], asked + more[1]
                if timeless and number == len(batches):
                    await work.provider_notices.note(source.id, notice.digest, believed=bool(disabled))
        if asked:
            await self.queue.enqueue(asked, trigger=Trigger.REPORT, correlation_id=correlation_id)
        if not meant:
            return NoticeResult.UNMATCHED
        if disabled:
            return NoticeResult.DISABLED
        return NoticeResult.ASKED if asked else NoticeResult.MOOT

    async def _meant(
        self, work: Work, source: SourceConfig, provider: Provider, notice: Notice
    ) -> Mapping[AccountId, MeantAccount]:
        notices = work.provider_notices
        kinds = hook_kinds(provider, source.options, notice.accounts)
        by_id = await notices.accounts(source, notice.accounts, kinds)
        by_token = await notices.accounts_with(source.id, notice.tokens) if notice.tokens else []
        found = [*by_id, *by_token]
        if notice.property is not None and not any(one.surely for one in found):
            found += await notices.accounts_at(source.id, notice.property)
        return {one.id: one for one in found}

    async def _settle(
        self, work: Work, meant: Mapping[AccountId, MeantAccount], letter: _Letter
    ) -> tuple[list[AccountId], list[AccountId]]:
        """Whom it disabled, and of whom the provider is asked."""
        disabled: list[AccountId] = []
        asked: list[AccountId] = []
        writes: list[SettlementWrite] = []
        for account_id, locked in (await work.ledger.lock(sorted(meant))).items():
            match _follows(locked, letter, surely=meant[account_id].surely):
                case Follows.NOTHING:
                    continue
                case Follows.ASKING:
                    await work.demand(account_id, locked.now)
                    asked.append(account_id)
                case Follows.DISABLING:
                    writes.append(_disabling(locked, letter))
                    disabled.append(account_id)
                case never:
                    assert_never(never)
        if writes:
            await work.ledger.write(writes)
        told = [AuditEntry(letter.sender, ACTION, format_id(IdKind.ACCOUNT, one)) for one in (*disabled, *asked)]
        if told:
            await work.audit(*told)
        return disabled, asked


def _follows(locked: LockedAccount, letter: _Letter, *, surely: bool) -> Follows:
    at, now = letter.notice.happened_at, locked.now
    if letter.notice.means is HookMeaning.SUSPECTED or not surely:
        return on_provider_suspicion(locked.standing, happened_at=at, now=now)
    return on_provider_notice(locked.standing, happened_at=at, now=now, believed=letter.believed)


def _in_batches(meant: Mapping[AccountId, MeantAccount], size: int) -> list[dict[AccountId, MeantAccount]]:
    """In the order of their ids, as locks are taken; one that is empty where nobody is meant."""
    ids = sorted(meant)
    return [
        {account_id: meant[account_id] for account_id in ids[start : start + size]}
        for start in range(0, max(len(ids), 1), size)
    ]


def _disabling(locked: LockedAccount, letter: _Letter) -> SettlementWrite:
    detail = f"told by the provider: {letter.notice.type}"[:_LONGEST_DETAIL]
    decided = disable(locked.standing, DisabledReason.UNINSTALLED, by=ACTOR, now=locked.now, detail=detail)
    assert decided is not None  # noqa: S101 - the account is active
    settlement, events = number_events(
        decided, now=locked.now, correlation_id=letter.correlation_id, links=letter.links
    )
    return SettlementWrite(
        before=locked.standing, settlement=settlement, attempt=None, events=events, settled_at=locked.now
    )
