"""How much of their life the tokens of an import have left: those of a herd all about the same, those of a running system anything."""

from dataclasses import dataclass, field
from datetime import timedelta

_PARTS = 16
_FEWEST = 200
_HERD = 2.0
_OVER_SHARE = 0.1
_BARE, _BARE_PARTS = 0.5, 2


@dataclass(slots=True)
class LivesLeft:
    """Those of one source that an import has seen so far, counted in sixteen parts of about the longest. It forgets nothing, and never grows."""

    part_s: float = 1.0
    longest_s: float = 0.0
    over: int = 0
    living: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * _PARTS)

    def note(self, left: timedelta) -> None:
        """Count one; one that is over by itself."""
        left_s = left.total_seconds()
        if left_s <= 0:
            self.over += 1
            return
        while left_s >= self.part_s * _PARTS:
            pairs = zip(self.counts[::2], self.counts[1::2], strict=True)
            self.counts = [one + other for one, other in pairs] + [0] * (_PARTS // 2)
            self.part_s *= 2
        self.longest_s = max(self.longest_s, left_s)
        self.living += 1
        self.counts[int(left_s / self.part_s)] += 1

    def room(self, left: timedelta) -> float:
        """How many of those who have about as much left may come due as their lives end; a share of them.

        Of a running system all, but for those above their part's share. None of any other, and none while too few have come to tell.
        """
        left_s = left.total_seconds()
        if not 0 < left_s < self.part_s * _PARTS or not self._is_of_a_running_system():
            return 0.0
        count = self.counts[int(left_s / self.part_s)]
        crowd = count / self._share
        return 0.0 if crowd > _HERD else min(1.0, 1.0 / crowd) if count else 1.0

    def _is_of_a_running_system(self) -> bool:
        """Whether nearly all parts are filled.

        It may refresh shortly before the end, so that none has next to nothing left. And when many have run out by now, others have lived
        on for as long as they have been dead: what is left of them is the rest of a system.
        """
        seen = self.living + self.over
        if seen < _FEWEST or self.over > _OVER_SHARE * seen:
            return False
        whole = self.counts[: int(self.longest_s / self.part_s)]
        return sum(count < _BARE * self._share for count in whole) <= _BARE_PARTS

    @property
    def _share(self) -> float:
        """How many would be in each part if all were filled alike."""
        return self.living * self.part_s / self.longest_s
