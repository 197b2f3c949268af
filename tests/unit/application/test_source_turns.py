"""Places that workers share come free again, though the store that counts them was away for a moment."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from uuid import uuid4

from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.adapters.telemetry.refresh_observer import RefreshTelemetry
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.application.admission_ports import Allowed, Asked
from tokenkeep.application.bulkheads import Bulkheads
from tokenkeep.application.known_limits import SourceLimits
from tokenkeep.application.ports import CustodyLedger
from tokenkeep.application.source_turns import SourceTurns
from tokenkeep.application.watch_sources import WatchSources
from tokenkeep.bootstrap import ProcessClocks
from tokenkeep.domain.ids import SourceId
from tokenkeep.domain.source_limits import Bound


def no_ledgers() -> AbstractAsyncContextManager[CustodyLedger]:
    raise NotImplementedError


class Ahead(ProcessClocks):
    """A clock that is put forward, and waits for nobody."""

    ahead_s = 0.0

    def loop_time(self) -> float:
        return super().loop_time() + self.ahead_s

    async def sleep(self, seconds: float) -> None:
        self.ahead_s += seconds


@dataclass
class Places:
    """Counts places; now and then away."""

    taken: set[str] = field(default_factory=set)
    is_away: bool = False

    async def take(self, asked: Asked) -> Allowed | None:
        if self.is_away:
            return None
        count = min(asked.count, 4 - len(self.taken))
        self.taken |= {f"{asked.places}:{number}" for number in range(count)}
        return Allowed(count)

    async def leave(self, bounds: Sequence[Bound], places: Sequence[str]) -> bool:
        del bounds
        if not self.is_away:
            self.taken -= set(places)
        return not self.is_away

    async def hold(self, source_id: SourceId, span_s: float) -> None: ...

    async def count_workers(self) -> int | None:
        return 1


async def test_what_ends_while_the_store_is_away_gives_its_places_back_once_it_is_there_again() -> None:
    clocks, places = Ahead(boottime), Places()
    watch = WatchSources(ledgers=no_ledgers, observer=RefreshTelemetry(Metrics()), clocks=clocks)
    turns = SourceTurns(bulkheads=Bulkheads(100), shared=places, watch=watch, clocks=clocks)
    limits = SourceLimits(SourceId(uuid4()), "p", (Bound("b", concurrency=4),), "provider:p")
    turn = await turns.take(limits, 4, demanded=True)
    assert turn.count == 4
    places.is_away = True
    alone = await turns.take(limits, 1, demanded=True)
    turns.leave(limits, 4 + alone.count)
    await turns.give_back(limits, [f"{turn.group}:{number}" for number in range(4)])
    places.is_away = False
    await clocks.sleep(6.0)
    await turns.take(limits, 1, demanded=True)
    assert (await turns.take(limits, 4, demanded=True)).count >= 3
