"""When an account is due, and how long to wait after a failure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

_SPREAD_BITS = 53


def spread(account_id: UUID, generation: int) -> float:
    """A number in [0, 1) that looks random over accounts and generations, and is the same each time it is asked.

    It takes the place of a random number generator, so that decisions stay pure and can be told again.
    """
    digest = blake2b(account_id.bytes + generation.to_bytes(8, "big"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - _SPREAD_BITS)) / (1 << _SPREAD_BITS)


@dataclass(frozen=True, slots=True)
class RefreshPolicy:
    """The margins of refreshing. Fractions are of the access token's lifetime.

    A token is refreshed `lead` before it expires, and earlier by a jitter, so that accounts that were connected in
    the same minute do not come due in the same minute for ever. Lead and jitter together take at most half the life.
    `window` is a provider's: it refuses a refresh before only so much of the access token's life is left. None: it does not.
    `client_fault_patience`: for how long an account may be told that the client is wrong before that is taken for its own
    trouble. By then a source whose client is wrong is paused: six asks of its only account take half as long.
    """

    lead_fraction: float = 0.25
    shortest_lead: timedelta = timedelta(minutes=2)
    longest_lead: timedelta = timedelta(minutes=15)
    jitter_fraction: float = 0.20
    first_backoff: timedelta = timedelta(seconds=5)
    longest_backoff: timedelta = timedelta(minutes=15)
    shortest_wait: timedelta = timedelta(seconds=1)
    demand_floor: timedelta = timedelta(seconds=5)
    longest_retry_after: timedelta = timedelta(hours=1)
    misconfigured_backoff: timedelta = timedelta(minutes=1)
    client_fault_patience: timedelta = timedelta(minutes=10)
    held_wait: timedelta = timedelta(minutes=10)
    failures_before_failing: int = 3
    window: timedelta | None = None

    def within(self, window: timedelta | None) -> "RefreshPolicy":
        """The policy at a provider of this window."""
        return self if window is None else replace(self, window=window)

    def opens_at(self, expires_at: datetime | None) -> datetime | None:
        """From when on the provider refreshes an access token that ends then; None where it always does."""
        return None if self.window is None or expires_at is None else expires_at - self.window

    def in_window(self, due: datetime, *, expires_at: datetime | None, jitter: float) -> datetime:
        """The due time, or one in the first third of the provider's window if it is before that. `jitter` is in [0, 1)."""
        opens_at = self.opens_at(expires_at)
        if self.window is None or opens_at is None:
            return due
        return max(due, opens_at + self.window / 3 * (1 - jitter))

    def due_at(self, *, obtained_at: datetime, expires_at: datetime, jitter: float) -> datetime:
        """When to refresh a token of this life. `jitter` is in [0, 1)."""
        lifetime = max(expires_at - obtained_at, timedelta(0))
        lead = min(max(lifetime * self.lead_fraction, self.shortest_lead), self.longest_lead)
        lead = min(lead, lifetime * (0.5 - self.jitter_fraction))
        return expires_at - lead - lifetime * self.jitter_fraction * jitter

    def backoff(self, failures: int, *, jitter: float) -> timedelta:
        """How long to wait after the n-th failure in a row: exponential, with full jitter."""
        ceiling: timedelta = min(self.first_backoff * (1 << min(failures, 16)), self.longest_backoff)
        return max(ceiling * jitter, self.shortest_wait)

    def refused_wait(self, failures: int, *, jitter: float) -> timedelta:
        """How long an account waits whose client is refused to it alone: doubling, and never less than before until it is longest."""
        ceiling: timedelta = min(self.misconfigured_backoff * (2 << min(failures, 16)), self.longest_backoff)
        return ceiling * (0.5 + jitter / 2)

    def throttle(self, retry_after: timedelta | None) -> timedelta:
        """A provider's Retry-After, bounded at both ends."""
        asked = self.first_backoff if retry_after is None else retry_after
        return min(max(asked, self.shortest_wait), self.longest_retry_after)

    def is_failing(self, *, failures: int, now: datetime, obtained_at: datetime, expires_at: datetime | None) -> bool:
        """Whether a run of failures deserves to be told: three in a row, or the lead time half used up."""
        if failures >= self.failures_before_failing:
            return True
        if expires_at is None:
            return False
        lead = min((expires_at - obtained_at) * self.lead_fraction, self.longest_lead)
        return failures > 0 and now >= expires_at - lead / 2
