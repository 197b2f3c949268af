"""After a restore: set apart the accounts whose refresh tokens were spent after the backup was made, before one is presented again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.application.custody import Mirrored
from tokenkeep.application.linking import ConnectLinks
from tokenkeep.application.ports import SourceConfigs
from tokenkeep.application.refreshing import LockedAccount, SettlementWrite, SourceConfig
from tokenkeep.application.telling import number_events
from tokenkeep.application.work import Works
from tokenkeep.domain.account import AccountState, DisabledReason
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.errors import TokenkeepError
from tokenkeep.domain.ids import AccountId, IdKind, SourceId, format_id
from tokenkeep.domain.rotation import Rotation, RotationKind
from tokenkeep.domain.standing import Settlement
from tokenkeep.domain.takeover import went_back
from tokenkeep.domain.transitions import disable
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.options import effective_rules

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
    """What is remembered beside the database of the newest generations. Raises where it can't be asked."""

    async def mirrored(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, Mirrored]: ...

    async def correct(self, account_id: AccountId, generation: int) -> None: ...


@dataclass(slots=True)
class SetApart:
    """What was found. `spent` are disabled as in doubt: their successor is lost. `doubtful` may have been spent, and are put in doubt."""

    looked_at: int = 0
    spent: int = 0
    doubtful: int = 0


@dataclass(frozen=True, slots=True)
class SetApartSpent:
    """Looks at every active account that we refresh.

    The mirror's word that a younger generation was installed is sure: the stored refresh token was spent, and nobody has its
    successor. Where a second presentation may do harm, the account is disabled as `in_doubt` and nothing is presented. Where nothing
    is remembered of an account, only time can tell: one whose refresh was owed before the former database was lost may have been
    refreshed by it. It is put in doubt, so that a refusal is not taken for a revocation.
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
            ids = [one.id for one in page]
            mirrored = {} if self.mirror is None else await self.mirror.mirrored(ids)
            sources = await self.sources({one.source_id for one in page})
            spent = [one for one in page if self._is_spent(one, mirrored.get(one.id), sources.get(one.source_id))]
            sure = {one.id for one in spent}
            perhaps = [
                one
                for one in page
                if one.id not in sure
                and one.id not in mirrored
                and _was_owed(one, owed_before)
                and _spends(self._rotation(sources.get(one.source_id)))
            ]
            if dry_run:
                found.spent += len(spent)
                found.doubtful += len(perhaps)
                continue
            await self._set_apart(found, [*spent, *perhaps], sure, sources, correlation_id)
        return found

    def _rotation(self, source: SourceConfig | None) -> Rotation | None:
        if source is None:
            return None
        try:
            return effective_rules(self.catalogue.get(source.provider), source.options).rotation
        except TokenkeepError:
            return None  # the catalogue does not know the provider any more: nobody refreshes its accounts

    def _is_spent(self, one: RestoredAccount, newest: Mirrored | None, source: SourceConfig | None) -> bool:
        rotation = self._rotation(source)
        if newest is None or rotation is None or newest.generation <= one.generation:
            return False
        # Where the old token may still do, the ordinary way is the better one: it is noticed, and tried.
        return rotation.kind in {RotationKind.STRICT, RotationKind.STRICT_REVOKE}

    async def _set_apart(
        self,
        found: SetApart,
        page: Sequence[RestoredAccount],
        sure: set[AccountId],
        sources: Mapping[SourceId, SourceConfig],
        correlation_id: str,
    ) -> None:
        if not page:
            return
        makers = (await self.links()).each(sources)
        done: list[RestoredAccount] = []
        async with self.works() as work:
            locked = await work.ledger.lock([one.id for one in page])
            for one in page:
                account = locked.get(one.id)
                decided = None if account is None else _decided(one, account, spent=one.id in sure)
                if account is None or decided is None:
                    continue
                settlement, events = number_events(
                    decided, now=account.now, correlation_id=correlation_id, links=makers.get(one.source_id)
                )
                write = SettlementWrite(
                    before=account.standing, settlement=settlement, attempt=None, events=events, settled_at=account.now
                )
                await work.ledger.write([write])
                caller = Caller(ACTOR, one.environment, frozenset())
                await work.audit(AuditEntry(caller, ACTION, format_id(IdKind.ACCOUNT, one.id)))
                done.append(one)
        for one in done:
            # Only now may the mirror forget what it knew: else new credentials of the account would seem to be behind it.
            if self.mirror is not None:
                await self.mirror.correct(one.id, one.generation)
        found.spent += sum(one.id in sure for one in done)
        found.doubtful += sum(one.id not in sure for one in done)


def _decided(one: RestoredAccount, account: LockedAccount, *, spent: bool) -> Settlement | None:
    standing = account.standing
    if standing.account.state is not AccountState.ACTIVE or standing.credential.generation != one.generation:
        return None
    if spent:
        return disable(standing, DisabledReason.IN_DOUBT, by=ACTOR, now=account.now, detail=DETAIL)
    return None if standing.lease.doubts else went_back(standing, now=account.now)


def _was_owed(one: RestoredAccount, before: datetime | None) -> bool:
    return before is not None and one.owed_at is not None and one.owed_at <= before


def _spends(rotation: Rotation | None) -> bool:
    return rotation is not None and rotation.spends
