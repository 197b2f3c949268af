"""For how long, and how often, a provider is asked to revoke a grant, and how long it is left alone when it keeps silent."""

from datetime import timedelta

MOST_TRIES = 10
LONGEST_KEPT = timedelta(days=3)

_FIRST = timedelta(minutes=1)
_FACTOR = 3
_LONGEST = timedelta(hours=12)
_LEAST_SHARE = 0.75
_LONGEST_REST = timedelta(hours=1)


def is_given_up(tries: int, age: timedelta) -> bool:
    """Whether so many tries, or so much time since it was asked for, are enough."""
    return tries >= MOST_TRIES or age >= LONGEST_KEPT


def wait_after(tries: int, *, retry_after: timedelta | None, jitter: float) -> timedelta:
    """How long to wait after the n-th try: 1, 3, 9 … minutes and 12 hours at most, spread over three to five quarters of it.

    A provider that names a longer time is left alone for that long. `jitter` is in [0, 1).
    """
    base = min(_FIRST * _FACTOR ** min(tries - 1, 20), _LONGEST)
    wait: timedelta = base * (_LEAST_SHARE + jitter / 2)
    return wait if retry_after is None else max(wait, retry_after)


def rest_after(timeouts: int) -> timedelta:
    """How long a host is left alone that has kept silent so many times on end: 1, 3, 9 … minutes and an hour at most."""
    rest: timedelta = min(_FIRST * _FACTOR ** min(timeouts - 1, 20), _LONGEST_REST)
    return rest
