"""What one worker has under way, of each source, of each provider and in all, and how much more it takes on."""

from dataclasses import dataclass, field

from tokenkeep.application.known_limits import SourceLimits
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.source_window import FEW, SourceWindow
from tokenkeep.domain.throttling import Throttling
from tokenkeep.domain.verdict import Verdict
from tokenkeep.domain.waiting_line import WaitingLine

_MOST_SOURCES = 10_000


@dataclass(slots=True)
class SourceState:
    """What one worker knows of a source.

    `waiting` counts its accounts that wait for places, `given` the scheduled accounts that have gone; `bulkhead` is the one that it is in.
    """

    window: SourceWindow
    line: WaitingLine = field(default_factory=WaitingLine)
    throttling: Throttling = field(default_factory=Throttling)
    waiting: int = 0
    given: int = 0
    bulkhead: str = ""


@dataclass(slots=True)
class _Bulkhead:
    """What is under way of the sources that share one, and when any of them was answered last."""

    taken: int = 0
    last_sign_at: float = 0.0


class Bulkheads:
    """The places of one worker.

    One source, and all sources of one provider, have `most` of them, and everybody together twice that: what hangs leaves as much to the
    others as it has itself. Demands have a fourth besides.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sources: dict[SourceId, SourceState] = {}
        self._bulkheads: dict[str, _Bulkhead] = {}
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
        of_provider = self._most + besides - self._of(limits).taken
        of_source = self.source(limits.source_id).window.room(now, demanded=demanded)
        return max(min(of_source, of_provider, in_house), 0)

    def enter(self, limits: SourceLimits, count: int, *, now: float) -> None:
        """So many go."""
        state = self.source(limits.source_id)
        state.window.enter(count, now)
        state.bulkhead = limits.bulkhead
        bulkhead = self._bulkheads.setdefault(limits.bulkhead, _Bulkhead())
        if bulkhead.taken < FEW:
            bulkhead.last_sign_at = max(bulkhead.last_sign_at, now)
        bulkhead.taken += count
        self.under_way += count

    def leave(self, limits: SourceLimits, count: int = 1) -> None:
        """So many have come back, or did not go."""
        self.source(limits.source_id).window.leave(count)
        bulkhead = self._of(limits)
        bulkhead.taken -= count
        if bulkhead.taken <= 0:
            self._bulkheads.pop(limits.bulkhead, None)
        self.under_way -= count

    def is_silent(self, limits: SourceLimits, *, now: float) -> bool:
        """Whether nobody is answered there, at this source or at all that share its bulkhead: many small ones hang as one large one does."""
        window, bulkhead = self.source(limits.source_id).window, self._of(limits)
        return window.is_silent(now) or (bulkhead.taken >= FEW and now - bulkhead.last_sign_at > window.patience_s)

    def note_call(self, source_id: SourceId, verdict: Verdict, *, took_s: float, now: float) -> None:
        """Take note of how a call ended, while it still counts as under way."""
        self.source(source_id).window.note(verdict, took_s=took_s, now=now)
        self._spread_sign(source_id, now=now)

    def hear(self, source_id: SourceId, *, now: float) -> None:
        """The endpoint has given an answer that says nothing of how much it takes."""
        self.source(source_id).window.last_sign_at = now
        self._spread_sign(source_id, now=now)

    def _spread_sign(self, source_id: SourceId, *, now: float) -> None:
        state = self.source(source_id)
        bulkhead = self._bulkheads.get(state.bulkhead)
        if bulkhead is not None and state.window.last_sign_at >= now:
            bulkhead.last_sign_at = now

    def _of(self, limits: SourceLimits) -> _Bulkhead:
        return self._bulkheads.get(limits.bulkhead) or _Bulkhead()
