"""After a restore: set apart the accounts whose refresh tokens were spent after the backup was made, before one is presented again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final, Protocol, assert_never
from uuid import UUID

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.custody import Mirrored
from tokenkeep.application.linking import ConnectLinks
from tokenkeep.application.ports import SourceConfigs
from tokenkeep.application.refreshing import SettlementWrite, SourceConfig
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Works
from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.ids import AccountId, IdKind, SourceId, format_id
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.standing import Settlement, Standing
from tokenkeep.domain.takeover import went_back
from tokenkeep.domain.transitions import disable
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.options import effective_rules, is_single_use

ACTOR: Final = "restore"
"""Who does it, in the audit trail and in an account's `disabled.by`."""

ACTION: Final = "account.set_apart"
DETAIL: Final = "spent_after_backup"
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class RestoredAccount:
    """An active account that we refresh, as the backup had it. `owed_at` is when its next refresh was planned."""

    id: AccountId
    source_id: SourceId
    environment: str
    generation: int
    owed_at: datetime | None


class RestoredAccounts(Protocol):
    """The active accounts that hold a refresh token, by their ids."""

    async def page(self, after: UUID | None, *, limit: int) -> Sequence[RestoredAccount]: ...


class GenerationMirror(Protocol):
    """What is remembered beside the database of the newest generations. Raises where it can't be had."""

    async def mirrored(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, Mirrored]: ...

    async def set_back(self, generations: Mapping[AccountId, int]) -> None: ...


@dataclass(slots=True)
class SetApart:
    """What was found. `spent` are disabled as in doubt: their successor is lost. `doubtful` may have been spent, and are put in doubt."""

    looked_at: int = 0
    spent: int = 0
    doubtful: int = 0


class _Finding(Enum):
    SPENT = "spent"
    DOUBTFUL = "doubtful"


@dataclass(frozen=True, slots=True)
class SetApartSpent:
    """Looks at every active account that we refresh.

    The mirror remembers that younger credentials were installed than the backup has. Where each refresh is known to spend the token,
    it is spent then, and nobody has its successor: the account is disabled as `in_doubt`, and nothing is presented. Anywhere else the
    token may have stayed the same, or may still do for a while, so only the provider can tell: the account is put in doubt, that is,
    it is tried, and a refusal is not taken for a revocation. So is, where nothing is remembered, one whose refresh was owed before
    the former database was lost.
    """

    accounts: RestoredAccounts
    mirror: GenerationMirror | None
    sources: SourceConfigs
    works: Works
    catalogue: Catalogue
    links: ConnectLinks

    async def __call__(self, *, owed_before: datetime | None, correlation_id: str, dry_run: bool = False) -> SetApart:
        """What was set apart, or with `dry_run` would be. Running it again finds what is left.

        Args:
            owed_before: When the former database was lost; None leaves alone of whom nothing is remembered.
            correlation_id: Of the events.
            dry_run: Change nothing.
        """
        found = SetApart()
        after: UUID | None = None
        while page := await self.accounts.page(after, limit=_PAGE):  # each page begins behind the one before
            after = page[-1].id
            found.looked_at += len(page)
            mirrored = {} if self.mirror is None else await self.mirror.mirrored([one.id for one in page])
            sources = await self.sources({one.source_id for one in page})
            findings: list[tuple[RestoredAccount, _Finding]] = []
            for one in page:
                finding = self._finding(one, mirrored.get(one.id), sources.get(one.source_id), owed_before)
                if finding is not None:
                    findings.append((one, finding))
            if not dry_run and findings:
                findings = await self._set_apart(findings, sources, correlation_id)
            found.spent += sum(finding is _Finding.SPENT for _, finding in findings)
            found.doubtful += sum(finding is _Finding.DOUBTFUL for _, finding in findings)
        return found

    def _finding(
        self, one: RestoredAccount, newest: Mirrored | None, source: SourceConfig | None, owed_before: datetime | None
    ) -> _Finding | None:
        if source is None:
            return None
        try:
            provider = self.catalogue.get(source.provider)
            spends = effective_rules(provider, source.options).rotation.spends
            single_use = is_single_use(provider, source.options)
        except TokenkeepError:
            return None  # the catalogue does not know the provider any more: nobody refreshes its accounts
        if not spends:
            return None
        if newest is None:
            return _Finding.DOUBTFUL if _was_owed(one, owed_before) else None
        if newest.generation <= one.generation:
            return None
        return _Finding.SPENT if single_use else _Finding.DOUBTFUL

    async def _set_apart(
        self,
        findings: Sequence[tuple[RestoredAccount, _Finding]],
        sources: Mapping[SourceId, SourceConfig],
        correlation_id: str,
    ) -> list[tuple[RestoredAccount, _Finding]]:
        """Writes them down; those of which there was something to write."""
        makers = (await self.links()).each(sources)
        done: list[tuple[RestoredAccount, _Finding]] = []
        accepted: list[RestoredAccount] = []
        async with self.works() as work:
            locked = await work.ledger.lock([one.id for one, _ in findings])
            for one, finding in findings:
                account = locked.get(one.id)
                if account is None or not _is_as_found(one, account.standing):
                    continue
                accepted.append(one)
                decided = _decided(account.standing, finding, now=account.now)
                if decided is None:
                    continue
                done.append((one, finding))
                settlement, events = number_events(
                    decided, now=account.now, correlation_id=correlation_id, links=makers.get(one.source_id)
                )
                write = SettlementWrite(
                    before=account.standing, settlement=settlement, attempt=None, events=events, settled_at=account.now
                )
                await work.ledger.write([write])
                caller = Caller(ACTOR, one.environment, frozenset())
                await work.audit(AuditEntry(caller, ACTION, format_id(IdKind.ACCOUNT, one.id)))
        # Only now may the mirror forget what it knew: else a worker that tries one in doubt would pause its source. Whoever runs this
        # again, because Redis was away, finds those in doubt once more; new credentials of the others are younger than what it knew.
        if self.mirror is not None:
            await self.mirror.set_back({one.id: one.generation for one in accepted})
        return done


def _is_as_found(one: RestoredAccount, standing: Standing) -> bool:
    return standing.account.state is AccountState.ACTIVE and standing.credential.generation == one.generation


def _decided(standing: Standing, finding: _Finding, *, now: datetime) -> Settlement | None:
    """None for one that is in doubt as it is: its answer was lost, or a sweeper will see that it was."""
    match finding:
        case _Finding.SPENT:
            return disable(standing, DisabledReason.IN_DOUBT, by=ACTOR, now=now, detail=DETAIL)
        case _Finding.DOUBTFUL:
            lease = standing.lease
            # A token that may be on the wire is not to be presented by another, whatever the backup has of it.
            idle = lease.phase in {Phase.IDLE, Phase.LEASED}
            return went_back(standing, now=now) if idle and not lease.doubts else None
        case _:
            assert_never(finding)


def _was_owed(one: RestoredAccount, before: datetime | None) -> bool:
    return before is not None and one.owed_at is not None and one.owed_at <= before
