"""A worker's places are given back, whatever fails."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import pytest

from domain_examples import granted
from tokenkeep.adapters.telemetry.admission_observer import AdmissionTelemetry
from tokenkeep.adapters.telemetry.metrics import Metrics
from tokenkeep.adapters.telemetry.refresh_observer import RefreshTelemetry
from tokenkeep.adapters.token_endpoint.clock import boottime
from tokenkeep.application.admission import Admission
from tokenkeep.application.admission_ports import Allowed, Asked, Delay
from tokenkeep.application.backpressure import Backpressure
from tokenkeep.application.bulkheads import Bulkheads
from tokenkeep.application.known_limits import KnownLimits
from tokenkeep.application.ports import CustodyLedger
from tokenkeep.application.refreshing import SourceConfig
from tokenkeep.application.source_turns import SourceTurns
from tokenkeep.application.watch_sources import WatchSources
from tokenkeep.bootstrap import ProcessClocks
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.source_limits import Bound
from tokenkeep.domain.source_window import FIRST_LIMIT
from tokenkeep.domain.verdict import RateLimited
from tokenkeep.providers.catalogue import Catalogue

CLOCKS = ProcessClocks(boottime)


async def configs(source_ids: Collection[SourceId]) -> dict[SourceId, SourceConfig]:
    """Every source that is asked about is there, and of a provider that is not known here."""
    return {
        one: SourceConfig(one, "default", "acme", None, SealedKey("k", b""), None, 1, {}, paused=False)
        for one in source_ids
    }


def no_ledgers() -> AbstractAsyncContextManager[CustodyLedger]:
    raise NotImplementedError


@dataclass
class Shared:
    """Lets all of a source go, or none for so long."""

    held_s: dict[SourceId, float] = field(default_factory=dict)

    async def take(self, asked: Asked) -> Allowed | None:
        wait_s = self.held_s.get(asked.source_id)
        return Allowed(asked.count) if wait_s is None else Allowed(0, wait_s, Delay.RATE)

    async def leave(self, bounds: Sequence[Bound], places: Sequence[str]) -> bool:
        del bounds, places
        return True

    async def hold(self, source_id: SourceId, span_s: float) -> None: ...

    async def count_workers(self) -> int | None:
        return 1


@dataclass
class Room:
    """A database that is away when somebody is to be put off; meanwhile the time of those comes that are held."""

    sources: dict[AccountId, SourceId]
    shared: Shared
    left_s: Mapping[AccountId, float] = field(default_factory=dict)
    is_away: bool = True

    async def sources_of(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, SourceId]:
        return {one: self.sources[one] for one in account_ids}

    async def lives(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, float | None]:
        return {one: self.left_s.get(one) for one in account_ids}

    async def put_off(self, waits: Mapping[AccountId, float], *, binding: bool) -> None:
        del waits, binding
        self.shared.held_s.clear()
        if self.is_away:
            raise TimeoutError


def admission(
    bulkheads: Bulkheads,
    shared: Shared,
    sources: dict[AccountId, SourceId],
    room: Room | None = None,
    backpressure: Backpressure | None = None,
) -> Admission:
    metrics = Metrics()
    watch = WatchSources(ledgers=no_ledgers, observer=RefreshTelemetry(metrics), clocks=CLOCKS)
    return Admission(
        limits=KnownLimits(configs, Catalogue({}), CLOCKS),
        bulkheads=bulkheads,
        turns=SourceTurns(bulkheads=bulkheads, shared=shared, watch=watch, clocks=CLOCKS),
        room=room or Room(sources, shared),
        observer=AdmissionTelemetry(metrics),
        clocks=CLOCKS,
        backpressure=backpressure or Backpressure(1_000, CLOCKS),
    )


async def test_no_place_is_kept_when_the_database_fails_for_another_source_of_the_same_hint() -> None:
    slow, held = SourceId(uuid4()), SourceId(uuid4())
    sources = {AccountId(uuid4()): slow, AccountId(uuid4()): held}
    bulkheads, shared = Bulkheads(100), Shared({slow: 0.05, held: 60.0})
    admit = admission(bulkheads, shared, sources)
    with pytest.raises(TimeoutError):
        await admit(list(sources), trigger=Trigger.DEMAND)
    await CLOCKS.sleep(0.1)
    assert bulkheads.under_way == 0
    assert bulkheads.source(slow).window.in_flight == 0


async def test_an_account_that_a_hint_names_twice_has_one_place() -> None:
    source, account = SourceId(uuid4()), AccountId(uuid4())
    bulkheads = Bulkheads(100)
    admit = admission(bulkheads, Shared(), {account: source})
    admitted = await admit([account, account], trigger=Trigger.SCHEDULE, source_id=source)
    assert admitted.account_ids == [account]
    await admit.leave([account], admitted)
    assert bulkheads.under_way == 0


async def test_limits_are_known_of_all_that_are_asked_for_when_what_is_remembered_is_dropped() -> None:
    limits = KnownLimits(configs, Catalogue({}), CLOCKS)
    sources = [SourceId(uuid4()) for _ in range(10_001)]
    await limits(sources[:10_000])
    assert set(await limits(sources)) == set(sources)


async def test_a_limit_that_an_account_with_a_client_of_its_own_ran_into_holds_nobody_else() -> None:
    source, account = SourceId(uuid4()), AccountId(uuid4())
    bulkheads = Bulkheads(100)
    admit = admission(bulkheads, Shared(), {account: source})
    [config] = (await configs([source])).values()
    admit.note_call(config, account, RateLimited(timedelta(hours=1), 429), took_s=0.1, own_client=True)
    assert (await admit([account], trigger=Trigger.SCHEDULE, source_id=source)).account_ids == [account]
    assert bulkheads.source(source).window.limit == FIRST_LIMIT


async def test_where_a_window_is_narrow_whose_token_ends_first_goes_first() -> None:
    source = SourceId(uuid4())
    ids = [AccountId(uuid4()) for _ in range(3)]
    bulkheads = Bulkheads(1)
    sources, left_s = dict.fromkeys(ids, source), dict(zip(ids, (500.0, 400.0, 10.0), strict=True))
    admit = admission(bulkheads, Shared(), sources, Room(sources, Shared(), left_s, is_away=False))
    assert (await admit(ids, trigger=Trigger.SCHEDULE, source_id=source)).account_ids == [ids[2]]


async def test_a_time_that_is_past_is_no_leave_to_go_on() -> None:
    source, account = SourceId(uuid4()), AccountId(uuid4())
    sources = {account: source}
    shared = Shared()
    admit = admission(Bulkheads(100), shared, sources, Room(sources, shared, is_away=False))
    [config] = (await configs([source])).values()
    admit.note_call(config, account, RateLimited(timedelta(0), 429), took_s=0.1)
    assert (await admit([account], trigger=Trigger.SCHEDULE, source_id=source)).account_ids == []
    await admit.drain()


async def test_a_limit_that_one_account_alone_runs_into_again_and_again_holds_nobody_else() -> None:
    source = SourceId(uuid4())
    limited, served = AccountId(uuid4()), AccountId(uuid4())
    bulkheads, shared = Bulkheads(100), Shared()
    sources = dict.fromkeys((limited, served), source)
    admit = admission(bulkheads, shared, sources, Room(sources, shared, is_away=False))
    [config] = (await configs([source])).values()
    no_time = RateLimited(None, 429)
    admit.note_call(config, limited, no_time, took_s=0.1)
    state = bulkheads.source(source)
    assert (await admit([served], trigger=Trigger.SCHEDULE, source_id=source)).account_ids == []
    state.throttling.until = CLOCKS.loop_time() - 1.0  # the rest has passed
    admit.note_call(config, served, granted(), took_s=0.1)
    window = state.window.limit
    admit.note_call(config, limited, no_time, took_s=0.1)
    assert (await admit([served], trigger=Trigger.SCHEDULE, source_id=source)).account_ids == [served]
    assert state.window.limit == window
    admit.note_call(config, limited, RateLimited(timedelta(minutes=1), 429), took_s=0.1)
    assert (await admit([served], trigger=Trigger.SCHEDULE, source_id=source)).account_ids == []
    await admit.drain()


async def test_a_grant_of_a_client_of_ones_own_says_nothing_of_the_limits_of_the_sources() -> None:
    source = SourceId(uuid4())
    limited, apart = AccountId(uuid4()), AccountId(uuid4())
    bulkheads, shared = Bulkheads(100), Shared()
    sources = dict.fromkeys((limited, apart), source)
    admit = admission(bulkheads, shared, sources, Room(sources, shared, is_away=False))
    [config] = (await configs([source])).values()
    admit.note_call(config, limited, RateLimited(None, 429), took_s=0.1)
    bulkheads.source(source).throttling.until = CLOCKS.loop_time() - 1.0
    admit.note_call(config, apart, granted(), took_s=0.1, own_client=True)
    admit.note_call(config, limited, RateLimited(None, 429), took_s=0.1)
    assert (await admit([apart], trigger=Trigger.SCHEDULE, source_id=source)).account_ids == []
    await admit.drain()


async def test_who_waits_for_places_at_a_full_source_is_not_in_hand() -> None:
    source = SourceId(uuid4())
    ids = [AccountId(uuid4()) for _ in range(2)]
    sources = dict.fromkeys(ids, source)
    bulkheads, shared, backpressure = Bulkheads(1), Shared(), Backpressure(1_000, CLOCKS)
    admit = admission(bulkheads, shared, sources, Room(sources, shared, is_away=False), backpressure)
    first = await admit(ids[:1], trigger=Trigger.SCHEDULE, source_id=source)
    permits = await backpressure.take(1, demanded=False)
    second = asyncio.create_task(admit(ids[1:], trigger=Trigger.SCHEDULE, source_id=source))
    async with asyncio.timeout(5):
        while backpressure.in_hand > 0:
            assert not second.done()
            await asyncio.sleep(0)
    await admit.leave(ids[:1], first)
    assert (await second).account_ids == ids[1:]
    assert backpressure.in_hand == 1
    permits.close()
