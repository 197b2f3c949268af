"""However many accounts come at once, the load that follows is even: a fleet of them, by the real rules, over some hours."""

import random
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from domain_examples import HOUR, NOW, STRICT, a_standing, an_account, an_attempt
from tokenkeep.domain.arrival import Arrival
from tokenkeep.domain.credential import TokenSet
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.lease import Lease, Phase
from tokenkeep.domain.lives_left import LivesLeft
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.settlement import settle
from tokenkeep.domain.standing import Standing
from tokenkeep.domain.transitions import first_scheduled
from tokenkeep.domain.verdict import Granted

FLEET = 6_000
PART = timedelta(minutes=5)
"""Parts in which the load is counted: each holds some 770 refreshes, so chance alone moves it by 11 % (three sigma)."""


def imported(number: int, *, at: datetime, life: timedelta, lives: LivesLeft | None = None) -> Standing:
    account = replace(an_account(), id=AccountId(UUID(int=number * 7919)))
    arrived = {"obtained_at": at, "generation": 1, "expires_at": at + life, "installed_fence": 0}
    stored = a_standing(credential=arrived).credential
    standing = Standing(account, Lease(fence=0, epoch=1), stored)
    arrival = Arrival(NOW, lives=lives)
    return replace(standing, lease=first_scheduled(standing, now=at, policy=STRICT.policy, arrival=arrival))


def refreshed(standing: Standing, *, at: datetime) -> Standing:
    """The account after a refresh at this moment that brought a token for an hour."""
    attempt = replace(an_attempt(), fence=standing.lease.fence + 1, sent_at=at, account_id=standing.account.id)
    lease = replace(standing.lease, fence=attempt.fence, phase=Phase.SENT, attempt_id=attempt.id)
    tokens = TokenSet(Secret("a"), refresh_token=Secret("r"), expires_at=at + HOUR)
    return settle(replace(standing, lease=lease), attempt, Granted(tokens), now=at, rules=STRICT).standing


def moments(standing: Standing, *, first: datetime | None = None, hours: float) -> list[datetime]:
    """When this account is refreshed, each time in time."""
    found = []
    at = first or standing.lease.next_refresh_at
    while at is not None and at < NOW + hours * HOUR:
        assert first is not None or standing.credential.expires_at is None or at <= standing.credential.expires_at
        first = None
        found.append(at)
        standing = refreshed(standing, at=at)
        at = standing.lease.next_refresh_at
    return found


def is_even(found: list[datetime], *, begins: timedelta, hours: float) -> bool:
    """Whether the load stays within a fifth of its mean from then on."""
    counts = Counter((moment - NOW) // PART for moment in found)
    parts = [counts[number] for number in range(begins // PART, int(hours * HOUR / PART))]
    mean = sum(parts) / len(parts)
    assert all(mean * 0.8 < count < mean * 1.2 for count in parts), [round(count / mean, 2) for count in parts]
    return True


@pytest.mark.parametrize("fresh", [True, False])
def test_an_import_of_a_whole_fleet_in_ten_minutes_leaves_no_trace(*, fresh: bool) -> None:
    """Fresh tokens from the end of the import on; tokens of any age from the end of their first life on."""
    dice = random.Random(4711)  # noqa: S311 - the same fleet each time
    found: list[datetime] = []
    for number in range(FLEET):
        at = NOW + timedelta(minutes=10 * dice.random())
        life = HOUR if fresh else HOUR * (0.05 + 0.95 * dice.random())
        found += moments(imported(number, at=at, life=life), hours=4)
    assert is_even(found, begins=timedelta(minutes=10) if fresh else HOUR, hours=4)


def test_an_import_out_of_a_running_system_is_even_from_its_end_on() -> None:
    """And nobody is refreshed more often for it. The first few hundred, by which it is recognised, came before."""
    dice = random.Random(4711)  # noqa: S311 - the same fleet each time
    lives = LivesLeft()
    for _ in range(500):
        lives.note(HOUR * dice.random())
    found: list[datetime] = []
    for number in range(FLEET):
        at, life = NOW + timedelta(minutes=10 * dice.random()), HOUR * (0.05 + 0.95 * dice.random())
        found += moments(imported(number, at=at, life=life, lives=lives), hours=4)
        lives.note(life)
    assert is_even(found, begins=timedelta(minutes=10), hours=4)


def test_a_catch_up_after_hours_of_downtime_is_followed_by_no_herd() -> None:
    dice = random.Random(4711)  # noqa: S311 - the same fleet each time
    found: list[datetime] = []
    for number in range(FLEET):
        standing = imported(number, at=NOW - 6 * HOUR, life=HOUR)
        found += moments(standing, first=NOW + timedelta(minutes=13 * dice.random()), hours=4)
    assert is_even(found, begins=HOUR, hours=4)


def test_an_account_that_is_refreshed_a_little_late_keeps_its_rhythm() -> None:
    standing = refreshed(imported(1, at=NOW, life=HOUR), at=NOW + HOUR)
    assert standing.lease.next_refresh_at is not None
    assert standing.lease.next_refresh_at - (NOW + HOUR) > HOUR / 2
