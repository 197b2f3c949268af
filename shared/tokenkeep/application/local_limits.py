"""Limits of sources while workers can't tell each other what they take: each keeps to its share."""

from collections import Counter
from collections.abc import Iterable

from tokenkeep.application.admission_ports import Allowed, Asked, Delay
from tokenkeep.domain.rate_limit import take_some
from tokenkeep.domain.source_limits import Bound

_UNKNOWN_WORKERS = 8
"""How many workers there are taken to be before anybody has said."""

_SOON_S = 1.0


class LocalLimits:
    """One worker's share of each bound. A bucket is empty when it is first asked: what others have just taken is not known."""

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}
        self._under_way: Counter[str] = Counter()
        self._workers = _UNKNOWN_WORKERS

    def know_workers(self, count: int) -> None:
        """So many share the bounds."""
        self._workers = max(count, 1)

    def enter(self, bounds: Iterable[Bound], count: int) -> None:
        """So many go, whoever allowed it."""
        for one in bounds:
            self._under_way[one.name] += count

    def leave(self, bounds: Iterable[Bound], count: int = 1) -> None:
        """So many have come back."""
        for one in bounds:
            self._under_way[one.name] -= count
            if self._under_way[one.name] <= 0:
                del self._under_way[one.name]

    def forget(self) -> None:
        """The shared store answers again; its buckets count from here on."""
        self._full_at.clear()

    def take(self, asked: Asked, *, now: float) -> Allowed:
        """How many may go by this worker's share alone."""
        shares = [one.share(self._workers) for one in asked.bounds]
        count, wait_s, why = asked.count, 0.0, Delay.RATE
        for one in shares:
            places = one.places(demanded=asked.demanded)
            if places is not None and places - self._under_way[one.name] < count:
                count, wait_s, why = max(places - self._under_way[one.name], 0), _SOON_S, Delay.CONCURRENCY
            if one.rate is None:
                continue
            full_at = self._full_at.setdefault(one.name, now + one.rate.window_s)
            keep = 0.0 if asked.demanded else one.kept_for_demands()
            some = take_some(full_at, one.rate, count, now=now, keep=keep)
            if some.count < count:
                count, wait_s, why = some.count, some.wait_s, Delay.RATE
        for one in shares:
            if one.rate is not None:
                self._full_at[one.name] = take_some(self._full_at[one.name], one.rate, count, now=now).full_at
        return Allowed(count, wait_s, why)
