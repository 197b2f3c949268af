"""Settle: make the provider's answers durable, and let everything that follows from them be decided once (S7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tokenkeep.application.credential_stores import pointer
from tokenkeep.application.judge_revocations import JudgeRevocations
from tokenkeep.application.linking import ConnectLinks
from tokenkeep.application.ports import CustodyLedger, Ledgers
from tokenkeep.application.refreshing import Answered, LockedAccount, Receipt, SettlementWrite
from tokenkeep.application.revocation_sealing import GrantTokens, sealed_revocation
from tokenkeep.application.sealing import ACCESS, REFRESH, TokenSealer
from tokenkeep.application.telling import number_events
from tokenkeep.domain.account import DisabledReason
from tokenkeep.domain.connect_link import LinkMaker
from tokenkeep.domain.credential import CredentialVersion, SealedTokens, TokenSet
from tokenkeep.domain.errors import VaultError
from tokenkeep.domain.events import EventType
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import Quarantine
from tokenkeep.domain.settlement import settle
from tokenkeep.domain.standing import Circumstances, Orphan, Rules, Settlement
from tokenkeep.domain.verdict import Granted, Misconfigured, Revoked


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one attempt. None when the account no longer exists, or has been given up with its credentials."""

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
    links: ConnectLinks
    judge: JudgeRevocations = field(default_factory=JudgeRevocations)

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
        makers = (await self.links()).each({item.source.id: item.source for _, item in items})
        async with self.ledgers() as ledger:
            locked = await ledger.lock([item.attempt.account_id for _, item in items])
            circumstances = await self._circumstances(ledger, [item for _, item in items], locked)
            results: dict[int, Settled] = {}
            writes: list[SettlementWrite] = []
            for index, item in items:
                account = locked.get(item.attempt.account_id)
                if account is None:
                    results[index] = Settled(item, None)
                    continue
                usual = Circumstances(presentations=item.presentations, same_token=_gave_back(item))
                bearing = circumstances.get(item.attempt.account_id, usual)
                settlement, write = self._written(
                    item, account, self._settled(item, account, bearing), makers[item.source.id]
                )
                results[index] = Settled(item, settlement, account.now)
                writes.append(write)
            await ledger.write(writes)
            await self._see_off(ledger, [item for _, item in items if item.attempt.account_id not in locked])
        return results

    async def _see_off(self, ledger: CustodyLedger, late: Sequence[Answered]) -> None:
        """Tokens that came for accounts which were given up meanwhile: the provider is told to revoke them."""
        granted = [(item, item.verdict) for item in late if isinstance(item.verdict, Granted)]
        if not granted:
            return
        gone = await ledger.gone([item.attempt.account_id for item, _ in granted])
        for item, verdict in granted:
            if item.attempt.account_id in gone:
                await self._revoke(ledger, item, verdict.tokens)

    async def _revoke(self, ledger: CustodyLedger, item: Answered, tokens: TokenSet) -> None:
        """A refresh token that the answer does not name, or gives back, is revoked already with the grant that was given up."""
        refresh = None if _gave_back(item) else tokens.refresh_token
        wanted = sealed_revocation(
            self.sealer,
            item.rules,
            (item.attempt.account_id, item.source.id),
            item.sealed_key,
            GrantTokens(tokens.access_token, refresh, tokens.expires_at),
            properties=item.properties,
        )
        if wanted is not None:
            await ledger.request_revocation(wanted)

    async def _circumstances(
        self, ledger: CustodyLedger, items: Sequence[Answered], locked: Mapping[AccountId, LockedAccount]
    ) -> dict[AccountId, Circumstances]:
        """What bears on these settlements from outside of their accounts. Nothing is read for those that were granted."""
        found: dict[AccountId, Circumstances] = {}
        blaming = [item for item in items if isinstance(item.verdict, Misconfigured)]
        if blaming:
            versions = await ledger.sources.secret_versions({item.source.id for item in blaming})
            for item in blaming:
                newest = versions.get(item.source.id, item.source.secret_version)
                changed = newest != item.source.secret_version
                found[item.attempt.account_id] = Circumstances(
                    client_changed=changed, on_trial=item.source.on_trial, presentations=item.presentations
                )
        refused = [item for item in items if isinstance(item.verdict, Revoked) and item.attempt.account_id in locked]
        if refused:
            found.update(await self._about_revocations(ledger, refused, items, locked))
        return found

    async def _about_revocations(
        self,
        ledger: CustodyLedger,
        refused: Sequence[Answered],
        batch: Sequence[Answered],
        locked: Mapping[AccountId, LockedAccount],
    ) -> dict[AccountId, Circumstances]:
        receipts = await ledger.orphans([item.attempt.account_id for item in refused])
        found: dict[AccountId, Circumstances] = {}
        disabling: list[tuple[Answered, Settlement]] = []
        for item in refused:
            account = locked[item.attempt.account_id]
            orphan = self._newest_orphan(account, receipts.get(item.attempt.account_id, ()))
            found[item.attempt.account_id] = bearing = Circumstances(orphan=orphan, presentations=item.presentations)
            settlement = self._settled(item, account, bearing)
            if _is_to_be_judged(settlement):
                disabling.append((item, settlement))
        held = await self.judge(ledger.sources, disabling, batch)
        for account_id in held:
            found[account_id] = replace(found[account_id], revocations_held=True)
        return found

    def _newest_orphan(self, locked: LockedAccount, receipts: Sequence[Receipt]) -> Orphan | None:
        """The latest received token set that may be the living one: of this grant, and no older than what is stored."""
        stored = locked.standing.credential
        fitting = [
            one for one in receipts if one.epoch == stored.epoch and one.presented_generation >= stored.generation - 1
        ]
        for receipt in sorted(fitting, key=lambda one: one.fence, reverse=True):
            try:
                tokens = self.sealer.open_receipt(
                    receipt.account_id, receipt.sealed_key, receipt.ciphertext, epoch=receipt.epoch, fence=receipt.fence
                )
            except VaultError:
                continue
            if tokens.refresh_token is not None:
                return Orphan(receipt.attempt_id, tokens)
        return None

    def _settled(self, item: Answered, locked: LockedAccount, circumstances: Circumstances) -> Settlement:
        rules = Rules(
            self.policy.within(item.rules.refresh_window),
            item.rules.rotation,
            self.quarantine,
            item.rules.confirm_revocation,
            item.rules.idle_life,
        )
        return settle(
            locked.standing, item.attempt, item.verdict, now=locked.now, rules=rules, circumstances=circumstances
        )

    def _written(
        self, item: Answered, locked: LockedAccount, settlement: Settlement, links: LinkMaker | None
    ) -> tuple[Settlement, SettlementWrite]:
        attempt = item.attempt
        settlement, events = number_events(
            settlement, now=locked.now, correlation_id=attempt.correlation_id, links=links
        )
        # The key that was opened before the attempt began: a key that is wrapped anew meanwhile can't make a settle fail.
        account, key = locked.standing.account, item.sealed_key
        sealed = receipt = None
        if settlement.install is not None:
            version = settlement.standing.credential
            tokens = _with_scopes(settlement.install, item.scopes)
            sealed = self._put_away(item, version, tokens) or self.sealer.seal(
                account.id, key, tokens, version, kept=item.presented, presented=item.rules.presented
            )
        if settlement.orphan is not None:
            receipt = self.sealer.seal_receipt(
                account.id, key, settlement.orphan, epoch=attempt.epoch, fence=attempt.fence
            )
        return settlement, SettlementWrite(
            before=locked.standing,
            settlement=settlement,
            attempt=attempt,
            events=events,
            settled_at=locked.now,
            source_id=item.source.id,
            secret_version=item.source.secret_version,
            presentations=item.presentations,
            sealed_key=key if receipt is None else self.sealer.up_to_date(account.id, key),
            sealed=sealed,
            receipt=receipt,
        )

    def _put_away(self, item: Answered, version: CredentialVersion, tokens: TokenSet) -> SealedTokens | None:
        """Where the token set lies, in its place; None when it does not lie anywhere as what it is to be installed as."""
        kept = item.kept
        if kept is None or not isinstance(item.verdict, Granted):
            return None
        place = (version.epoch, version.generation)
        if place != (kept.epoch, kept.generation):
            return None
        owner, key = item.attempt.account_id, item.sealed_key
        return SealedTokens(
            access_ciphertext=pointer(self.sealer.vault, owner, key, ACCESS, place=place, at=kept.at),
            refresh_ciphertext=(
                pointer(self.sealer.vault, owner, key, REFRESH, place=place, at=kept.at) if kept.refreshable else None
            ),
            token_type=tokens.token_type,
            scopes=tokens.scopes or (),
        )


def _is_to_be_judged(settlement: Settlement) -> bool:
    """Whether the account would be disabled on the provider's word, and not because its refresh token ran out."""
    told = {happening.type for happening in settlement.happenings}
    disabled = settlement.standing.account.disabled
    return EventType.DISABLED in told and disabled is not None and disabled.reason is not DisabledReason.EXPIRED


def _gave_back(item: Answered) -> bool:
    """Whether the answer holds the very refresh token that was presented for it."""
    given = item.verdict.tokens.refresh_token if isinstance(item.verdict, Granted) else None
    return given is not None and given == item.presented


def _with_scopes(tokens: TokenSet, former: tuple[str, ...]) -> TokenSet:
    """An answer without `scope` means that nothing changed (RFC 6749, section 5.1)."""
    return tokens if tokens.scopes is not None else replace(tokens, scopes=former)
