"""Drain the spool: settle what a process received and could not commit."""

from dataclasses import dataclass, replace
from datetime import timedelta

from tokenkeep.application.ports import RefreshObserver, SourceConfigs, Spool
from tokenkeep.application.put_away import PutAway
from tokenkeep.application.refreshing import Answered, SourceConfig, SpooledAnswer
from tokenkeep.application.settle_attempts import SettleAttempts
from tokenkeep.application.spooling import open_answer
from tokenkeep.domain.errors import NotFound, StoreUnavailable, TokenkeepError
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.rotation import Rotation, RotationKind
from tokenkeep.providers.catalogue import Catalogue
from tokenkeep.providers.options import effective_rules
from tokenkeep.providers.rules import OAuth2Rules

_STRICTEST = OAuth2Rules(token_url="", refresh_url="", rotation=Rotation(RotationKind.STRICT_REVOKE))
_TRIES = 2


@dataclass(frozen=True, slots=True)
class DrainSpool:
    """Called before a worker takes any work, and now and then as long as it lives, for others may have used this disk.

    What is settled already is not installed or told again: two may drain one spool, and an answer's own process may be at it.
    """

    spool: Spool
    sources: SourceConfigs
    catalogue: Catalogue
    settle: SettleAttempts
    put_away: PutAway
    observer: RefreshObserver

    async def __call__(self, *, of_age: timedelta = timedelta(0)) -> int:
        """How many answers are left: they could not be opened, or their settling failed for a reason of its own.

        Those that have not lain there for so long are left to whoever received them.

        Raises what the database raises when it can't be had, or `StoreUnavailable`: then nothing more was tried.
        """
        entries = await self.spool.entries(of_age=of_age)
        if not entries:
            return 0
        sources = await self.sources({entry.source_id for entry in entries})
        left = 0
        for entry in entries:
            left += not await self._drained(entry, sources.get(entry.source_id))
        self.observer.spool_drained(len(entries) - left, left)
        return left

    async def _drained(self, entry: SpooledAnswer, source: SourceConfig | None) -> bool:
        if source is None:
            self._tell(entry, NotFound("source"))
            return False
        try:
            answered = self._answered(entry, source)
        except Exception as error:  # noqa: BLE001 - one file that can't be opened must not keep the others from their accounts
            self._tell(entry, error)
            return False
        if not await self._settled(entry, answered):
            return False
        try:
            await self.spool.remove(entry.attempt.id)
        except OSError as error:
            self._tell(entry, error)  # it is committed: to drain it once more changes nothing
        return True

    async def _settled(self, entry: SpooledAnswer, answered: Answered) -> bool:
        for _ in range(_TRIES):
            try:
                [settled] = await self.settle([await self.put_away(answered)])
            except StoreUnavailable:
                raise  # as the database's absence: nothing else could be settled either
            except Exception as error:  # noqa: BLE001 - what the database raises, or the answer itself
                await self._reach(entry.attempt.account_id)
                fault = error
            else:
                self.put_away.clear(settled)
                return True
        self._tell(entry, fault)
        return False

    async def _reach(self, account_id: AccountId) -> None:
        """Raise what the database raises unless the account's row can be locked: then the fault lies in the answer."""
        async with self.settle.ledgers() as ledger:
            await ledger.lock([account_id])

    def _tell(self, entry: SpooledAnswer, error: Exception) -> None:
        self.observer.not_drained(entry.attempt.account_id, entry.attempt.correlation_id, error)

    def _answered(self, entry: SpooledAnswer, source: SourceConfig) -> Answered:
        granted, presented, kind = open_answer(self.settle.sealer.vault, entry)
        return Answered(
            attempt=entry.attempt,
            verdict=granted,
            # The journal names the client secret that was used, which may be an older one by now.
            source=replace(source, secret_version=entry.secret_version),
            # What was presented is told by the answer: this process may know another catalogue, or none of this provider.
            rules=replace(self._rules_of(source), presented=kind),
            presented=presented,
            scopes=entry.scopes,
            sealed_key=entry.sealed_key,
            doubts=entry.doubts,
            presentations=entry.presentations,
            properties=entry.properties,
        )

    def _rules_of(self, source: SourceConfig) -> OAuth2Rules:
        try:
            return effective_rules(self.catalogue.get(source.provider), source.options)
        except TokenkeepError:
            return _STRICTEST
