"""When accounts that come in by the thousand are refreshed first: spread out, so that they never come due as a herd."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tokenkeep.domain.account import Account
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.due_time import next_refresh_at, place_in_round, place_of_its_own
from tokenkeep.domain.expiry_notice import due_for_notice
from tokenkeep.domain.lease import Lease
from tokenkeep.domain.lives_left import LivesLeft
from tokenkeep.domain.refresh_policy import RefreshPolicy, spread

OVERDUE_WINDOW = timedelta(minutes=5)
OVERDUE_IN_A_WINDOW = 30_000
"""100 a second on average. Who is in a hurry asks for a token: that refreshes at once."""

_DRAW_OF_PLACES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """An account's place in an import: when that began, and how many came before it that can't wait for an end.

    `lives`: what those before it of its source had left, as far as is known.
    """

    began_at: datetime
    overdue: int = 0
    lives: LivesLeft | None = None


def is_overdue(credential: CredentialVersion, *, now: datetime) -> bool:
    """Whether a refresh has no end to wait for: the access token has run out, or nobody said how long it lives."""
    if not credential.refreshable:
        return False
    return credential.expires_at is None or credential.expires_at <= now


def arrival_due_at(
    account: Account,
    credential: CredentialVersion,
    lease: Lease,
    arrival: Arrival,
    *,
    now: datetime,
    policy: RefreshPolicy,
    idle_life: timedelta | None = None,
) -> datetime:
    """When an account that came with many others is refreshed first.

    While its access token lives: evenly over the round that it joins, and in time. Where the tokens before it had all kinds of lives left, it
    has a place in that round already, and keeps it. Else uniformly over a window of five minutes,
    the first one for the first 30,000 of the import, the next one for the next.
    """
    share = spread(account.id, credential.generation)
    if is_overdue(credential, now=now):
        window = arrival.overdue // OVERDUE_IN_A_WINDOW
        return max(arrival.began_at + window * OVERDUE_WINDOW, now) + OVERDUE_WINDOW * share
    told = credential.told_refresh_end
    if told is not None and told <= now:
        # Presented once nothing can be lost by it any more.
        return (credential.expires_at or now) + OVERDUE_WINDOW * share
    latest = next_refresh_at(credential, account, policy, idle_life=idle_life, jitter=0.0) or now
    if told is not None and told < latest:
        return latest
    # Ends that are told ahead would gather them as well.
    if due_for_notice(latest, lease) not in {None, latest}:
        latest = due_for_notice(latest, lease) or latest
        return now + max(latest - now, timedelta(0)) * share
    room = (
        0.0 if arrival.lives is None or not credential.expires_at else arrival.lives.room(credential.expires_at - now)
    )
    if spread(account.id, credential.generation + _DRAW_OF_PLACES) < room:
        return max(place_of_its_own(credential, account, policy, idle_life=idle_life) or now, now)
    return place_in_round(credential, account, policy, start=now, idle_life=idle_life) or now
