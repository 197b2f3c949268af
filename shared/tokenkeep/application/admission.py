"""Admission (custody protocol, S0): who may go now, before anything of an account is touched.

Whoever may not is put off: the row says when it is looked at again, and holds no thread, no connection, no lock and no lease meanwhile.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeGuard

from tokenkeep.application.admission_ports import AdmissionObserver, Delay, WaitingRoom
from tokenkeep.application.backpressure import Backpressure
from tokenkeep.application.bulkheads import Bulkheads
from tokenkeep.application.clocks import Clocks
from tokenkeep.application.known_limits import KnownLimits, SourceLimits
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.source_turns import SourceTurns, Turn
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.need import by_need
from tokenkeep.domain.verdict import Granted, RateLimited, Unavailable, Verdict
from tokenkeep.domain.waiting_line import WaitingLine

_BUSY = 503
_PATIENCE_S = 1.0
"""How long a scheduled batch waits for places before it is put off, and how soon they must be to be had for it to begin."""

_DEMAND_PATIENCE_S = 5.0
_LOOK_AGAIN_S = 0.02
_KNOWN_ENDS = {Delay.HELD, Delay.RATE}
"""These waits are every worker's, and whoever waits for a token may be told their end. Of the others only this worker knows."""

_LOOKS_PER_S = 200.0
"""How many accounts a second are looked at again of a source that takes none for now."""


class Place(NamedTuple):
    """Where an account is while it is under way: which one of its group."""

    limits: SourceLimits
    group: str
    number: int


@dataclass(slots=True)
class Admitted:
    """The accounts of one batch that may go, each in a place that it gives back once."""

    account_ids: list[AccountId] = field(default_factory=list)
    places: dict[AccountId, Place] = field(default_factory=dict)

    def add(self, limits: SourceLimits, account_ids: Sequence[AccountId], turn: Turn) -> None:
        """The first of these go, as many as their turn lets."""
        for number, account_id in enumerate(account_ids[: turn.count]):
            self.account_ids.append(account_id)
            self.places[account_id] = Place(limits, turn.group, number)


