"""Put received token sets into the credential store before anything is committed, and clear away what they replace."""

import asyncio
from contextlib import suppress
from dataclasses import replace

from tokenkeep.application.credential_stores import CredentialStores
from tokenkeep.application.refreshing import Answered, KeptVersion
from tokenkeep.application.sealing import REFRESH, TokenSealer
from tokenkeep.application.settle_attempts import Settled
from tokenkeep.domain.credential_store import KeptAt, KeptName
from tokenkeep.domain.errors import StoreUnavailable, VaultError
from tokenkeep.domain.verdict import Granted


class PutAway:
    """What a token set would be installed as is stored first; the settlement then commits where it lies.

    Which generation it becomes is decided under the row's lock. Nearly always it is the one after the presented one; where it is
    not, the settlement takes no notice of what was stored, and the row holds the ciphertexts until they are moved.
    """

    def __init__(self, stores: CredentialStores, sealer: TokenSealer) -> None:
        self._stores = stores
        self._sealer = sealer
        self._clearing: set[asyncio.Task[None]] = set()

    def concerns(self, answered: Answered) -> bool:
        """Whether there is a store to put anything of this answer into."""
        return self._stores.current is not None and isinstance(answered.verdict, Granted)

    async def __call__(self, answered: Answered) -> Answered:
        """The answer, with where its token set lies. It would outlive a crash.

        Raises:
            StoreUnavailable: The store can't be had; whether it lies there is not known.
            VaultError: The account's data key does not open.
        """
        if self._stores.current is None or not isinstance(answered.verdict, Granted):
            return answered
        attempt, key = answered.attempt, answered.sealed_key
        generation = attempt.presented_generation + 1
        place, tokens = (attempt.epoch, generation), answered.verdict.tokens
        sealed = self._sealer.seal_at(
            attempt.account_id, key, tokens, place, kept=answered.presented, presented=answered.rules.presented
        )
        name = KeptName.new(attempt.account_id, epoch=attempt.epoch, generation=generation, fence=attempt.fence)
        at = await self._stores.put(name, sealed.access_ciphertext, sealed.refresh_ciphertext)
        kept = KeptVersion(at, attempt.epoch, generation, refreshable=sealed.refresh_ciphertext is not None)
        return replace(answered, kept=kept)

    def clear(self, settled: Settled) -> None:
        """Have removed, in the background, what the settled attempt left without use. What is missed, a sweep finds."""
        for at in self._useless(settled):
            task = asyncio.get_running_loop().create_task(self._remove(at))
            self._clearing.add(task)
            task.add_done_callback(self._clearing.discard)

    async def drain(self) -> None:
        """Wait until nothing is being removed."""
        if self._clearing:
            await asyncio.wait(self._clearing)

    def _useless(self, settled: Settled) -> list[KeptAt]:
        answered = settled.answered
        attempt, kept = answered.attempt, answered.kept
        if kept is None:
            return []
        if settled.settlement is None:  # the account is gone
            return [kept.at]
        now = settled.settlement.standing.credential
        # One of our number may be what the row refers to, be it by a commit that was never acknowledged.
        useless = [kept.at] if (now.epoch, now.generation) != (kept.epoch, kept.generation) else []
        former = self._former(answered)
        if former is not None and (now.epoch, now.generation) != (attempt.epoch, attempt.presented_generation):
            useless.append(former)
        return useless

    def _former(self, answered: Answered) -> KeptAt | None:
        """Where the token set lay whose refresh token was presented."""
        attempt, ciphertext = answered.attempt, answered.former_ciphertext
        if ciphertext is None:
            return None
        place = (attempt.epoch, attempt.presented_generation)
        with suppress(VaultError):
            return self._stores.at(attempt.account_id, answered.sealed_key, REFRESH, ciphertext, place)
        return None

    async def _remove(self, at: KeptAt) -> None:
        with suppress(StoreUnavailable):
            await self._stores.remove(at)
