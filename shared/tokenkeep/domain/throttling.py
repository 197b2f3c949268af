"""How long a source rests whose provider asks to slow down and does not say for how long."""

from dataclasses import dataclass

_FIRST_S = 1.0
_LONGEST_S = 60.0
_CALM_AFTER_S = 120.0
_TOLD_AHEAD_S = 0.5


@dataclass(slots=True)
class Throttling:
    """One source as one worker sees it. Times are seconds on a monotonic clock."""

    rests: int = 0
    until: float = float("-inf")
    told_until: float = float("-inf")

    def slow_down(self, now: float, *, sent_at: float) -> float | None:
        """How long to rest; None for the word of a call that was sent before the last rest was over: that was obeyed."""
        if sent_at < self.until:
            return None
        if now - self.until > _CALM_AFTER_S:
            self.rests = 0
        span: float = min(_FIRST_S * 2**self.rests, _LONGEST_S)
        self.rests = min(self.rests + 1, 10)
        self.until = now + span
        return span

    def rest(self, now: float, span_s: float) -> None:
        """The provider has named a time."""
        self.until = max(self.until, now + span_s)

    def to_tell(self, now: float) -> float | None:
        """For how long others are told to rest: a little longer than asked, so that not each of many answers is told anew. None: they know."""
        if self.until <= max(self.told_until, now):
            return None
        self.told_until = self.until + _TOLD_AHEAD_S
        return self.told_until - now
