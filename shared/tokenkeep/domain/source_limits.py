"""How much one source, or one provider, may be asked at once and each second."""

from dataclasses import dataclass

from tokenkeep.domain.rate_limit import Rate

_KEPT_FOR_DEMANDS = 0.2


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit that all workers share, by the name of what it is of; None: there is none."""

    name: str
    rate: Rate | None = None
    concurrency: int | None = None

    def kept_for_demands(self) -> float:
        """How many of a bucket's tokens scheduled refreshes leave to those that somebody waits for."""
        return 0.0 if self.rate is None else float(int(self.rate.burst * _KEPT_FOR_DEMANDS))

    def places(self, *, demanded: bool) -> int | None:
        """How many may be under way; scheduled refreshes leave a fifth of them to those that somebody waits for."""
        if self.concurrency is None or demanded:
            return self.concurrency
        return max(self.concurrency - int(self.concurrency * _KEPT_FOR_DEMANDS), 1)

    def share(self, processes: int) -> "Bound":
        """What one of so many processes may take by itself, while they can't tell each other what they take."""
        rate = self.rate
        if rate is not None:
            rate = Rate(rate.per_s / processes, max(rate.burst // processes, 1))
        concurrency = self.concurrency
        return Bound(self.name, rate, None if concurrency is None else max(concurrency // processes, 1))


def bound(name: str, *, per_min: int | None, burst: int | None, concurrency: int | None) -> Bound | None:
    """The bound that these say; None when they say nothing. Without a word on the burst it is a second's worth."""
    if per_min is None and concurrency is None:
        return None
    rate = None if per_min is None else Rate(per_min / 60, burst or max(per_min // 60, 1))
    return Bound(name, rate, concurrency)
