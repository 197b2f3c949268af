"""The buckets of an API process."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tokenkeep.domain.errors import RateLimited
from tokenkeep.domain.rate_limit import Rate
from tokenkeep_api.rate_limits import Buckets, Limited, RateLimits

ADDRESS = "192.0.2.1"
GOOD, OTHER = b"good", b"other"


@dataclass
class Door:
    """Limits with a clock that stands still, and what was refused."""

    keys: Rate | None = field(default_factory=lambda: Rate(1, 3))
    strangers: Rate = field(default_factory=lambda: Rate(1, 2))
    now: float = 100.0
    refused: list[Limited] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limits = RateLimits(
            self.keys, strangers=self.strangers, refused=self.refused.append, clock=lambda: self.now, most=100
        )

    def ask(self, key: bytes, *, good: bool | None, address: str | None = ADDRESS) -> dict[str, Any]:
        """One request, looked up with this result."""
        state: dict[str, Any] = {}
        payer = self.limits.begin(key, address, state)
        self.limits.end(key, address, state, payer=payer, recognised=good)
        return state


def test_a_key_has_its_burst_wherever_it_is_used_from() -> None:
    door = Door()
    for number in range(3):
        door.ask(GOOD, good=True, address=f"192.0.2.{number}")
    with pytest.raises(RateLimited) as refusal:
        door.ask(GOOD, good=True, address="192.0.2.9")
    assert refusal.value.retry_after == 1.0
    door.ask(OTHER, good=True)
    door.now += 1
    door.ask(GOOD, good=True)
    assert door.refused == ["key_rate"]


def test_headers_tell_the_policy_and_what_is_left() -> None:
    door = Door()
    told = dict(door.ask(GOOD, good=True)["rate_limit"])
    assert told == {b"ratelimit-policy": b'"key";q=3;w=3', b"ratelimit": b'"key";r=2;t=1'}
    state: dict[str, Any] = {}
    door.limits.charge_stranger(ADDRESS, state)
    assert dict(state["rate_limit"])[b"ratelimit"] == b'"address";r=1;t=1'


def test_guesses_from_an_address_run_out_whichever_keys_are_guessed() -> None:
    door = Door()
    door.ask(b"guess-1", good=False)
    door.ask(b"guess-2", good=False)
    for guess in (b"guess-3", GOOD):
        with pytest.raises(RateLimited):
            door.ask(guess, good=True)
    door.ask(GOOD, good=True, address="192.0.2.2")
    assert door.refused == ["address_rate"] * 2


def test_a_key_that_is_in_use_is_not_refused_for_its_neighbours_guesses() -> None:
    door = Door()
    door.ask(GOOD, good=True)
    for number in range(2):
        door.ask(b"guess-%d" % number, good=False)
    with pytest.raises(RateLimited):
        door.ask(b"guess-3", good=False)
    door.ask(GOOD, good=True)


def test_right_keys_cost_their_address_nothing() -> None:
    door = Door()
    for number in range(50):
        door.ask(b"key-%d" % number, good=True)
    door.ask(b"database-away", good=None)


def test_the_same_guess_at_the_same_time_is_paid_for_once() -> None:
    door = Door()
    payers = [door.limits.begin(GOOD, ADDRESS, {}) for _ in range(10)]
    assert payers == ["address", *["guess"] * 9]


def test_a_withdrawn_key_is_a_stranger_again() -> None:
    door = Door()
    door.ask(GOOD, good=True)
    door.ask(GOOD, good=False)
    door.ask(GOOD, good=False)
    door.ask(GOOD, good=False)
    with pytest.raises(RateLimited):
        door.ask(GOOD, good=False)


def test_neighbours_in_one_ipv6_network_are_one_address() -> None:
    door = Door()
    door.limits.charge_stranger("2001:db8::1", {})
    door.limits.charge_stranger("2001:db8::2", {})
    with pytest.raises(RateLimited):
        door.limits.charge_stranger("2001:db8::3", {})
    door.limits.charge_stranger("2001:db8:0:1::1", {})
    door.limits.charge_stranger(None, {})


def test_where_nobody_is_limited_nothing_is_counted_or_told() -> None:
    door = Door(keys=None)
    for _ in range(1_000):
        assert door.ask(GOOD, good=False) == {}
        door.limits.charge_stranger(ADDRESS, {})


def test_the_table_stays_bounded_and_keeps_who_asks_most() -> None:
    buckets = Buckets("key", Rate(1, 3), most=100)
    for number in range(100_000):
        buckets.take(b"%d" % number, now=0.0)
        if number % 50 == 0:
            taken = buckets.take(b"busy", now=0.0)
    assert len(buckets) == 100
    assert taken.retry_after_s is not None
