"""One worker's share of limits while nobody can tell what the others take."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.application.admission_ports import Asked, Delay
from tokenkeep.application.local_limits import LocalLimits
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.rate_limit import Rate, take_some
from tokenkeep.domain.source_limits import Bound

SOURCE = SourceId(uuid4())


def asked(*bounds: Bound, count: int = 1, demanded: bool = False) -> Asked:
    return Asked(SOURCE, bounds, count, demanded, "group")


@given(
    per_s=st.floats(0.1, 1_000),
    burst=st.integers(1, 500),
    asks=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 100)), max_size=50),
)
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(
    per_s: float, burst: int, asks: list[tuple[float, int]]
) -> None:
    rate, full_at, now, given_out = Rate(per_s, burst), 0.0, 0.0, 0
    for passed, count in asks:
        now += passed
        some = take_some(full_at, rate, count, now=now)
        full_at, given_out = some.full_at, given_out + some.count
        assert given_out <= burst + per_s * now + 1
        assert some.count == count or take_some(full_at, rate, 1, now=now + some.wait_s + 1e-4).count == 1


def test_a_worker_begins_with_an_empty_bucket_and_fills_it_at_its_share_of_the_rate() -> None:
    limits, bound = LocalLimits(), Bound("b", Rate(80.0, 80))
    limits.know_workers(4)
    first = limits.take(asked(bound, count=50), now=1_000.0)
    assert (first.count, first.why) == (0, Delay.RATE)
    assert limits.take(asked(bound, count=50), now=1_000.5).count in {6, 10}  # a fifth is kept for demands
    assert limits.take(asked(bound, count=50, demanded=True), now=1_000.5).count in {0, 4}
    assert limits.take(asked(bound, count=500, demanded=True), now=2_000.0).count == 20


def test_before_anybody_has_said_how_many_share_they_are_taken_to_be_many() -> None:
    bound = Bound("b", concurrency=16)
    assert LocalLimits().take(asked(bound, count=16, demanded=True), now=0.0).count == 2


def test_places_are_free_again_when_they_are_left() -> None:
    limits, bound = LocalLimits(), Bound("b", concurrency=3)
    limits.know_workers(1)
    limits.enter([bound], 3)
    full = limits.take(asked(bound, count=2), now=0.0)
    assert (full.count, full.why) == (0, Delay.CONCURRENCY)
    limits.leave([bound])
    assert limits.take(asked(bound, count=2), now=0.0).count == 1


def test_the_narrowest_bound_decides_and_nothing_is_taken_of_the_others_besides() -> None:
    limits = LocalLimits()
    limits.know_workers(1)
    wide, narrow = Bound("wide", Rate(10.0, 100)), Bound("narrow", Rate(1.0, 5))
    limits.take(asked(wide, narrow, demanded=True), now=0.0)
    assert limits.take(asked(wide, narrow, count=50, demanded=True), now=100.0).count == 5
    assert limits.take(asked(wide, count=100, demanded=True), now=100.0).count == 95
