"""What the API notes in memory is written, counted right, and survives a store that is away."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.ids import ApiKeyId, IdKind, format_id, new_id
from tokenkeep_api.buffers import CredentialReads, Flusher, KeyUses

CALLER = Caller("key_1", "default", frozenset(), "192.0.2.1")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Trail:
    """An audit trail that may be away."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.away = False

    async def __call__(self, entries: Sequence[AuditEntry]) -> None:
        if self.away:
            raise OSError
        self.entries += entries


async def test_equal_reads_are_written_as_one_with_their_count() -> None:
    trail = Trail()
    reads = CredentialReads(trail)
    for _ in range(3):
        reads.note(CALLER, "token.vend", "acc_1")
    reads.note(CALLER, "token.vend", "acc_1", "account_disabled")
    reads.note(CALLER, "token.vend", "acc_2")
    await reads.flush()
    await reads.flush()
    counted = {(entry.target, entry.result): entry.count for entry in trail.entries}
    assert counted == {("acc_1", "ok"): 3, ("acc_1", "account_disabled"): 1, ("acc_2", "ok"): 1}
    assert {entry.caller for entry in trail.entries} == {CALLER}


async def test_reads_beyond_the_bound_are_counted_without_their_target() -> None:
    trail = Trail()
    reads = CredentialReads(trail, most_groups=2)
    for number in range(10):
        reads.note(CALLER, "token.vend", f"acc_{number}")
    reads.note(CALLER, "token.vend", "acc_0")
    await reads.flush()
    assert [(entry.target, entry.count) for entry in trail.entries] == [("acc_0", 2), ("acc_1", 1), (None, 8)]


async def test_a_flush_is_over_when_all_is_written_that_was_noted_before_it() -> None:
    trail, gate = Trail(), asyncio.Event()

    async def slowly(entries: Sequence[AuditEntry]) -> None:
        await gate.wait()
        await trail(entries)

    reads = CredentialReads(slowly)
    reads.note(CALLER, "token.vend", "acc_1")
    first = asyncio.create_task(reads.flush())
    await asyncio.sleep(0)
    second = asyncio.create_task(reads.flush())
    await asyncio.sleep(0)
    assert not second.done()
    gate.set()
    await asyncio.gather(first, second)
    assert [entry.target for entry in trail.entries] == ["acc_1"]


async def test_what_cannot_be_written_now_is_written_later() -> None:
    trail = Trail()
    reads = CredentialReads(trail)
    trail.away = True
    reads.note(CALLER, "token.vend", "acc_1")
    with pytest.raises(OSError):  # noqa: PT011 - whichever it is, it is kept
        await reads.flush()
    reads.note(CALLER, "token.vend", "acc_1")
    trail.away = False
    await reads.flush()
    assert [(entry.caller, entry.target, entry.count) for entry in trail.entries] == [(CALLER, "acc_1", 2)]


async def test_many_reads_are_written_in_pieces_and_those_that_failed_once_more() -> None:
    trail = Trail()

    async def once(entries: Sequence[AuditEntry]) -> None:
        await trail(entries)
        trail.away = True

    reads = CredentialReads(once)
    for number in range(1_200):
        reads.note(CALLER, "token.vend", f"acc_{number}")
    with pytest.raises(OSError):  # noqa: PT011 - as above
        await reads.flush()
    assert len(trail.entries) == 500
    trail.away = False
    with pytest.raises(OSError):  # noqa: PT011 - as above
        await reads.flush()
    trail.away = False
    await reads.flush()
    assert [entry.count for entry in trail.entries] == [1] * 1_200
    assert {entry.target for entry in trail.entries} == {f"acc_{number}" for number in range(1_200)}


async def test_a_keys_latest_use_wins_over_one_that_could_not_be_written() -> None:
    written: list[dict[ApiKeyId, datetime]] = []
    away = True
    moment = NOW

    async def write(moments: dict[ApiKeyId, datetime]) -> None:
        if away:
            raise OSError
        written.append(moments)

    key_id = ApiKeyId(new_id())
    caller = Caller(format_id(IdKind.API_KEY, key_id), "default", frozenset())
    uses = KeyUses(write, now=lambda: moment)
    uses.note(caller)
    uses.note(Caller("admin-key", "default", frozenset()))
    with pytest.raises(OSError):  # noqa: PT011 - whichever it is, it is kept
        await uses.flush()
    moment = NOW + timedelta(seconds=5)
    uses.note(caller)
    away = False
    await uses.flush()
    assert written == [{key_id: moment}]


async def test_the_last_flush_writes_what_was_noted_until_the_end() -> None:
    trail = Trail()
    reads = CredentialReads(trail)
    flusher = Flusher(reads.flush, every_s=3600)
    flusher.start()
    reads.note(CALLER, "token.vend", "acc_1")
    await flusher.stop()
    assert len(trail.entries) == 1


async def test_a_store_that_is_away_does_not_stop_the_flushing() -> None:
    trail = Trail()
    trail.away = True
    reads = CredentialReads(trail)
    failures: list[int] = []
    flusher = Flusher(reads.flush, every_s=0.001, failed=lambda: failures.append(reads.unwritten()))
    flusher.start()
    reads.note(CALLER, "token.vend", "acc_1")
    await flusher.flush()
    assert failures[0] == 1
    trail.away = False
    async with asyncio.timeout(5):
        while not trail.entries:  # noqa: ASYNC110 - the flusher tells nobody
            await asyncio.sleep(0.001)
    await flusher.stop()
    assert [entry.count for entry in trail.entries] == [1]
    assert reads.unwritten() == 0


async def test_not_even_a_fault_of_ours_ends_the_flushing() -> None:
    faults = iter([RuntimeError(), ValueError()])
    done = asyncio.Event()

    async def flush() -> None:
        fault = next(faults, None)
        if fault is not None:
            raise fault
        done.set()

    flusher = Flusher(flush, every_s=0.001)
    flusher.start()
    async with asyncio.timeout(5):
        await done.wait()
    await flusher.stop()
    assert next(faults, None) is None
