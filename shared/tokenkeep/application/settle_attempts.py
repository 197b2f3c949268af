"""Settle: make the provider's answers durable, and let everything that follows from them be decided once (S7)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tokenkeep.application.ports import Ledgers
from tokenkeep.application.refreshing import Answered, LockedAccount, SettlementWrite
from tokenkeep.application.sealing import TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import Quarantine
from tokenkeep.domain.settlement import Rules, Settlement, settle


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one attempt. None when the account no longer exists."""

    answered: Answered
    settlement: Settlement | None
    settled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SettleAttempts:
    """Settles a batch of answered attempts in one transaction.

    The transaction locks the accounts first and decides from how they stand under the lock. An attempt whose account
    occurs twice in the batch is settled in a second transaction, after the first.
    """

    ledgers: Ledgers
    sealer: TokenSealer
    policy: RefreshPolicy
    quarantine: Quarantine

    async def __call__(self, batch: Sequence[Answered]) -> list[Settled]:
        """One result for each item of the batch, in its order. Raises what the database raises; nothing is half done."""
        results: dict[int, Settled] = {}
        rest = list(enumerate(batch))
        for _ in range(len(batch)):
            if not rest:
                break
            first: dict[AccountId, tuple[int, Answered]] = {}
            later: list[tuple[int, Answered]] = []
            for index, item in rest:
                taken = item.attempt.account_id in first
                (later.append((index, item)) if taken else first.update({item.attempt.account_id: (index, item)}))
            results.update(await self._settle_distinct(list(first.values())))
            rest = later
        return [results[index] for index in range(len(batch))]

    async def _settle_distinct(self, items: Sequence[tuple[int, Answered]]) -> dict[int, Settled]:
        async with self.ledgers() as ledger:
            locked = await ledger.lock([item.attempt.account_id for _, item in items])
            results: dict[int, Settled] = {}
            writes: list[SettlementWrite] = []
            for index, item in items:
                account = locked.get(item.attempt.account_id)
                if account is None:
                    results[index] = Settled(item, None)
                    continue
                settlement, write = self._decide(item, account)
                results[index] = Settled(item, settlement, account.now)
                writes.append(write)
            await ledger.write(writes)
        return results

    def _decide(self, item: Answered, locked: LockedAccount) -> tuple[Settlement, SettlementWrite]:
        attempt = item.attempt
        rules = Rules(self.policy, item.rules.rotation, self.quarantine)
        settlement = settle(locked.standing, attempt, item.verdict, now=locked.now, rules=rules)
        settlement, events = number_events(settlement, now=locked.now, correlation_id=attempt.correlation_id)
        account, key = locked.standing.account, locked.sealed_key
        write = SettlementWrite(
            before=locked.standing,
            settlement=settlement,
            attempt=attempt,
            events=events,
            settled_at=locked.now,
            secret_version=item.source.secret_version,
            sealed_key=key,
        )
        if settlement.install is not None:
            version = settlement.standing.credential
            tokens = _with_scopes(settlement.install, item.scopes)
            write = replace(write, sealed=self.sealer.seal(account.id, key, tokens, version, kept=item.presented))
        if settlement.orphan is not None:
            receipt = self.sealer.seal_receipt(
                account.id, key, settlement.orphan, epoch=attempt.epoch, fence=attempt.fence
            )
            write = replace(write, receipt=receipt)
        return settlement, write


def _with_scopes(tokens: TokenSet, former: tuple[str, ...]) -> TokenSet:
    """An answer without `scope` means that nothing changed (RFC 6749, section 5.1)."""
    return tokens if tokens.scopes is not None else replace(tokens, scopes=former)
