"""How many requests a key may make, and an address without one: token buckets in the memory of this process.

In memory, because handing out a token takes no lock and no call, and goes on while Redis is down. With N processes a key may
have up to N times as much. No library fits: limits locks and keeps every key it has seen, aiolimiter makes callers wait,
pyrate-limiter wants a thread.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from time import monotonic
from typing import Any, Literal

from tokenkeep.domain.errors import RateLimited
from tokenkeep.domain.rate_limit import Rate, Taken, give_back, owe, take
from tokenkeep_api.client_addresses import neighbourhood

STRANGERS = Rate(per_s=10, burst=100)
"""What an address may ask without a valid key."""

ANSWER_HEADERS = "rate_limit"
"""Where in a request's state the headers wait that its answer is to bear."""

_MOST_BUCKETS = 10_000

State = MutableMapping[str, Any]
Limited = Literal["key_rate", "address_rate"]
Payer = Literal["key", "address", "guess"]


class Buckets:
    """A bounded table of buckets. The one that was used longest ago makes room: it is the one that misses least."""

    def __init__(self, name: str, rate: Rate, *, most: int = _MOST_BUCKETS) -> None:
        self._rate = rate
        self._most = most
        self._full_at: OrderedDict[bytes | str, float] = OrderedDict()
        # draft-ietf-httpapi-ratelimit-headers: quota, window; then what remains of it, and until when.
        self._policy = (b"ratelimit-policy", f'"{name}";q={rate.burst};w={max(1, math.ceil(rate.window_s))}'.encode())
        self._state = f'"{name}";r=%d;t=%d'

    def __contains__(self, key: bytes | str) -> bool:
        return key in self._full_at

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: bytes | str, *, now: float) -> Taken:
        """One request of this key."""
        taken = take(self._full_at.get(key, now), self._rate, now=now)
        self._full_at[key] = taken.full_at
        self._keep(key)
        return taken

    def look(self, key: bytes | str, *, now: float) -> Taken:
        """What a request of this key would be told, without one."""
        return take(self._full_at.get(key, now), self._rate, now=now)

    def owe(self, key: bytes | str, *, now: float) -> None:
        """One request of this key, whatever it has left."""
        self._full_at[key] = owe(self._full_at.get(key, now), self._rate, now=now)
        self._keep(key)

    def give_back(self, key: bytes | str) -> None:
        """The last request of this key does not count."""
        if key in self._full_at:
            self._full_at[key] = give_back(self._full_at[key], self._rate)

    def forget(self, key: bytes | str) -> None:
        """There is no such key any more."""
        self._full_at.pop(key, None)

    def _keep(self, key: bytes | str) -> None:
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)

    def headers(self, taken: Taken) -> list[tuple[bytes, bytes]]:
        """What an answer tells of the bucket."""
        state = self._state % (taken.remaining, math.ceil(taken.reset_s))
        return [self._policy, (b"ratelimit", state.encode())]


class RateLimits:
    """The buckets of the keys that were recognised here, and of the addresses that show none.

    A key that was not recognised before is a stranger's until it is: his address pays for the guess, and gets it back when the
    guess was right. So whoever guesses from an address is slowed, and the keys that are in use there are not.
    """

    def __init__(
        self,
        rate: Rate | None,
        *,
        strangers: Rate = STRANGERS,
        refused: Callable[[Limited], None] = lambda _: None,
        clock: Callable[[], float] = monotonic,
        most: int = _MOST_BUCKETS,
    ) -> None:
        self._keys = None if rate is None else Buckets("key", rate, most=most)
        self._strangers = Buckets("address", strangers, most=most)
        self._refused = refused
        self._clock = clock
        self._guesses: set[bytes] = set()

    def charge_stranger(self, address: str | None, state: State) -> None:
        """One request without a key. Raises `RateLimited`."""
        if self._keys is not None:
            taken = self._strangers.take(neighbourhood(address), now=self._clock())
            self._settle(self._strangers, taken, state, "address_rate", "from this address without a valid API key")

    def admit_stranger(self, address: str | None, state: State) -> None:
        """A request that may still prove itself, from an address that has something left. Raises `RateLimited`.

        Those that do are many at once now and then, so none of them pays; `charge_unproven` is for the others.
        """
        if self._keys is not None:
            looked = self._strangers.look(neighbourhood(address), now=self._clock())
            self._settle(self._strangers, looked, state, "address_rate", "from this address without a valid API key")

    def charge_unproven(self, address: str | None) -> None:
        """A request that was admitted and has not proven itself: however many came at once, all of them are paid for."""
        if self._keys is not None:
            self._strangers.owe(neighbourhood(address), now=self._clock())

    def begin(self, key_hash: bytes, address: str | None, state: State) -> Payer | None:
        """One request with this key, before it is looked up, and who pays for it. Raises `RateLimited`."""
        if self._keys is None:
            return None
        if key_hash in self._keys:
            self._charge_key(self._keys, key_hash, state)
            return "key"
        if key_hash in self._guesses:  # the same guess at the same time is no other guess
            return "guess"
        self.charge_stranger(address, state)
        self._guesses.add(key_hash)
        return "address"

    def take_known(self, key_hash: bytes) -> list[tuple[bytes, bytes]] | None:
        """One request with a key that was recognised before, and what its answer tells of the bucket.

        None, with nothing taken, where that is not all that there is to say: `begin` and `end` do.
        """
        if self._keys is None:
            return []
        if key_hash not in self._keys:
            return None
        taken = self._keys.take(key_hash, now=self._clock())
        return None if taken.retry_after_s is not None else self._keys.headers(taken)

    def give_back_known(self, key_hash: bytes) -> None:
        """The last `take_known` of this key does not count."""
        if self._keys is not None:
            self._keys.give_back(key_hash)

    def end(
        self, key_hash: bytes, address: str | None, state: State, *, payer: Payer | None, recognised: bool | None
    ) -> None:
        """What came of the look-up, None if it came to nothing. Raises `RateLimited`."""
        if self._keys is None:
            return
        if payer == "address":
            self._guesses.discard(key_hash)
            if recognised is not False:
                self._strangers.give_back(neighbourhood(address))
        if recognised is False:
            self._keys.forget(key_hash)
        elif recognised and payer != "key":
            self._charge_key(self._keys, key_hash, state)

    def _charge_key(self, keys: Buckets, key_hash: bytes, state: State) -> None:
        self._settle(keys, keys.take(key_hash, now=self._clock()), state, "key_rate", "with this API key")

    def _settle(self, buckets: Buckets, taken: Taken, state: State, reason: Limited, who: str) -> None:
        state[ANSWER_HEADERS] = buckets.headers(taken)
        if taken.retry_after_s is not None:
            self._refused(reason)
            raise RateLimited(who, retry_after=taken.retry_after_s)
