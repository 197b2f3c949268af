"""Whether what is stored is handed out."""

from datetime import timedelta

import pytest

from domain_examples import HOUR, NOW, a_standing
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.vending import Renewal, is_fresh, remaining_needed

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
TEN_MINUTES = 10 * MINUTE
OF_AN_HOUR = Renewal(HOUR)
EXACT = Renewal(TEN_MINUTES, window=25 * SECOND)


def living(life: timedelta, *, generation: int = 2, refreshable: bool = True) -> CredentialVersion:
    changes = {"obtained_at": NOW, "expires_at": NOW + life, "generation": generation, "refreshable": refreshable}
    return a_standing(credential=changes).credential


@pytest.mark.parametrize(
    ("life", "min_ttl", "needed"),
    [
        (HOUR, MINUTE, MINUTE),
        (HOUR, timedelta(0), 5 * SECOND),
        (HOUR, 2 * HOUR, HOUR / 2),
        (30 * SECOND, MINUTE, 15 * SECOND),
        (30 * SECOND, timedelta(0), 3 * SECOND),
    ],
)
def test_no_more_is_asked_of_a_token_than_half_of_what_a_refresh_brought(
    life: timedelta, min_ttl: timedelta, needed: timedelta
) -> None:
    assert remaining_needed(living(life), min_ttl, OF_AN_HOUR) == needed


def test_what_an_import_had_left_does_not_shorten_what_a_caller_may_ask() -> None:
    imported = living(TEN_MINUTES, generation=1)
    later = NOW + 299 * SECOND
    assert not is_fresh(imported, min_ttl=TEN_MINUTES, now=later, renewal=OF_AN_HOUR)
    assert not is_fresh(imported, min_ttl=TEN_MINUTES, now=later)
    assert is_fresh(living(TEN_MINUTES), min_ttl=TEN_MINUTES, now=later, renewal=OF_AN_HOUR)
    assert is_fresh(imported, min_ttl=TEN_MINUTES, now=NOW, renewal=OF_AN_HOUR)


def test_an_import_is_asked_for_half_of_the_usual_life_at_most() -> None:
    assert remaining_needed(living(TEN_MINUTES, generation=1), 2 * HOUR, OF_AN_HOUR) == HOUR / 2
    assert remaining_needed(living(6 * HOUR, generation=1), 24 * HOUR, OF_AN_HOUR) == 3 * HOUR


def test_of_what_cannot_be_refreshed_what_came_is_all_there_is() -> None:
    last = living(TEN_MINUTES, generation=1, refreshable=False)
    assert remaining_needed(last, HOUR, OF_AN_HOUR) == TEN_MINUTES / 2


@pytest.mark.parametrize("generation", [1, 2])
def test_no_more_is_asked_than_is_left_when_the_provider_begins_to_refresh(generation: int) -> None:
    token = living(TEN_MINUTES, generation=generation)
    assert is_fresh(token, min_ttl=MINUTE, now=NOW + 545 * SECOND, renewal=EXACT)
    assert is_fresh(token, min_ttl=MINUTE, now=NOW + 575 * SECOND, renewal=EXACT)
    assert not is_fresh(token, min_ttl=MINUTE, now=NOW + 576 * SECOND, renewal=EXACT)
    assert is_fresh(token, min_ttl=10 * SECOND, now=NOW + 590 * SECOND, renewal=EXACT)
