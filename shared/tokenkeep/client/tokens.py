"""`client.tokens`: credentials at hand for programs that block. Threads share it, and each process has its own."""

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from tokenkeep.client.answers.token import Token
from tokenkeep.client.asking import Patience
from tokenkeep.client.clocks import forward
from tokenkeep.client.errors import DeadlineExceeded
from tokenkeep.client.event import Event
from tokenkeep.client.following import Following, ends_tokens
from tokenkeep.client.performing import perform
from tokenkeep.client.performing_asks import Asker
from tokenkeep.client.renewing import renewed, reported
from tokenkeep.client.single_flight import Flight, Flights
from tokenkeep.client.token_shelf import Shelf, Wish, is_same


@dataclass(frozen=True, slots=True)
class Keeping:
    """How many tokens are kept, and for how many seconds those that do not expire."""

    most: int = 10_000
    keep: float = 300.0

    def shelf(self) -> Shelf:
        """An empty one. Raises `InvalidInput`."""
        return Shelf(most=self.most, keep=self.keep)


class _Here:
    """What one process has. After a fork a lock may be held by a thread that is not there any more."""

    def __init__(self, keeping: Keeping) -> None:
        self.pid = os.getpid()
        self.shelf = keeping.shelf()
        self.flights: Flights[Token | None] = Flights()


class Tokens:
    """Tokens, kept until they run out. Of a client: `client.tokens`; `client.token` is short for `get`."""

    def __init__(self, ask: Asker, patience: Patience, keeping: Keeping, clock: Callable[[], float] = forward) -> None:
        self._ask = ask
        self._patience = patience
        self._keeping = keeping
        self._clock = clock
        self._at_hand = _Here(keeping)
        self._followings: list[Following] = []

    def get(self, account_id: str, *, min_ttl: float = 60.0, wait: float = 10.0, force: bool = False) -> Token:
        """Credentials of an account, from memory while they are good.

        Threads that ask at one time make one request. A token is given from memory until it has less than `min_ttl` left; one
        that its provider gives for less than that, for half of its life.

        Args:
            account_id: Whose.
            min_ttl: For how many seconds they are to be good at least.
            wait: For how many seconds the server may wait for a refresh, up to 30.
            force: Only ones will do that are newer than this request.

        Raises:
            ReauthorizationRequired: Its end user is needed: send them to the error's `connect_url`.
            AccountDisabled, AccountNotReady, SourcePaused: There are none; `reason` says why.
            TokenUnavailable: None could be had in time; try again after `retry_after` seconds.
            Unreachable, DeadlineExceeded: The server could not be had.
        """
        wish, here = Wish(account_id, min_ttl, wait, force), self._here()

        def work(flight: Flight) -> Token:
            vended = self._ask(wish.ask())
            with here.flights.lock:
                if not flight.spoiled:
                    here.shelf.put(wish, vended, now=self._clock())
            return vended.token

        found = here.flights.join(
            wish.key, work, lambda: here.shelf.find(wish, now=self._clock()), self._patience.timeout + wait
        )
        assert found is not None  # noqa: S101 - work has always one
        return found

    def renew(self, account_id: str, refused: Token, *, timeout: float = 20.0) -> Token | None:
        """A newer token in the place of one that the provider refused (401), which is reported; None if none could be had in time.

        However many threads meet the refusal, and processes too, the account is refreshed once. What comes of it is not renewed
        again for half a minute: None. `timeout` is in seconds, all together. `TokenkeepAuth` does this by itself.

        Raises:
            AccountDisabled: There will be none.
        """
        patience = replace(self._patience, timeout=timeout)
        wish, here = Wish(account_id), self._here()
        with here.flights.lock:
            now = self._clock()
            at_hand = here.shelf.find(wish, now=now)
            if at_hand is not None and not is_same(at_hand, refused):
                return at_hand  # somebody else has met the refusal before
            if here.shelf.is_resting(wish.account_id, refused, now=now):
                return None
            here.shelf.drop(wish.account_id)

        def work(flight: Flight) -> Token | None:
            renewal = perform(renewed(wish, refused, patience=patience, clock=self._clock), self._ask.do)
            with here.flights.lock:
                now, keep = self._clock(), not flight.spoiled
                return here.shelf.settle(wish, refused, renewal, keep=keep, now=now)

        try:
            return here.flights.join((wish.account_id, "renewed", refused.fingerprint), work, lambda: None, timeout)
        except DeadlineExceeded:
            return None  # another thread is still at it

    def report(self, account_id: str, refused: Token) -> bool:
        """Tell that the provider refused these credentials, and keep them no more; whether that was taken. `renew` does it by itself."""
        self.forget(account_id)
        wish = Wish(account_id)
        return perform(reported(wish.account_id, refused, self._patience, self._clock), self._ask.do)

    def forget(self, account_id: str) -> None:
        """Keep an account's token no more; also not one that is being fetched just now."""
        name, here = Wish(account_id).account_id, self._here()
        with here.flights.lock:
            here.shelf.drop(name)
            here.flights.spoil(name)

    def forget_all(self) -> None:
        """Keep none."""
        here = self._here()
        with here.flights.lock:
            here.shelf.clear()
            here.flights.spoil_all()

    def heed(self, event: Event) -> None:
        """Forget the token of an account to which this has happened. For handlers of a subscription of your own."""
        if ends_tokens(event.type) and event.account_id is not None:
            self.forget(event.account_id)

    def follow_events(self) -> Following:
        """Heed what happens from now on, in a thread of its own, until `stop()`, the end of a `with` block, or the client's `close`.

        Reads the feed of events (scope `events:read`). To be called in each process, after it was forked. What was kept before
        is forgotten.

        Raises:
            NotAllowed, NotAuthenticated: The key may not read events.
            Unreachable: The feed can't be had.
        """
        following = Following(self._ask, heed=self.heed, clear=self.forget_all)
        following.start()
        self._followings.append(following)
        return following

    def close(self) -> None:
        """Follow no events any more, and keep no token."""
        self._here()  # after a fork, those that are followed are the parent's
        while self._followings:
            self._followings.pop().stop()
        self.forget_all()

    def _here(self) -> _Here:
        if self._at_hand.pid != os.getpid():
            self._at_hand, self._followings = _Here(self._keeping), []
        return self._at_hand


def sharing(tokens: Tokens, ask: Asker, patience: Patience) -> Tokens:
    """The same tokens, for a client with other patience."""
    other = copy.copy(tokens)
    other._ask, other._patience = ask, patience  # noqa: SLF001 - of this module
    return other
