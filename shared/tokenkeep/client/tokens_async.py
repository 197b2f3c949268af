"""`client.tokens` for programs with an event loop; what the calls mean stands at `Tokens`."""

import copy
from collections.abc import Callable
from dataclasses import replace

from tokenkeep.client.answers.token import Token
from tokenkeep.client.asking import Patience
from tokenkeep.client.clocks import forward
from tokenkeep.client.errors import DeadlineExceeded
from tokenkeep.client.event import Event
from tokenkeep.client.following import AsyncFollowing, ends_tokens
from tokenkeep.client.performing import perform_async
from tokenkeep.client.performing_asks import AsyncAsker
from tokenkeep.client.renewing import renewed, reported
from tokenkeep.client.single_flight import AsyncFlights, Flight
from tokenkeep.client.token_shelf import Wish, is_same
from tokenkeep.client.tokens import Keeping


class AsyncTokens:
    """As `Tokens`, for the tasks of one event loop. Of a client: `client.tokens`; `client.token` is short for `get`."""

    def __init__(
        self, ask: AsyncAsker, patience: Patience, keeping: Keeping, clock: Callable[[], float] = forward
    ) -> None:
        self._ask = ask
        self._patience = patience
        self._clock = clock
        self._shelf = keeping.shelf()
        self._flights: AsyncFlights[Token | None] = AsyncFlights()
        self._followings: list[AsyncFollowing] = []

    async def get(self, account_id: str, *, min_ttl: float = 60.0, wait: float = 10.0, force: bool = False) -> Token:
        """As `Tokens.get`. A task that is cancelled takes nothing from the others that wait."""
        wish = Wish(account_id, min_ttl, wait, force)
        found = self._shelf.find(wish, now=self._clock())
        if found is None:

            async def work(flight: Flight) -> Token:
                vended = await self._ask(wish.ask())
                if not flight.spoiled:
                    self._shelf.put(wish, vended, now=self._clock())
                return vended.token

            found = await self._flights.join(wish.key, work, self._patience.timeout + wait)
        assert found is not None  # noqa: S101 - a call gives one, or raises
        return found

    async def renew(self, account_id: str, refused: Token, *, timeout: float = 20.0) -> Token | None:  # noqa: ASYNC109 - all tries together
        """As `Tokens.renew`."""
        patience, wish = replace(self._patience, timeout=timeout), Wish(account_id)
        now = self._clock()
        at_hand = self._shelf.find(wish, now=now)
        if at_hand is not None and not is_same(at_hand, refused):
            return at_hand  # somebody else has met the refusal before
        if self._shelf.is_resting(wish.account_id, refused, now=now):
            return None
        self._shelf.drop(wish.account_id)

        async def work(flight: Flight) -> Token | None:
            renewal = await perform_async(renewed(wish, refused, patience=patience, clock=self._clock), self._ask.do)
            now, keep = self._clock(), not flight.spoiled
            return self._shelf.settle(wish, refused, renewal, keep=keep, now=now)

        try:
            return await self._flights.join((wish.account_id, "renewed", refused.fingerprint), work, timeout)
        except DeadlineExceeded:
            return None  # another task is still at it

    async def report(self, account_id: str, refused: Token) -> bool:
        """As `Tokens.report`."""
        self.forget(account_id)
        wish = Wish(account_id)
        return await perform_async(reported(wish.account_id, refused, self._patience, self._clock), self._ask.do)

    def forget(self, account_id: str) -> None:
        """As `Tokens.forget`."""
        name = Wish(account_id).account_id
        self._shelf.drop(name)
        self._flights.spoil(name)

    def forget_all(self) -> None:
        """As `Tokens.forget_all`."""
        self._shelf.clear()
        self._flights.spoil_all()

    def heed(self, event: Event) -> None:
        """As `Tokens.heed`."""
        if ends_tokens(event.type) and event.account_id is not None:
            self.forget(event.account_id)

    async def follow_events(self) -> AsyncFollowing:
        """As `Tokens.follow_events`, in a task: until `await following.stop()`, the end of an `async with`, or `close`."""
        following = AsyncFollowing(self._ask, heed=self.heed, clear=self.forget_all)
        await following.start()
        self._followings.append(following)
        return following

    async def close(self) -> None:
        """As `Tokens.close`."""
        while self._followings:
            await self._followings.pop().stop()
        await self._flights.close()
        self.forget_all()


def sharing(tokens: AsyncTokens, ask: AsyncAsker, patience: Patience) -> AsyncTokens:
    """As `tokens.sharing`."""
    other = copy.copy(tokens)
    other._ask, other._patience = ask, patience  # noqa: SLF001 - of this module
    return other
