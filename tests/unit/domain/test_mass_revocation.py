"""How many revocations at once are too many."""

from datetime import timedelta

import pytest

from domain_examples import NOW
from tokenkeep.domain.mass_revocation import RevocationGuard

GUARD = RevocationGuard()


@pytest.mark.parametrize(
    ("accounts", "needed"), [(1, 5), (5, 5), (8, 8), (10, 10), (50, 10), (60, 12), (100, 20), (1_000_000, 20)]
)
def test_how_long_a_run_must_be(accounts: int, needed: int) -> None:
    assert GUARD.run_length(accounts) == needed
    moments = [NOW + timedelta(seconds=n) for n in range(needed)]
    assert GUARD.run_began(moments[:-1], accounts=accounts) is None
    assert GUARD.run_began(moments, accounts=accounts) == NOW


def test_a_run_begins_with_the_oldest_of_its_latest() -> None:
    moments = [NOW - timedelta(minutes=9), *(NOW + timedelta(seconds=n) for n in range(20))]
    assert GUARD.run_began(list(reversed(moments)), accounts=100) == NOW


def test_revocations_that_are_few_among_many_grants_are_ordinary() -> None:
    assert GUARD.is_unusual(accounts=100, granted=80)
    assert not GUARD.is_unusual(accounts=100, granted=81)
    assert GUARD.most_grants == 81


def test_no_more_accounts_need_to_be_counted_than_change_the_answer() -> None:
    assert GUARD.run_length(GUARD.most_accounts) == GUARD.run_length(10**9)
