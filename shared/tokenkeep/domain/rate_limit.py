"""How often somebody may ask: a token bucket that is one number.

The number is the moment at which the bucket is full again (the generic cell rate algorithm, ITU-T I.371, appendix I). It
says how full the bucket is at any time, so nothing has to be counted up while nobody asks.
"""

from dataclasses import dataclass

# Moments are seconds of a clock that may stand at years (1e8). Each request rounds them by up to 7.5e-9; a thousand in a row, by less
# than this.
_ROUNDING_S = 1e-5


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` requests at once, and `per_s` each second in the long run. Both are above 0."""

    per_s: float
    burst: int

    @property
    def window_s(self) -> float:
        """How long an empty bucket takes to be full again, in seconds."""
        return self.burst / self.per_s


@dataclass(frozen=True, slots=True)
class Taken:
    """A bucket after somebody asked. `retry_after_s` is there when he has to wait, and then nothing was taken.

    `remaining` is how many more may ask at once, `reset_s` the time until the bucket is full.
    """

    full_at: float
    remaining: int
    reset_s: float
    retry_after_s: float | None = None


def take(full_at: float, rate: Rate, *, now: float) -> Taken:
    """One request at this moment.

    Args:
        full_at: The bucket; a moment that is past is a full one.
        rate: What the bucket holds, and how fast it fills.
        now: Seconds, on the clock that `full_at` is on.
    """
    full_at = max(full_at, now)
    then = full_at + 1 / rate.per_s
    excess = then - now - rate.window_s
    if excess > _ROUNDING_S:
        return Taken(full_at, 0, full_at - now, retry_after_s=excess)
    remaining = int((rate.window_s - (then - now) + _ROUNDING_S) * rate.per_s)
    return Taken(then, remaining, then - now)


@dataclass(frozen=True, slots=True)
class Some:
    """A bucket after somebody wanted several. `wait_s` is how long until there is another one."""

    full_at: float
    count: int
    wait_s: float


def take_some(full_at: float, rate: Rate, count: int, *, now: float, keep: float = 0.0) -> Some:
    """As many of `count` requests at this moment as leave `keep` in the bucket."""
    full_at = max(full_at, now)
    there = (rate.window_s - (full_at - now) + _ROUNDING_S) * rate.per_s - keep
    taken = min(max(int(there), 0), count)
    wait_s = max((1 - (there - taken)) / rate.per_s, 0.0)
    return Some(full_at + taken / rate.per_s, taken, wait_s)


def give_back(full_at: float, rate: Rate) -> float:
    """The bucket with one request put back."""
    return full_at - 1 / rate.per_s


def owe(full_at: float, rate: Rate, *, now: float) -> float:
    """The bucket after one request that nobody asked it about. It may go into debt, by as much as it holds."""
    return min(max(full_at, now) + 1 / rate.per_s, now + 2 * rate.window_s)
