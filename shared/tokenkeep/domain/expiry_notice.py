"""Telling ahead that an account will need its user: when, and of which end.

Only an end counts that nothing we do moves away. Whether a refresh token's end moves is seen when it is refreshed, so a refresh
falls due no later than a stage, and the grant that it brings decides: an end that rolls has moved by then, and is watched anew.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from tokenkeep.domain.credential import CredentialVersion
from tokenkeep.domain.events import EventType, Happening
from tokenkeep.domain.lease import Lease

STAGES = (timedelta(days=7), timedelta(days=1))
"""How long ahead an end is told, longest first."""

_LIVES_PER_STAGE = 2
"""Of a life that is not so many times as long as a stage, the stage is no news."""

_SAME_END = timedelta(hours=1)
"""Ends that are so close are one: a span that is told anew with each answer counts from another moment each time."""

_PUNCTUAL = timedelta(hours=1)
"""A refresh that comes so soon after a stage anyway is not drawn forward for it."""


class Ending(StrEnum):
    """What ends, as an event's `reason` tells it."""

    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of what ends
    ACCESS_TOKEN = "access_token"  # noqa: S105 - as above


def end_of(credential: CredentialVersion) -> tuple[datetime, Ending] | None:
    """The end after which only the user can bring the account back; None when there is none, or it is not known.

    An access token that lives for ever needs no refresh token.
    """
    if credential.expires_at is None:
        return None
    if not credential.refreshable:
        return credential.expires_at, Ending.ACCESS_TOKEN
    end = credential.refresh_token_expires_at
    return None if end is None else (end, Ending.REFRESH_TOKEN)


def watched(lease: Lease, credential: CredentialVersion, *, now: datetime) -> Lease:
    """The lease, watching the credentials' end. What was told of this very end stays told; another one starts afresh."""
    ending = end_of(credential)
    if ending is None:
        is_watched = lease.watched_end is not None or lease.tell_at is not None
        return replace(lease, watched_end=None, tell_at=None) if is_watched else lease
    end, _ = ending
    if lease.watched_end is not None and abs(end - lease.watched_end) <= _SAME_END:
        return lease
    life = end - now
    stages = [stage for stage in STAGES if life >= stage * _LIVES_PER_STAGE]
    return replace(lease, watched_end=end, tell_at=end - stages[0] if stages else None)


def notice(lease: Lease, credential: CredentialVersion, *, now: datetime) -> tuple[Lease, tuple[Happening, ...]]:
    """The lease with its watch brought up to date, and what is to be told now: one stage at most, the nearest to the end.

    The lease remembers what was told, so it is told once, whoever looks and however often.
    """
    lease, ending = watched(lease, credential, now=now), end_of(credential)
    if ending is None or lease.watched_end is None or lease.tell_at is None or now < lease.tell_at:
        return lease, ()
    end, what = ending
    coming = [lease.watched_end - stage for stage in STAGES if lease.watched_end - stage > now]
    told = replace(lease, tell_at=min(coming, default=None))
    return told, (Happening(EventType.EXPIRING, what.value, ends_at=end),) if now < end else ()


def due_for_notice(due: datetime | None, lease: Lease) -> datetime | None:
    """A refresh's due time, no later than the next stage to be told."""
    if due is None or lease.tell_at is None or due <= lease.tell_at + _PUNCTUAL:
        return due
    return lease.tell_at


def look_at(lease: Lease, credential: CredentialVersion) -> datetime | None:
    """When a scheduler looks at credentials that can't be refreshed: at the next stage, at their end, or never."""
    moments = [moment for moment in (lease.tell_at, credential.expires_at) if moment is not None]
    return min(moments, default=None)