class Admission:
    """Admits accounts to being refreshed: as many of each source as that can take, and those first that somebody waits for."""

    def __init__(
        self,
        *,
        limits: KnownLimits,
        bulkheads: Bulkheads,
        turns: SourceTurns,
        room: WaitingRoom,
        observer: AdmissionObserver,
        clocks: Clocks,
        backpressure: Backpressure,
    ) -> None:
        self._limits = limits
        self._bulkheads = bulkheads
        self._turns = turns
        self._room = room
        self._observer = observer
        self._clocks = clocks
        self._backpressure = backpressure
        self._telling: set[asyncio.Task[None]] = set()

    async def __call__(
        self, account_ids: Sequence[AccountId], *, trigger: Trigger, source_id: SourceId | None = None
    ) -> Admitted:
        """Those that may go, in their order; the others are put off. Without a source, each one's is looked up.

        Raises what the database raises; then nobody goes.
        """
        groups: dict[SourceId, list[AccountId]] = {}
        if source_id is not None:
            groups[source_id] = list(dict.fromkeys(account_ids))
        else:
            sources = await self._room.sources_of(account_ids)
            for one in dict.fromkeys(account_ids):
                if one in sources:
                    groups.setdefault(sources[one], []).append(one)
        known = await self._limits(groups)
        admitted, demanded = Admitted(), trigger is not Trigger.SCHEDULE
        admitting = (self._admit(limits, groups[one], admitted, demanded=demanded) for one, limits in known.items())
        try:
            # All of them end before an error goes on: one that came later would leave places that nobody gives back.
            ended = await asyncio.gather(*admitting, return_exceptions=True)
        except asyncio.CancelledError:
            await asyncio.shield(self.leave(list(admitted.places), admitted))
            raise
        error = next((one for one in ended if one is not None), None)
        if error is not None:
            await self.leave(list(admitted.places), admitted)
            raise error
        self._observer.under_way(self._bulkheads.under_way)
        return admitted

    async def leave(self, account_ids: Iterable[AccountId], admitted: Admitted) -> None:
        """These need their places no longer; who has none is passed over."""
        left: dict[SourceId, tuple[SourceLimits, list[str]]] = {}
        for one in account_ids:
            place = admitted.places.pop(one, None)
            if place is not None:
                left.setdefault(place.limits.source_id, (place.limits, []))[1].append(f"{place.group}:{place.number}")
        for limits, places in left.values():
            self._turns.leave(limits, len(places))
        self._observer.under_way(self._bulkheads.under_way)
        for limits, places in left.values():
            await self._turns.give_back(limits, places)

    def note_call(
        self,
        source: SourceConfig,
        account_id: AccountId,
        verdict: Verdict,
        *,
        took_s: float,
        own_client: bool = False,
    ) -> None:
        """Take note of how a call ended. What asks to slow down is heard by the whole source, in every worker.

        `own_client`: the account proved itself with a client of its own, so a limit that it ran into is its alone. So is one
        without a time that nobody else runs into.
        """
        now, state = self._clocks.loop_time(), self._bulkheads.source(source.id)
        if isinstance(verdict, RateLimited) and (
            own_client or (not verdict.retry_after and state.throttling.is_its_own(account_id))
        ):
            self._bulkheads.hear(source.id, now=now)
            return
        self._bulkheads.note_call(source.id, verdict, took_s=took_s, now=now)
        if isinstance(verdict, Granted) and not own_client:
            state.throttling.note_granted(account_id, sent_at=now - took_s)
        if not _speaks_for_the_source(verdict):
            return
        span_s = None if verdict.retry_after is None else verdict.retry_after.total_seconds()
        if span_s:  # a 429 that names no time, or one that is past by our clock, is heard all the same
            state.throttling.rest(now, span_s)
        elif isinstance(verdict, RateLimited):
            span_s = state.throttling.slow_down(account_id, now, sent_at=now - took_s)
        if span_s and (told_s := state.throttling.to_tell(now)) is not None:
            self._observer.throttled(source.provider, source.id, span_s)
            telling = asyncio.get_running_loop().create_task(self._turns.hold(source.id, told_s))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def put_back(self, account_ids: Sequence[AccountId]) -> None:
        """These are not gone about after all, through no fault of theirs: whoever comes next may take them at once."""
        if account_ids:
            await self._room.put_off(dict.fromkeys(account_ids, 0.0), binding=False)

    async def drain(self) -> None:
        """Wait until other workers are told what this one has heard."""
        if self._telling:
            await asyncio.wait(set(self._telling))

    async def _admit(
        self, limits: SourceLimits, account_ids: Sequence[AccountId], admitted: Admitted, *, demanded: bool
    ) -> None:
        left, until = list(account_ids), self._clocks.loop_time() + _DEMAND_PATIENCE_S
        if not demanded:
            await self._await_places(limits, len(left))
            state = self._bulkheads.source(limits.source_id)
            free = self._bulkheads.free(limits, demanded=False, now=self._clocks.loop_time())
            if len(left) > 1 and (limits.bounds or free < len(left)):
                left = by_need(left, await self._room.lives(left), before=state.given)
        while True:  # once for what is scheduled, until patience is over for what somebody waits for
            turn = await self._turns.take(limits, len(left), demanded=demanded)
            admitted.add(limits, left, turn)
            if not demanded:
                self._bulkheads.source(limits.source_id).given += turn.count
            left = left[turn.count :]
            wait_s = max(turn.wait_s, _LOOK_AGAIN_S)
            if not left or not demanded or self._clocks.loop_time() + wait_s > until:
                break
            await self._clocks.sleep(wait_s)
        if left:
            await self._put_off(limits, left, turn, demanded=demanded)

    async def _await_places(self, limits: SourceLimits, count: int) -> None:
        """Wait for places at a source that is full and well, if they come soon: less time than to write each row twice.

        How soon is told by the answers so far; a source that has given none yet has as much patience as any.
        """
        state, until = self._bulkheads.source(limits.source_id), self._clocks.loop_time() + _PATIENCE_S
        per_s = state.window.per_s()
        if per_s is not None and state.waiting + count > per_s * _PATIENCE_S:
            return
        state.waiting += count
        try:
            while self._clocks.loop_time() < until and not self._is_open_for(limits, count):
                with self._backpressure.elsewhere(count):
                    await self._clocks.sleep(_LOOK_AGAIN_S)
        finally:
            state.waiting -= count

    def _is_open_for(self, limits: SourceLimits, count: int) -> bool:
        """Whether there is nothing to wait for: places for all, or none in sight."""
        window = self._bulkheads.source(limits.source_id).window
        free = self._bulkheads.free(limits, demanded=False, now=self._clocks.loop_time())
        return free >= min(count, int(window.limit)) or self._turns.closed(limits) is not None

    async def _put_off(
        self, limits: SourceLimits, account_ids: Sequence[AccountId], turn: Turn, *, demanded: bool
    ) -> None:
        """The next look at these, one after the other. Whoever waits for one of them is told until when."""
        self._observer.put_off(limits.provider, turn.why, len(account_ids))
        state = self._bulkheads.source(limits.source_id)
        per_s = min(limits.per_s or _LOOKS_PER_S, _LOOKS_PER_S)
        if turn.why in {Delay.FULL, Delay.CONCURRENCY}:
            per_s = state.window.per_s() or _LOOKS_PER_S
        elif demanded:  # its end is told: the wait that was asked for, and not one more turn
            per_s = _LOOKS_PER_S
        line = WaitingLine() if demanded else state.line
        waits = line.places(account_ids, now=self._clocks.loop_time(), wait_s=turn.wait_s, per_s=per_s)
        await self._room.put_off(
            dict(zip(account_ids, waits, strict=True)), binding=demanded and turn.why in _KNOWN_ENDS
        )


def _speaks_for_the_source(verdict: Verdict) -> TypeGuard[RateLimited | Unavailable]:
    """Whether a wait that is asked for is everybody's. Any other error's may be about its account alone, as one that is locked for a while."""
    return isinstance(verdict, RateLimited) or (isinstance(verdict, Unavailable) and verdict.http_status == _BUSY)
