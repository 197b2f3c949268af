"""The journal of refresh tokens that were presented: each one, whatever came of it."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """What came of a presentation.

    `reused`: the token was used before and out of grace. `refused`: unknown, another client's, or of a dead grant.
    `request_refused`: the token itself was not looked at, or not the reason: a wrong client, a wrong scope.
    `not_processed`: a fault answered in the provider's stead.
    """

    GRANTED = "granted"
    GRANTED_IN_GRACE = "granted_in_grace"
    REUSED = "reused"
    REFUSED = "refused"
    REQUEST_REFUSED = "request_refused"
    NOT_PROCESSED = "not_processed"


@dataclass(slots=True)
class Presentation:
    """One presentation of one refresh token.

    Args:
        order: Its place among all presentations, from 1.
        fingerprint: Of the token.
        user: Whose token it is; None if it is none of ours.
        began_at: When the request was in.
        ended_at: When the answer went out or the connection was dropped; None while it is under way.
        outcome: None until the provider has decided.
        status: The HTTP status that was answered; None if none was.
        overlapping: Another presentation of the same token was under way at the same time.
    """

    order: int
    fingerprint: str
    user: str | None
    began_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    status: int | None = None
    overlapping: bool = False


class PresentationJournal:
    """Every presentation, in the order of their beginnings."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._under_way: list[Presentation] = []
        self.all: list[Presentation] = []

    @contextmanager
    def presentation(self, token: str, *, user: str | None) -> Iterator[Presentation]:
        """The span of one presentation."""
        entry = Presentation(len(self.all) + 1, fingerprint(token), user, self._clock())
        for other in self._under_way:
            if other.fingerprint == entry.fingerprint:
                other.overlapping = entry.overlapping = True
        self.all.append(entry)
        self._under_way.append(entry)
        try:
            yield entry
        finally:
            # Not `remove`, which goes by equality.
            self._under_way = [other for other in self._under_way if other is not entry]
            entry.ended_at = self._clock()
            if entry.outcome is None:
                entry.outcome = Outcome.NOT_PROCESSED


def fingerprint(token: str) -> str:
    """How a token is named where it must not be shown: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]
