"""A sweeper takes over what it has watched by itself, over a database that answered all the time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from unittest.mock import Mock

import pytest

from tokenkeep.application.ports import CustodyLedger
from tokenkeep.application.refreshing import StuckLease
from tokenkeep.application.sweep_leases import SweepLeases
from tokenkeep.domain.ids import AccountId, SourceId, new_id
from tokenkeep.domain.lease import Phase
from tokenkeep.domain.refresh_policy import RefreshPolicy
from tokenkeep.domain.rotation import Quarantine

NOW = datetime(2030, 1, 1, tzinfo=UTC)
GAP_S, QUARANTINE_S = 10.0, 120.0
SOURCE = SourceId(new_id())


def stuck(phase: Phase) -> StuckLease:
    return StuckLease(AccountId(new_id()), SOURCE, 7, phase.value, new_id(), NOW - timedelta(hours=1), NOW)


class Stores:
    """A database that holds these leases: how long it takes over a transaction, and whom it was asked to lock."""

    def __init__(self, *leases: StuckLease) -> None:
        self.leases = list(leases)
        self.now = 0.0
        self.hangs_for_s: float | None = None
        self.locked: list[AccountId] = []

    def loop_time(self) -> float:
        return self.now

    async def stuck(self, *, limit: int) -> Sequence[StuckLease]:
        return self.leases[:limit]

    async def run_out(self, *, limit: int) -> dict[AccountId, SourceId]:
        del limit
        return {}

    async def lock(self, account_ids: Sequence[AccountId]) -> dict[AccountId, Any]:
        self.locked += account_ids
        return {}

    async def write(self, writes: object) -> None:
        assert not writes

    async def close_attempts(self, attempts: object) -> None:
        assert not attempts

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[CustodyLedger]:
        if self.hangs_for_s is not None:
            self.now += self.hangs_for_s
            raise TimeoutError
        yield cast("CustodyLedger", self)


async def nothing(*_: object) -> dict[SourceId, Any]:
    return {}


async def no_links() -> Mock:
    return Mock()


def sweeper(stores: Stores) -> SweepLeases:
    return SweepLeases(
        schedule=cast("Any", stores),
        ledgers=stores.ledger,
        sources=cast("Any", nothing),
        catalogue=Mock(),
        observer=Mock(),
        clocks=cast("Any", stores),
        policy=RefreshPolicy(),
        quarantine=Quarantine(strict=timedelta(seconds=QUARANTINE_S), provider_deadline=timedelta(seconds=20)),
        links=cast("Any", no_links),
        longest_gap=timedelta(seconds=GAP_S),
    )


async def watch(sweep: SweepLeases, stores: Stores, seconds: float) -> None:
    end = stores.now + seconds
    while stores.now < end:
        stores.now += GAP_S / 2
        await sweep()


async def test_what_was_sent_is_taken_over_after_a_quarantine_of_watching() -> None:
    stores = Stores(sent := stuck(Phase.SENT))
    sweep = sweeper(stores)
    await sweep()
    await watch(sweep, stores, QUARANTINE_S - GAP_S)
    assert stores.locked == []
    await watch(sweep, stores, GAP_S)
    assert stores.locked[-1:] == [sent.account_id]


async def test_a_round_in_which_the_database_hung_was_no_watching() -> None:
    stores = Stores(sent := stuck(Phase.SENT), stuck(Phase.LEASED))
    sweep = sweeper(stores)
    stores.hangs_for_s = QUARANTINE_S + 1
    await sweep()
    stores.leases, stores.hangs_for_s = [sent], None
    await sweep()
    assert stores.locked == []
    await watch(sweep, stores, QUARANTINE_S)
    assert stores.locked[-1:] == [sent.account_id]


@pytest.mark.parametrize("takes_s", [0.0, GAP_S / 4])
async def test_a_row_that_cannot_be_taken_over_keeps_nobody_else_waiting(takes_s: float) -> None:
    stores = Stores(sent := stuck(Phase.SENT), stuck(Phase.LEASED))
    sweep = sweeper(stores)
    stores.hangs_for_s = takes_s
    await sweep()
    await watch(sweep, stores, QUARANTINE_S)
    stores.hangs_for_s = None
    await sweep()
    assert sent.account_id in stores.locked
