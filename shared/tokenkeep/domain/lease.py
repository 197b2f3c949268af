"""The lease: who holds an account, under which fencing number, and when it is due next."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from tokenkeep.domain.ids import AttemptId


class Phase(StrEnum):
    """How far an attempt has come (custody protocol, section 2).

    `leased`: a worker holds the account, nothing has left. `sent`: the refresh token may be on the wire.
    `doubt`: it was, and the answer is unknown; nobody presents it again before the quarantine has passed.
    """

    IDLE = "idle"
    LEASED = "leased"
    SENT = "sent"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class Lease:
    """The narrow, often-written half of an account.

    `fence` only grows; a write that follows from a refresh must name the number it was leased under.
    `next_refresh_at` is None unless the account is active, held and refreshable.
    `due_at` is when a scheduler looks at it next: to hint that a refresh is due, to see after a lease that was never
    given back, or to tell of credentials that can't be refreshed that they are about to end, and to disable them when they
    have. None means never.
    `not_before` binds everybody, on-demand callers too: a provider's Retry-After, the floor of a back-off, or the
    moment before which the provider refuses to refresh a token that still lives.
    `demanded_at` asks for credentials obtained after that moment; it is met once they are, and never cleared.
    `failing_since` is when refreshes began to fail. `consecutive_failures` leaves out what may be the fault of the source.
    `doubts` counts presentations of the present refresh token whose answers were never had.
    `suspected_at` is when a provider that is known for spurious refusals first called the grant dead.
    `watched_end` is the end that is told ahead, and `tell_at` when that is done next; None when all of it has been told.
    """

    fence: int
    epoch: int
    phase: Phase = Phase.IDLE
    attempt_id: AttemptId | None = None
    lease_until: datetime | None = None
    sent_at: datetime | None = None
    presented_generation: int | None = None
    next_refresh_at: datetime | None = None
    due_at: datetime | None = None
    not_before: datetime | None = None
    demanded_at: datetime | None = None
    consecutive_failures: int = 0
    failing_since: datetime | None = None
    doubts: int = 0
    doubt_since: datetime | None = None
    suspected_at: datetime | None = None
    event_sequence: int = 0
    watched_end: datetime | None = None
    tell_at: datetime | None = None

    def due_from(self, now: datetime) -> datetime | None:
        """When a scheduler is to look again for the refresh that is owed: never in the past, which claims may have passed already."""
        return None if self.next_refresh_at is None else max(self.next_refresh_at, now)

    def freed(self) -> "Lease":
        """The lease in nobody's hands."""
        return replace(self, phase=Phase.IDLE, attempt_id=None, lease_until=None)
