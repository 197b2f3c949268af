"""Whose turn it is: how many accounts of a source may go at this moment, by all that is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenkeep.application.admission_ports import Allowed, Asked, Delay, SharedLimits
from tokenkeep.application.bulkheads import Bulkheads
from tokenkeep.application.clocks import Clocks
from tokenkeep.application.known_limits import SourceLimits
from tokenkeep.application.local_limits import LocalLimits
from tokenkeep.application.watch_sources import WatchSources
from tokenkeep.domain.ids import SourceId, new_id

_SILENCE_S = 2.0
_COUNT_EVERY_S = 10.0
_ALONE_FOR_S = 5.0
"""For so long a store that did not answer is not asked again: each batch would wait for it anew."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How many go; their places are `<group>:0` and so on. The others wait for `wait_s`, because of `why`."""

    count: int
    wait_s: float
    why: Delay
    group: str = ""


class SourceTurns:
    """Gives turns: by the breaker, by what the provider asked for, by this worker's places, by the declared limits."""

    def __init__(self, *, bulkheads: Bulkheads, shared: SharedLimits, watch: WatchSources, clocks: Clocks) -> None:
        self._bulkheads = bulkheads
        self._shared = shared
        self._local = LocalLimits()
        self._watch = watch
        self._clocks = clocks
        self._is_alone = False
        self._alone_until = float("-inf")
        self._counted_at = float("-inf")
        self._owed: list[tuple[SourceLimits, Sequence[str]]] = []
        """Places that could not be given back: of what was under way when the store went away."""

    def closed(self, limits: SourceLimits) -> Turn | None:
        """That nobody of the source goes, as far as this worker knows by itself; None: some may."""
        rest_s = self._watch.rest_of(limits.source_id)
        if rest_s is not None:
            return Turn(0, rest_s, Delay.RESTING)
        now, state = self._clocks.loop_time(), self._bulkheads.source(limits.source_id)
        if state.throttling.until > now:
            return Turn(0, state.throttling.until - now, Delay.HELD)
        return Turn(0, _SILENCE_S, Delay.SILENT) if self._bulkheads.is_silent(limits, now=now) else None

    async def take(self, limits: SourceLimits, count: int, *, demanded: bool) -> Turn:
        """Take places and tokens for as many of `count` as may go."""
        closed = self.closed(limits)
        # At an endpoint that says nothing, those that somebody waits for may still use what is kept for them.
        if closed is not None and not (demanded and closed.why is Delay.SILENT):
            return closed
        now = self._clocks.loop_time()
        wanted = min(count, 1) if self._watch.wants_a_probe(limits.source_id) else count
        free = min(self._bulkheads.free(limits, demanded=demanded, now=now), wanted)
        if free == 0:
            return closed or Turn(0, 0.0, Delay.FULL)
        # The places are taken at once: others ask for them while the shared limits are asked.
        self._bulkheads.enter(limits, free, now=now)
        taken = 0
        try:
            # What nobody else is told of has no name, and is given back to nobody.
            group = "" if self._asks_nobody() else new_id().hex
            asked = Asked(limits.source_id, limits.bounds, free, demanded, group)
            allowed = await self._allowed(asked)
            taken = allowed.count
        finally:
            self._bulkheads.leave(limits, free - taken)
        self._local.enter(limits.bounds, taken)
        if allowed.why is Delay.HELD:
            self._bulkheads.source(limits.source_id).throttling.rest(now, allowed.wait_s)
        short = taken < free
        return Turn(taken, allowed.wait_s if short else 0.0, allowed.why if short else Delay.FULL, asked.places)

    def leave(self, limits: SourceLimits, count: int) -> None:
        """So many places of this worker are needed no longer."""
        self._bulkheads.leave(limits, count)
        self._local.leave(limits.bounds, count)

    async def give_back(self, limits: SourceLimits, places: Sequence[str]) -> None:
        """These places are needed no longer by any worker."""
        if all(one.concurrency is None for one in limits.bounds):
            return
        known = [one for one in places if not one.startswith(":")]
        if known and (self._asks_nobody() or not await self._shared.leave(limits.bounds, known)):
            self._owed.append((limits, known))

    async def hold(self, source_id: SourceId, span_s: float) -> None:
        """Nobody of the source goes for so long, in any worker."""
        await self._shared.hold(source_id, span_s)

    async def _allowed(self, asked: Asked) -> Allowed:
        if not asked.places:
            return self._local.take(asked, now=self._clocks.loop_time())
        await self._count_workers()
        allowed = await self._shared.take(asked)
        if allowed is None:
            now = self._clocks.loop_time()
            self._is_alone, self._alone_until = True, now + _ALONE_FOR_S
            return self._local.take(asked, now=now)
        if self._is_alone:
            self._local.forget()
            self._is_alone = False
        await self._give_back_owed()
        return allowed

    async def _give_back_owed(self) -> None:
        owed, self._owed = self._owed, []
        for limits, places in owed:
            await self.give_back(limits, places)

    def _asks_nobody(self) -> bool:
        return self._clocks.loop_time() < self._alone_until

    async def _count_workers(self) -> None:
        """How many there are is asked while it can be known, for the time when it can't."""
        now = self._clocks.loop_time()
        if now - self._counted_at < _COUNT_EVERY_S:
            return
        self._counted_at = now
        count = await self._shared.count_workers()
        if count is not None:
            self._local.know_workers(count)
