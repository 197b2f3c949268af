"""Make answers durable (S7): in the database, and until that can be had, in a spool beside the process."""

import asyncio
from functools import partial

from tokenkeep.application.backpressure import Backpressure
from tokenkeep.application.batching import Batcher
from tokenkeep.application.clocks import Clocks
from tokenkeep.application.ports import RefreshObserver, Spool, Vault
from tokenkeep.application.put_away import PutAway
from tokenkeep.application.refreshing import Answered
from tokenkeep.application.settle_attempts import SettleAttempts, Settled
from tokenkeep.application.spooling import spool_answer
from tokenkeep.domain.verdict import Granted

_PATIENCE_S = 1.0
"""How long the first commit may take before the answer is spooled beside it."""
_WITHOUT_TOKENS_S = 300.0
"""How long an answer without tokens is tried; after that its row is a sweeper's, who asks the provider again."""
_STORED_AGAIN_S = 1800.0
"""What lies in a credential store for so long without a commit is put there once more: a sweep might be about to take it away."""
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 5.0


class KeepAnswers:
    """Settles answers until they are committed. Nothing else may be done with a received token before that.

    A token set that is not committed within a second is also written to the spool, sealed, where it outlives the process. If
    even that fails, the process keeps it, goes on trying and takes no more work (`at_risk`).
    """

    def __init__(
        self,
        *,
        settle: SettleAttempts,
        put_away: PutAway,
        vault: Vault,
        spool: Spool,
        observer: RefreshObserver,
        clocks: Clocks,
        backpressure: Backpressure,
    ) -> None:
        self._settle = Batcher(settle, limit=400)
        self._put_away = put_away
        self._vault = vault
        self._spool = spool
        self._observer = observer
        self._clocks = clocks
        self._backpressure = backpressure
        self._at_risk = 0
        self._leave_at: float | None = None

    @property
    def at_risk(self) -> bool:
        """Whether this process holds a token set that is neither in the database nor in the spool, and can't be put there."""
        return self._at_risk > 0

    def hurry(self, grace_s: float) -> None:
        """The process is to end: what is spooled may be left to the next one after so many seconds."""
        self._leave_at = self._clocks.loop_time() + grace_s

    async def drain(self) -> None:
        """Wait until no batch is under way."""
        await self._settle.drain()
        await self._put_away.drain()

    async def __call__(self, answered: Answered) -> Settled | None:
        """What was settled; None when the answer was left in the spool because the process must end."""
        keeper = _Kept(holds_tokens=isinstance(answered.verdict, Granted))
        try:
            return await self._until_durable(answered, keeper)
        finally:
            if keeper.at_risk:
                self._at_risk -= 1

    async def _until_durable(self, answered: Answered, keeper: "_Kept") -> Settled | None:
        wait_s, began = _FIRST_WAIT_S, self._clocks.loop_time()
        while True:  # a token set is tried until the process ends: to stop would lose what the provider has rotated
            attempt = self._committing(answered, keeper)
            await asyncio.wait({attempt}, timeout=_PATIENCE_S)
            if not attempt.done():
                await self._keep(answered, keeper)
            try:
                settled = await attempt
            except Exception as error:
                self._observer.settle_failed(
                    answered.attempt.account_id, answered.attempt.correlation_id, type(error).__name__
                )
                if not keeper.holds_tokens and self._clocks.loop_time() - began >= _WITHOUT_TOKENS_S:
                    raise
            else:
                if keeper.tried:
                    await self._unspool(answered)
                return settled
            await self._keep(answered, keeper)
            if keeper.may_be_left and self._leave_at is not None and self._clocks.loop_time() >= self._leave_at:
                self._observer.left_in_spool(answered.attempt.account_id, answered.attempt.correlation_id)
                return None
            await self._clocks.sleep(wait_s)
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _committing(self, answered: Answered, keeper: "_Kept") -> "asyncio.Future[Settled]":
        """The commit, under way. It takes a task of its own only where something is put away first."""
        if not self._put_away.concerns(answered):
            return self._submit(answered)
        return asyncio.ensure_future(self._commit(answered, keeper))

    def _submit(self, answered: Answered) -> "asyncio.Future[Settled]":
        submitted = self._settle.submit(answered)
        submitted.add_done_callback(partial(self._note_settled, self._clocks.loop_time()))
        return submitted

    def _note_settled(self, began: float, submitted: "asyncio.Future[Settled]") -> None:
        if not submitted.cancelled() and submitted.exception() is None:
            self._backpressure.note_settled(self._clocks.loop_time() - began)

    async def _commit(self, answered: Answered, keeper: "_Kept") -> Settled:
        """Put the token set into the credential store, where there is one, and then commit where it lies."""
        now = self._clocks.loop_time()
        if keeper.stored is None or now - keeper.stored_at >= _STORED_AGAIN_S:
            keeper.stored = await self._put_away(answered)
            keeper.stored_at = now
        settled = await self._submit(keeper.stored)
        self._put_away.clear(settled)
        return settled

    async def _keep(self, answered: Answered, keeper: "_Kept") -> None:
        """Write the token set to the spool, once."""
        if keeper.spooled or not keeper.holds_tokens:
            return
        keeper.tried = True
        try:
            await self._spool.write(spool_answer(self._vault, answered))
        except Exception as error:  # noqa: BLE001 - whatever the spool's trouble is, the commit must still be tried
            if not keeper.at_risk:
                keeper.at_risk = True
                self._at_risk += 1
            self._observer.spool_failed(answered.attempt.account_id, answered.attempt.correlation_id, error)
            return
        keeper.spooled = True
        if keeper.at_risk:
            keeper.at_risk = False
            self._at_risk -= 1
        self._observer.spooled(answered.attempt.account_id, answered.attempt.correlation_id)

    async def _unspool(self, answered: Answered) -> None:
        try:
            await self._spool.remove(answered.attempt.id)
        except Exception as error:  # noqa: BLE001 - the answer is committed, and the caller must hear of that
            # Draining it later changes nothing: what is installed is not installed again.
            self._observer.not_drained(answered.attempt.account_id, answered.attempt.correlation_id, error)


class _Kept:
    """How safe one answer is. One that holds no token set may be lost: the provider is asked again."""

    def __init__(self, *, holds_tokens: bool) -> None:
        self.holds_tokens = holds_tokens
        self.tried = False
        self.spooled = False
        self.at_risk = False
        self.stored: Answered | None = None
        self.stored_at = 0.0

    @property
    def may_be_left(self) -> bool:
        return self.spooled or not self.holds_tokens
