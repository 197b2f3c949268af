"""When credentials are refreshed next: before the first of the things ends that a refresh can still save."""

from datetime import datetime, timedelta
from math import sqrt

from tokenkeep.domain.account import Account
from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.refresh_policy import RefreshPolicy, spread

_OTHER_DRAW = 1_000_000_000
"""Makes a second number of an account and a generation."""

_AS_GOOD_AS_NEW = 1.25
_LONG_DEAD = 0.25


def next_refresh_at(
    credential: CredentialVersion,
    account: Account,
    policy: RefreshPolicy,
    *,
    idle_life: timedelta | None = None,
    steady: bool = False,
    jitter: float | None = None,
) -> datetime | None:
    """When credentials come due for a refresh; None when nothing calls for one, or they can't be refreshed.

    A refresh token that ends before its access token does is used before its own end, and one that dies when it is not used
    for `idle_life` before that has passed, though the access token may live on, or for ever. `steady`: the latest refresh
    has not moved the refresh token's end. `jitter` is in [0, 1) and the account's own unless it is given; 0 is the latest time.
    """
    if not credential.refreshable or (credential.expires_at is None and idle_life is None):
        return None
    obtained_at = credential.obtained_at
    ends = (credential.expires_at, _idle_end(credential, idle_life), _end_to_forestall(credential, steady=steady))
    first = min(end for end in ends if end is not None)
    share = spread(account.id, credential.generation) if jitter is None else jitter
    due = policy.due_at(obtained_at=obtained_at, expires_at=first, jitter=share)
    due = policy.in_window(due, expires_at=credential.expires_at, jitter=share)
    told = credential.told_refresh_end
    if told is not None and obtained_at < told < due:
        # By then nothing is to be had for it any more, so the access token is used to its own end.
        return credential.expires_at
    return due


def place_in_round(
    credential: CredentialVersion,
    account: Account,
    policy: RefreshPolicy,
    *,
    start: datetime,
    idle_life: timedelta | None = None,
    steady: bool = False,
) -> datetime | None:
    """When credentials come due whose account has no place yet in the round of its fleet; None as for `next_refresh_at`.

    Never later than they would come due anyway. Accounts that come together, however suddenly, are refreshed evenly from then on: each
    waits for what would be left of a round that began long ago (the residual life of a renewal process; Cox, Renewal Theory, 1962, section 5).
    """

    def due(jitter: float) -> datetime | None:
        return next_refresh_at(credential, account, policy, idle_life=idle_life, steady=steady, jitter=jitter)

    latest, earliest = due(0.0), due(1.0)
    if latest is None or earliest is None:
        return None
    longest = max((latest - start).total_seconds(), 0.0)
    shortest = min(max((earliest - start).total_seconds(), 0.0), longest)
    # A long round is met more often than a short one, in proportion to its length.
    size = spread(account.id, credential.generation + _OTHER_DRAW)
    whole = sqrt(shortest**2 + size * (longest**2 - shortest**2))
    return start + timedelta(seconds=whole * spread(account.id, credential.generation))


def place_of_its_own(
    credential: CredentialVersion, account: Account, policy: RefreshPolicy, *, idle_life: timedelta | None = None
) -> datetime | None:
    """When credentials come due whose account arrives with a place of its own, out of a system that kept it fresh.

    By a jitter that nothing else goes by, so that the due time tells the first refresh how it was arrived at.
    """
    jitter = spread(account.id, credential.generation + _OTHER_DRAW)
    return next_refresh_at(credential, account, policy, idle_life=idle_life, jitter=jitter)


def has_lost_its_place(former: CredentialVersion, credential: CredentialVersion, *, brought_one: bool = False) -> bool:
    """Whether a refresh shows that the account's rhythm is not its own.

    Its first one, if the token that it came with was partly spent: with many others, as a rule; unless it brought a place of its own. And
    one that came when the token had been dead for long: after a downtime all come back together.
    """
    lived, lives = former.lifetime, credential.lifetime
    if lived is None or lives is None or former.expires_at is None:
        return False
    arrived_spent = former.generation == 1 and not brought_one and lived * _AS_GOOD_AS_NEW < lives
    return arrived_spent or credential.obtained_at - former.expires_at > lives * _LONG_DEAD


def last_chance(credential: CredentialVersion, *, now: datetime, idle_life: timedelta | None = None) -> datetime | None:
    """Until when a refresh comes in time; None when nothing ends. Ends of the refresh token that are past count no more."""
    ends = (_idle_end(credential, idle_life), credential.refresh_token_expires_at)
    coming = [end for end in ends if end is not None and end > now]
    if credential.expires_at is not None:
        coming.append(credential.expires_at)
    return min(coming, default=None)


def is_steady(former: CredentialVersion, credential: CredentialVersion) -> bool:
    """Whether a refresh left the refresh token's end where it was.

    An end that rolls moves on with the time between two refreshes; one that stands is told anew with the latency of the wire.
    """
    before, after = former.refresh_token_expires_at, credential.refresh_token_expires_at
    if before is None or after is None:
        return False
    return after - before <= (credential.obtained_at - former.obtained_at) / 2


def _idle_end(credential: CredentialVersion, idle_life: timedelta | None) -> datetime | None:
    return None if idle_life is None else credential.obtained_at + idle_life


def _end_to_forestall(credential: CredentialVersion, *, steady: bool) -> datetime | None:
    """The refresh token's end, where it is of use to refresh before it.

    An end that the token has outlived was wrong. And before one that stands, another refresh must bring half an access
    token's life at least: or each would be followed by another one, half as far from the end.
    """
    end, obtained_at, expires_at = credential.refresh_token_expires_at, credential.obtained_at, credential.expires_at
    if end is None or end <= obtained_at:
        return None
    if steady and (expires_at is None or (end - obtained_at) * 2 < expires_at - obtained_at):
        return None
    return end
