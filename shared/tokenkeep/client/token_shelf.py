"""Tokens at hand, for as long as they are good: pure, bounded, by a clock that goes forward only."""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from math import ceil

from tokenkeep.client.answers.token import Token
from tokenkeep.client.api_wire import Reply
from tokenkeep.client.asking import Ask
from tokenkeep.client.calls import one
from tokenkeep.client.effects import Call
from tokenkeep.domain.errors import InvalidInput
from tokenkeep.domain.ids import IdKind, format_id, parse_id

LONGEST_WAIT_S = 30.0
"""For longer than that the server waits for no refresh, in seconds."""

_MOST_TTL_S = 86_400
_DATE_S = 1.0
"""What a Date header leaves out of a second, and how old it may be."""


@dataclass(frozen=True, slots=True)
class Vended:
    """A token, and how many seconds of life it had left by the server's own clock. None: it does not expire."""

    token: Token
    left: float | None


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
        """Equal wishes at one time are one request. The account's id comes first."""
        return self.account_id, f"{self.min_ttl}", "forced" if self.force else "vended"

    def forced(self, wait: float) -> "Wish":
        """The same, of which only a newer token will do."""
        return replace(self, force=True, wait=max(0.0, min(wait, LONGEST_WAIT_S)))

    def ask(self) -> Ask[Vended]:
        """The call of the API."""
        body = {"min_ttl": ceil(self.min_ttl), "wait": int(self.wait), "force": self.force}
        call = Call("POST", f"/v1/accounts/{self.account_id}/token", body=body)
        return Ask(call, _vended, repeatable=not self.force, needs=self.wait)


@dataclass(slots=True)
class _Kept:
    token: Token = field(repr=False)
    left_at_first: float | None
    ends: float


class Shelf:
    """Tokens by account; of more than `most`, the one that was asked for longest ago makes room.

    A token is given while it has `min_ttl` left; one that had less from the beginning, because its provider gives no more, for
    half of what it had. One that does not expire is kept for `keep` seconds.
    """

    def __init__(self, *, most: int, keep: float) -> None:
        if most < 1:
            raise InvalidInput("most_tokens", "is 1 at least")
        self._most = most
        self._keep = keep
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

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
        if first is not None and kept.ends - now < (wish.min_ttl if first > wish.min_ttl else first / 2):
            return None
        self._kept.move_to_end(wish.account_id)
        return kept.token

    def put(self, account_id: str, vended: Vended, *, now: float) -> None:
        """Keep a token that has just come."""
        ends = now + (self._keep if vended.left is None else vended.left)
        self._kept[account_id] = _Kept(vended.token, vended.left, ends)
        self._kept.move_to_end(account_id)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, account_id: str) -> None:
        """Keep it no more."""
        self._kept.pop(account_id, None)

    def clear(self) -> None:
        """Keep none."""
        self._kept.clear()


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
