"""Processes tell which keys they hold, whatever becomes of the database meanwhile."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog

from tokenkeep.adapters.vault.keyring import Keyring
from tokenkeep.adapters.vault.keyring_reports import KeyringReports
from tokenkeep.application.key_rotation import HolderReport
from tokenkeep.application.tell_keyring import TellKeyring
from tokenkeep.domain.ids import new_id
from tokenkeep.domain.key_removal import KeyringHolder

HOUR_S = 3600.0


@dataclass
class MemoryHolders:
    """A `KeyringHolders` in memory; `away` calls fail first, and one that `hangs` takes nobody away."""

    away: int = 0
    hangs: bool = False
    told: list[HolderReport] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, holder: HolderReport) -> None:
        if self.away:
            self.away -= 1
            raise ConnectionRefusedError
        self.told.append(holder)
        self.heard.set()

    async def withdraw(self, holder_id: UUID) -> bool:
        if self.hangs:
            await asyncio.Event().wait()
        before = len(self.told)
        self.told = [one for one in self.told if one.id != holder_id]
        return len(self.told) < before

    async def all(self) -> tuple[datetime, Sequence[KeyringHolder]]:
        raise NotImplementedError

    async def connected(self) -> frozenset[str]:
        raise NotImplementedError


@dataclass
class MemorySpool:
    """The keys of a spool's answers."""

    keys: frozenset[str] = frozenset()
    place: str = "/spool"

    async def key_ids(self) -> frozenset[str]:
        return self.keys


async def test_a_database_that_was_away_is_told_soon_after_it_is_back() -> None:
    """Sooner than at the next turn: what was written between its return and that would be by a key that nobody seems to hold."""
    holders, ring = MemoryHolders(away=2), Keyring.generate()
    reports = KeyringReports(TellKeyring(new_id(), "api", holders, ring), every_s=HOUR_S)
    with structlog.testing.capture_logs() as log:
        await reports.start()
        assert holders.told == []
        async with asyncio.timeout(60):
            await holders.heard.wait()
    assert [line["event"] for line in log] == ["keyring_not_told"]
    assert [one.key_ids for one in holders.told] == [ring.key_ids]
    await reports.stop()
    assert holders.told == []


async def test_a_process_that_leaves_answers_in_its_spool_is_told_of_beyond_its_end() -> None:
    holders, ring, spool = MemoryHolders(), Keyring.generate(), MemorySpool()
    reports = KeyringReports(TellKeyring(new_id(), "worker", holders, ring, spool), every_s=HOUR_S)
    await reports.start()
    spool.keys = frozenset({ring.current})
    await reports.stop()
    assert holders.told[-1].spooled_keys == {ring.current}
    spool.keys = frozenset()
    await reports.stop()
    assert holders.told == []


async def test_a_database_that_hangs_keeps_no_process_from_ending() -> None:
    holders, ring = MemoryHolders(hangs=True), Keyring.generate()
    reports = KeyringReports(TellKeyring(new_id(), "api", holders, ring), every_s=HOUR_S, last_word_s=0.01)
    await reports.start()
    with structlog.testing.capture_logs() as log:
        async with asyncio.timeout(60):
            await reports.stop()
    assert [line["event"] for line in log] == ["keyring_not_withdrawn"]
    assert len(holders.told) == 1  # it is silent from now on
