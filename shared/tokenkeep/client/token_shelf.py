"""Tokens at hand, for as long as they are good: pure, bounded, by a clock that goes forward only."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from math import ceil
from typing import TypeVar

from tokenkeep.client.answers.token import Token
from tokenkeep.client.api_wire import Reply
from tokenkeep.client.asking import Ask
from tokenkeep.client.calls import one
from tokenkeep.client.effects import Call
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import IdKind, format_id, parse_id

Result = TypeVar("Result")

LONGEST_WAIT_S = 30.0
"""For longer than that the server waits for no refresh, in seconds."""

_MOST_TTL_S = 86_400
_REST_S = 30.0
_DATE_S = 1.0
"""What a Date header leaves out of a second, and how old it may be."""


@dataclass(frozen=True, slots=True)
class Vended:
    """A token, and how many seconds of life it had left by the server's own clock. None: it does not expire."""

    token: Token
    left: float | None


@dataclass(frozen=True, slots=True)
class Renewal:
    """What came of a renewal. `vended` None: no newer token. `is_settled`: the server has said so; asking again soon is in vain."""

    vended: Vended | None
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller asks for: credentials of an account, good for `min_ttl` seconds, within `wait` seconds."""

    account_id: str
    min_ttl: float = 60.0
    wait: float = 10.0
    force: bool = False

    def __post_init__(self) -> None:
        """Refuse what can't be meant. Raises `InvalidInput`, which names the argument."""
        if not 0 <= self.min_ttl <= _MOST_TTL_S:
            raise InvalidInput("min_ttl", f"is in seconds, from 0 to {_MOST_TTL_S}")
        if not 0 <= self.wait <= LONGEST_WAIT_S:
            raise InvalidInput("wait", f"is in seconds, from 0 to {LONGEST_WAIT_S:g}")
        if not isinstance(self.account_id, str):
            raise InvalidInput("account_id", "expected an id such as acc_…")
        object.__setattr__(self, "account_id", _as_events_name_it(self.account_id))

    @property
    def key(self) -> tuple[str, ...]:
        """Equal wishes at one time are one request: who waits longer gets no hasty one's answer. The account's id comes first."""
        return self.account_id, f"{self.min_ttl}", f"{self.wait}", "forced" if self.force else "vended"

    def forced(self, wait: float) -> "Wish":
        """The same, of which only a newer token will do."""
        return replace(self, force=True, wait=max(0.0, min(wait, LONGEST_WAIT_S)))

    def ask(self) -> Ask[Vended]:
        """The call of the API, which gives a token and what is left of its life."""
        return self.asking(_vended)

    def asking(self, read: Callable[[Reply], Result]) -> Ask[Result]:
        """The call of the API. What the server does unasked is not told: it answers a request without a body fastest."""
        usual = Wish(self.account_id)
        wanted = {"min_ttl": ceil(self.min_ttl), "wait": self.wait, "force": self.force}
        body = None if self == usual else wanted
        call = Call("POST", f"/v1/accounts/{self.account_id}/token", body=body)
        return Ask(call, read, repeatable=not self.force, needs=self.wait)


@dataclass(slots=True)
class _Kept:
    token: Token = field(repr=False)
    left_at_first: float | None
    asked_ttl: float
    ends: float


@dataclass(frozen=True, slots=True)
class _Resting:
    token: Token = field(repr=False)
    until: float


class Shelf:
    """Tokens by account; of more than `most`, the one that was asked for longest ago makes room.

    A token is given while it has `min_ttl` left; one that had less from the beginning, though as much was asked for, because its
    provider gives no more, for half of what it had. One that does not expire is kept for `keep` seconds.
    """

    def __init__(self, *, most: int, keep: float) -> None:
        if most < 1:
            raise InvalidInput("most_tokens", "is 1 at least")
        self._most = most
        self._keep = keep
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._resting: OrderedDict[str, _Resting] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, wish: Wish, *, now: float) -> Token | None:
        """A token that is as wished; None if there is none. Never for a wish by force."""
        kept = self._kept.get(wish.account_id)
        if kept is None or wish.force:
            return None
        if kept.ends <= now:
            del self._kept[wish.account_id]
            return None
        first = kept.left_at_first
        if first is not None:
            is_all_there_is = first <= wish.min_ttl <= kept.asked_ttl
            if kept.ends - now < (first / 2 if is_all_there_is else wish.min_ttl):
                return None
        self._kept.move_to_end(wish.account_id)
        return kept.token

    def put(self, wish: Wish, vended: Vended, *, now: float) -> None:
        """Keep a token that has just come, as it was wished."""
        ends = now + (self._keep if vended.left is None else vended.left)
        self._kept[wish.account_id] = _Kept(vended.token, vended.left, wish.min_ttl, ends)
        self._kept.move_to_end(wish.account_id)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def settle(self, wish: Wish, refused: Token, renewal: Renewal, *, keep: bool, now: float) -> Token | None:
        """The newer token, if there is one. What comes of a renewal is not renewed again for a while, whoever refuses it.

        Some providers answer 401 where a scope is missing: each of their answers would be a refresh of the account. And one
        that can't be refreshed need not be waited for at each request. A short life's rest is a quarter of it.
        """
        vended = renewal.vended
        if vended is None:
            if renewal.is_settled:
                self._rest(wish.account_id, refused, now + _REST_S)
            return None
        if keep:
            self.put(wish, vended, now=now)
        rest = _REST_S if vended.left is None else min(_REST_S, vended.left / 4)
        self._rest(wish.account_id, vended.token, now + rest)
        return vended.token

    def _rest(self, account_id: str, token: Token, until: float) -> None:
        self._resting[account_id] = _Resting(token, until)
        self._resting.move_to_end(account_id)
        if len(self._resting) > self._most:
            self._resting.popitem(last=False)

    def is_resting(self, account_id: str, token: Token, *, now: float) -> bool:
        """Whether this very token came of a renewal a moment ago, or no other was to be had."""
        resting = self._resting.get(account_id)
        return resting is not None and now < resting.until and is_same(resting.token, token)

    def drop(self, account_id: str) -> None:
        """Keep it no more."""
        self._kept.pop(account_id, None)

    def clear(self) -> None:
        """Keep none."""
        self._kept.clear()
        self._resting.clear()


def is_same(one: Token, other: Token) -> bool:
    """Whether requests would bear the same credentials."""
    return (one.headers, one.query, one.path) == (other.headers, other.query, other.path)


@lru_cache(maxsize=10_000)
def _as_events_name_it(account_id: str) -> str:
    """An account's id, whichever way the caller wrote it. It is asked for with each request that is made."""
    return format_id(IdKind.ACCOUNT, parse_id(IdKind.ACCOUNT, account_id, field="account_id"))


def _vended(reply: Reply) -> Vended:
    token = one(Token)(reply)
    if token.expires_at is None:
        return Vended(token, None)
    # By the server's clock: this machine's may be wrong.
    return Vended(token, (token.expires_at - _said_at(reply)).total_seconds() - _DATE_S)


def _said_at(reply: Reply) -> datetime:
    try:
        said = parsedate_to_datetime(reply.headers.get("date", ""))
    except ValueError:
        return datetime.now(UTC)
    return said if said.tzinfo is not None else said.replace(tzinfo=UTC)
