"""How many accounts a worker has in hand at most: more while answers are committed in time, fewer while they wait for it.

A slow start, and a multiplicative decrease where it was too much (RFC 5681, section 3.1), in accounts in place of segments; the sign of congestion is
how long an answer waited for its commit, as delay is in TCP Vegas (Brakmo and Peterson, 1995).
"""

from dataclasses import dataclass

FIRST_LIMIT = 128
LEAST_LIMIT = 32
LATE_S = 0.4
"""An answer that waits longer is late. After a second it is written to the spool too, which costs as much again as settling it."""
_SOON_S = LATE_S / 2
_LATE_WEIGHT = 1 / 32
_BAD_SHARE = 0.25
"""So many late ones among the latest answers are congestion. Fewer are their rows' own: one whose row somebody has locked says nothing of the others."""
_CUT = 0.7
_GROWTH = 0.1
"""Beyond the threshold, the share by which it grows in a round of answers."""


@dataclass(slots=True)
class SettlingWindow:
    """One worker. Times are seconds on a monotonic clock.

    `limit` is how many may be in hand, at most `most`; up to `threshold` it doubles with each round of answers. `late_share` is a moving mean. `cut_at` is
    when it was cut last: answers that came before say nothing new.
    """

    most: int
    limit: float = FIRST_LIMIT
    threshold: float = float("inf")
    in_hand: int = 0
    late_share: float = 0.0
    cut_at: float = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether more may be taken on. A batch is taken whole: the last one may go beyond the limit."""
        return self.in_hand < min(self.limit, self.most)

    def note_settled(self, took_s: float, *, now: float) -> None:
        """Take note that an answer was committed after it had waited so long for that."""
        if took_s > LATE_S:
            self._late(took_s, now)
            return
        self.late_share -= _LATE_WEIGHT * self.late_share
        # A window that is not used says nothing about how much could be settled in time.
        if took_s < _SOON_S and self.in_hand * 2 >= self.limit and self.limit < self.most:
            self.limit += 1.0 if self.limit < self.threshold else _GROWTH

    def _late(self, took_s: float, now: float) -> None:
        self.late_share += _LATE_WEIGHT * (1 - self.late_share)
        if self.late_share >= _BAD_SHARE and now - took_s >= self.cut_at:
            self.limit = self.threshold = max(min(self.limit, self.most) * _CUT, LEAST_LIMIT)
            self.cut_at = now
