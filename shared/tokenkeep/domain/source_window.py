"""How many refreshes of one source a worker has under way at most: more while they are answered, fewer while they are not.

Additive increase and multiplicative decrease after a slow start, as TCP does it (RFC 5681, section 3.1), in requests in place of
segments. A source that is answered soon has all the room it uses; one that falls silent gets no more than it has.
"""

from dataclasses import dataclass
from typing import assert_never

from tokenkeep.domain.verdict import Granted, Misconfigured, NotSent, RateLimited, Revoked, Unavailable, Verdict

FIRST_LIMIT = 64
_LEAST_LIMIT = 1
FEW = 8
"""So many may be under way at an endpoint that says nothing."""
_SHORTEST_PATIENCE_S = 2.0
_PATIENT_FOR_LATENCIES = 4
_WEIGHT = 0.2
_SHORTEST_LATENCY_S = 0.1
_ERROR_WEIGHT = 1 / 32
_BAD_SHARE = 0.25
"""So many errors among the latest answers are the endpoint's. Fewer are their accounts' own: were each to halve the window, one in a
thousand would cost a source nine tenths of what it could take (Mathis et al., 1997: a window is as the square root of their rarity)."""


@dataclass(slots=True)
class SourceWindow:
    """One source as one worker sees it. Times are seconds on a monotonic clock.

    `limit` is how many may be under way, at most `most`; up to `threshold` it doubles with each round of answers, beyond that it grows by
    one. `cut_at` is when it was cut last: calls that were sent before say nothing new. `latency_s` and
    `error_share` are moving means. `is_out`: it was cut for errors, and no answer has come since.
    """

    most: int
    limit: float = FIRST_LIMIT
    threshold: float = float("inf")
    in_flight: int = 0
    latency_s: float = 0.0
    error_share: float = 0.0
    last_sign_at: float = 0.0
    cut_at: float = float("-inf")
    is_out: bool = False

    def room(self, now: float, *, demanded: bool = False) -> int:
        """How many more may go. Those that somebody waits for have a fourth of the window besides."""
        limit = int(min(self.limit, self.most))
        if self.is_silent(now):
            limit = min(limit, FEW)
        besides = max(2, limit // 4) if demanded else 0
        return max(limit + besides - self.in_flight, 0)

    def is_silent(self, now: float) -> bool:
        """Whether the endpoint owes answers and has given none for longer than it should take."""
        return self.in_flight >= FEW and now - self.last_sign_at > self.patience_s

    @property
    def patience_s(self) -> float:
        """How long the endpoint may say nothing."""
        return max(_SHORTEST_PATIENCE_S, _PATIENT_FOR_LATENCIES * self.latency_s)

    def per_s(self) -> float | None:
        """How many it lets through in a second, once it has grown as far as is known to be well; None before the first answer."""
        if not self.latency_s:
            return None
        full = min(max(self.limit, self.threshold), self.most)
        return max(full / max(self.latency_s, _SHORTEST_LATENCY_S), 1.0)

    def enter(self, count: int, now: float) -> None:
        """So many go."""
        if self.in_flight < FEW:  # so few owe no sign: silence begins with the eighth
            self.last_sign_at = max(self.last_sign_at, now)
        self.in_flight += count

    def leave(self, count: int = 1) -> None:
        """So many have come back, or never went."""
        self.in_flight -= count

    def note(self, verdict: Verdict, *, took_s: float, now: float) -> None:
        """Take note of how a call ended, while it still counts as under way."""
        match verdict:
            case Granted() | Revoked() | Misconfigured():
                self._answered(took_s, now)
            case RateLimited():
                self.last_sign_at = now
                self._cut(took_s, now)
            case Unavailable(http_status=status):
                if status is not None:
                    self.last_sign_at = now
                self._failed(took_s, now)
            case NotSent():
                if verdict.is_of_the_network:
                    self._failed(took_s, now)
            case _:
                assert_never(verdict)

    def _answered(self, took_s: float, now: float) -> None:
        self.last_sign_at = now
        self.is_out = False
        self.error_share -= _ERROR_WEIGHT * self.error_share
        self.latency_s = took_s if not self.latency_s else self.latency_s + _WEIGHT * (took_s - self.latency_s)
        # A window that is not used says nothing about how much the endpoint would take.
        if self.in_flight * 2 >= self.limit and self.limit < self.most:
            self.limit += 1.0 if self.limit < self.threshold else 1.0 / self.limit

    def _failed(self, took_s: float, now: float) -> None:
        self.error_share += _ERROR_WEIGHT * (1 - self.error_share)
        if self.error_share >= _BAD_SHARE:
            self._cut(took_s, now, out=True)

    def _cut(self, took_s: float, now: float, *, out: bool = False) -> None:
        if now - took_s < self.cut_at:
            return
        self.limit = max(min(self.limit, self.most) / 2, _LEAST_LIMIT)
        # An outage says no more by each probe that fails: the way back begins slowly, and goes on fast (RFC 5681, equation 4).
        if not (out and self.is_out):
            self.threshold = self.limit
        self.is_out = out
        self.cut_at = now
