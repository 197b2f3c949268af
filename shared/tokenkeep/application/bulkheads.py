"""What one worker has under way, of each source, of each provider and in all, and how much more it takes on."""

from collections import Counter
from dataclasses import dataclass, field

from tokenkeep.application.known_limits import SourceLimits
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.source_window import SourceWindow
from tokenkeep.domain.throttling import Throttling
from tokenkeep.domain.waiting_line import WaitingLine

_MOST_SOURCES = 10_000


@dataclass(slots=True)
class SourceState:
    """What one worker knows of a source.

    `waiting` counts its accounts that wait for places, `given` the scheduled accounts that have gone.
    """

    window: SourceWindow
    line: WaitingLine = field(default_factory=WaitingLine)
    throttling: Throttling = field(default_factory=Throttling)
    waiting: int = 0
    given: int = 0


class Bulkheads:
    """The places of one worker.

    One source, and all sources of one provider, have `most` of them, and everybody together twice that: what hangs leaves as much to the
    others as it has itself. Demands have a fourth besides.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sources: dict[SourceId, SourceState] = {}
        self._taken: Counter[str] = Counter()
        self.under_way = 0

    def source(self, source_id: SourceId) -> SourceState:
        """What is known of the source."""
        state = self._sources.get(source_id)
        if state is None:
            if len(self._sources) >= _MOST_SOURCES:
                self._sources = {one: it for one, it in self._sources.items() if it.window.in_flight or it.waiting}
            state = self._sources[source_id] = SourceState(SourceWindow(self._most))
        return state

    def free(self, limits: SourceLimits, *, demanded: bool, now: float) -> int:
        """How many more of the source may go."""
        besides = self._most // 4 if demanded else 0
        in_house = 2 * self._most + besides - self.under_way
        of_provider = self._most + besides - self._taken[limits.bulkhead]
        of_source = self.source(limits.source_id).window.room(now, demanded=demanded)
        return max(min(of_source, of_provider, in_house), 0)

    def enter(self, limits: SourceLimits, count: int, *, now: float) -> None:
        """So many go."""
        self.source(limits.source_id).window.enter(count, now)
        self._taken[limits.bulkhead] += count
        self.under_way += count

    def leave(self, limits: SourceLimits, count: int = 1) -> None:
        """So many have come back, or did not go."""
        self.source(limits.source_id).window.leave(count)
        self._taken[limits.bulkhead] -= count
        if self._taken[limits.bulkhead] <= 0:
            del self._taken[limits.bulkhead]
        self.under_way -= count
