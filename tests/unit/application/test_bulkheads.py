"""What one worker takes on of sources that share a provider."""

from uuid import uuid4

from domain_examples import granted
from tokenkeep.application.bulkheads import Bulkheads
from tokenkeep.application.known_limits import SourceLimits
from tokenkeep.domain.account import FailureReason
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.verdict import Unavailable


def sources(count: int, bulkhead: str = "provider:p") -> list[SourceLimits]:
    return [SourceLimits(SourceId(uuid4()), "p", (), bulkhead) for _ in range(count)]


def test_small_sources_of_a_provider_that_says_nothing_are_silent_together_until_one_is_answered() -> None:
    bulkheads, small, [elsewhere] = Bulkheads(100), sources(9), sources(1, "provider:q")
    for one in small[:8]:
        bulkheads.enter(one, 1, now=0.0)
    assert not bulkheads.is_silent(small[8], now=1.0)
    assert bulkheads.is_silent(small[8], now=3.0)
    assert not bulkheads.is_silent(elsewhere, now=3.0)
    timeout = Unavailable(FailureReason.TIMEOUT, maybe_spent=True)
    bulkheads.note_call(small[0].source_id, timeout, took_s=3.0, now=3.0)
    assert bulkheads.is_silent(small[8], now=3.1)
    bulkheads.note_call(small[1].source_id, granted(), took_s=3.1, now=3.1)
    assert not bulkheads.is_silent(small[8], now=3.2)


def test_sources_of_one_provider_leave_the_others_as_much_as_they_have() -> None:
    bulkheads, shared, [elsewhere] = Bulkheads(10), sources(4), sources(1, "provider:q")
    for one in shared:
        bulkheads.enter(one, min(bulkheads.free(one, demanded=False, now=0.0), 4), now=0.0)
    assert bulkheads.under_way == 10
    assert bulkheads.free(elsewhere, demanded=False, now=0.0) == 10
    for one, count in zip(shared, (4, 4, 2), strict=False):
        bulkheads.leave(one, count)
    assert bulkheads.under_way == 0
    assert bulkheads.free(shared[0], demanded=False, now=0.0) == 10


def test_a_source_is_not_silent_at_once_beside_an_account_of_its_provider_that_takes_long() -> None:
    bulkheads, (slow, many) = Bulkheads(100), sources(2)
    bulkheads.enter(slow, 1, now=0.0)
    bulkheads.enter(many, 50, now=3.0)
    assert not bulkheads.is_silent(many, now=3.1)
    assert bulkheads.is_silent(many, now=5.1)
