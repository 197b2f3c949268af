"""Wrapped ports: which call reaches which point, and when."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import uuid4

import pytest
import structlog

from tokenkeep.adapters.failpoints.ledgers import SWEEP, FailingLedgers
from tokenkeep.adapters.failpoints.spec import Action, Armed, Point
from tokenkeep.adapters.failpoints.striking import FailedOnPurpose, Failpoints, arm
from tokenkeep.adapters.failpoints.worker_ports import FailingLocks
from tokenkeep.application.custody import Taken
from tokenkeep.application.ports import CustodyLedger
from tokenkeep.application.refreshing import LeaseRequest, SettlementWrite
from tokenkeep.domain.ids import AccountId, AttemptId

ONE = AccountId(uuid4())
REQUEST = LeaseRequest(ONE, AttemptId(uuid4()))
A_WRITE = cast("SettlementWrite", object())


class SeenPoints(Failpoints):
    """Notes the points that are reached, beside what else happens."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__(())
        self._notes = notes

    def hit(self, point: Point) -> None:
        self._notes.append(point.value)


class SmallLedger:
    """As much of a ledger as these tests call."""

    def __init__(self, notes: list[str], leased: Sequence[object]) -> None:
        self._notes = notes
        self._leased = leased

    async def lease(self, *_: object, **__: object) -> Sequence[object]:
        return self._leased

    async def write(self, _writes: object) -> None:
        self._notes.append("written")

    async def gone(self, _ids: object) -> set[AccountId]:
        return {ONE}


class SmallLedgers:
    def __init__(self, notes: list[str], leased: Sequence[object] = ()) -> None:
        self._notes = notes
        self._leased = leased

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[CustodyLedger]:
        yield cast("CustodyLedger", SmallLedger(self._notes, self._leased))
        self._notes.append("committed")


class SmallLocks:
    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    async def take(self, account_ids: Sequence[AccountId], _owner: str) -> list[Taken]:
        self._notes.append("taken")
        return [Taken(one) for one in account_ids]

    async def renew(self, _held: object) -> None: ...

    async def give_back(self, _held: object) -> None:
        self._notes.append("given back")

    async def correct(self, _account_id: AccountId, _generation: int) -> None: ...


async def lease(ledger: CustodyLedger) -> Any:
    return await ledger.lease([REQUEST], lease=cast("Any", None), look=cast("Any", None))


async def test_a_settlement_is_reached_before_its_commit_and_after_it() -> None:
    notes: list[str] = []
    async with FailingLedgers(SmallLedgers(notes), SeenPoints(notes))() as ledger:
        await ledger.write([A_WRITE])
    assert notes == ["written", "settle.uncommitted", "committed", "settle.committed"]


async def test_what_a_sweeper_writes_is_a_sweep() -> None:
    notes: list[str] = []
    async with FailingLedgers(SmallLedgers(notes), SeenPoints(notes), writing=SWEEP)() as ledger:
        await ledger.write([A_WRITE])
    assert notes == ["written", "sweep.uncommitted", "committed", "sweep.committed"]


async def test_a_lease_of_nobody_reaches_no_point() -> None:
    notes: list[str] = []
    async with FailingLedgers(SmallLedgers(notes), SeenPoints(notes))() as ledger:
        await lease(ledger)
    assert notes == ["committed"]
    notes.clear()
    async with FailingLedgers(SmallLedgers(notes, [object()]), SeenPoints(notes))() as ledger:
        await lease(ledger)
    assert notes == ["lease.uncommitted", "committed", "lease.committed"]


async def test_a_statement_that_is_no_step_passes_through() -> None:
    notes: list[str] = []
    async with FailingLedgers(SmallLedgers(notes), SeenPoints(notes))() as ledger:
        assert await ledger.gone([ONE]) == {ONE}
    assert notes == ["committed"]


async def test_a_fault_before_the_commit_undoes_the_transaction_and_one_behind_it_does_not() -> None:
    for point, notes_left in (
        (Point.SETTLE_UNCOMMITTED, ["written"]),
        (Point.SETTLE_COMMITTED, ["written", "committed"]),
    ):
        notes: list[str] = []
        points = Failpoints([Armed(point, Action.RAISE)])
        with pytest.raises(FailedOnPurpose):
            async with FailingLedgers(SmallLedgers(notes), points)() as ledger:
                await ledger.write([A_WRITE])
        assert notes == notes_left


async def test_only_a_lock_of_a_refreshed_account_reaches_a_point_when_it_is_given_back() -> None:
    notes: list[str] = []
    locks = FailingLocks(SmallLocks(notes), SeenPoints(notes))
    await locks.take([ONE], "me")
    await locks.give_back([(ONE, "me", None)])
    await locks.give_back([(ONE, "me", 2)])
    assert notes == ["lock.before", "taken", "lock.taken", "given back", "release.before", "given back", "released"]


def test_a_point_counts_its_hits_and_strikes_at_the_one_that_was_named() -> None:
    points = Failpoints([Armed(Point.SENT, Action.RAISE, at=2), Armed(Point.SENT, Action.RAISE, at=4)])
    struck = []
    for _ in range(5):
        points.hit(Point.ANSWERED)
        try:
            points.hit(Point.SENT)
        except FailedOnPurpose:
            struck.append(True)
        else:
            struck.append(False)
    assert struck == [False, True, False, True, False]


def test_who_arms_failpoints_is_told_so_in_the_log() -> None:
    with structlog.testing.capture_logs() as log:
        arm("sent=raise")
    assert [(line["event"], line["log_level"]) for line in log] == [("failpoints_are_armed", "warning")]
