"""Answers on the disk: whole or not there, closed to others, and never in the way of their neighbours."""

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from uuid import uuid4

import pytest
import structlog

from tokenkeep.adapters.spool.file_spool import FileSpool
from tokenkeep.application.refreshing import SpooledAnswer
from tokenkeep.domain.attempt import Attempt, Trigger
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId, new_id


def an_entry() -> SpooledAnswer:
    attempt = Attempt(
        id=AttemptId(new_id()),
        account_id=AccountId(uuid4()),
        epoch=2,
        fence=7,
        presented_generation=5,
        trigger=Trigger.DEMAND,
        correlation_id="cor_1",
        sent_at=datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=UTC),
    )
    return SpooledAnswer(
        attempt=attempt,
        source_id=SourceId(uuid4()),
        secret_version=3,
        scopes=("read", "write"),
        doubts=1,
        presentations=2,
        properties={"tenant": "ünïcode \ud800", "number": 2**70},
        sealed_key=SealedKey("key-1", bytes(range(256))),
        ciphertext=bytes(reversed(range(256))),
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "not_yet"


@pytest.fixture
def used(directory: Path) -> Path:
    directory.mkdir()
    return directory


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_what_is_written_is_read_back_oldest_attempt_first(directory: Path) -> None:
    spool = FileSpool(directory)
    first, second = an_entry(), an_entry()
    for entry in (second, first):
        await spool.write(entry)
    assert list(await FileSpool(directory).entries()) == [first, second]


async def test_an_attempt_that_was_never_sent_by_the_clock_is_read_back_too(directory: Path) -> None:
    entry = an_entry()
    entry = replace(entry, attempt=replace(entry.attempt, sent_at=None))
    await FileSpool(directory).write(entry)
    assert list(await FileSpool(directory).entries()) == [entry]


async def test_nobody_else_may_look_into_the_spool(directory: Path) -> None:
    await FileSpool(directory).write(an_entry())
    [path] = files(directory)
    assert [mode_of(directory), mode_of(path)] == [0o700, 0o600]


async def test_writing_again_and_removing_again_change_nothing(directory: Path) -> None:
    spool, entry = FileSpool(directory), an_entry()
    await spool.write(entry)
    await spool.write(entry)
    assert list(await spool.entries()) == [entry]
    await spool.remove(entry.attempt.id)
    await spool.remove(entry.attempt.id)
    assert files(directory) == []


async def test_a_spool_that_was_never_used_is_empty(directory: Path) -> None:
    assert list(await FileSpool(directory).entries()) == []
    await FileSpool(directory).remove(AttemptId(uuid4()))
    assert files(directory.parent) == []


async def test_half_an_answer_is_no_answer_and_is_cleared_away_when_its_writer_is_gone(directory: Path) -> None:
    spool, entry = FileSpool(directory), an_entry()
    await spool.write(entry)
    [whole] = files(directory)
    abandoned, in_hand = directory / "a.answer.1.tmp", directory / "b.answer.2.tmp"
    for path in (abandoned, in_hand):
        path.write_bytes(whole.read_bytes()[:40])
    long_ago = time() - 2 * 3600
    os.utime(abandoned, (long_ago, long_ago))
    assert list(await spool.entries()) == [entry]
    assert files(directory) == sorted([whole, in_hand])


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"attempt_id": 5}', b"\xff\xfe", b"[" * 100_000], ids=range(7)
)
async def test_a_file_that_is_no_answer_is_left_alone_and_told_once(directory: Path, content: bytes) -> None:
    spool, entry = FileSpool(directory), an_entry()
    await spool.write(entry)
    broken = directory / "0.answer"
    broken.write_bytes(content)
    with structlog.testing.capture_logs() as log:
        for _ in range(3):
            assert list(await spool.entries()) == [entry]
    assert [line["event"] for line in log] == ["spool_file_unreadable"]
    assert broken.read_bytes() == content


async def test_the_largest_answer_of_a_provider_fits_and_a_larger_file_is_refused(directory: Path) -> None:
    spool = FileSpool(directory)
    # A megabyte of two-byte letters is three of JSON; the presented token may be as large as the answer.
    largest = replace(an_entry(), ciphertext=os.urandom(6 * 1024 * 1024))
    await spool.write(largest)
    assert list(await spool.entries()) == [largest]
    with pytest.raises(OSError, match="too large"):
        await spool.write(replace(an_entry(), ciphertext=os.urandom(13 * 1024 * 1024)))
    assert len(files(directory)) == 1


async def test_an_answer_is_said_to_be_safe_only_when_it_and_its_name_are_on_the_disk(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, list[str]]] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, [path.suffix for path in files(used)]))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    await FileSpool(used).write(an_entry())
    assert synced == [("file", [".tmp"]), ("directory", [".answer"])]


async def test_a_disk_that_fails_is_told_and_leaves_nothing_half_written(
    used: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        await FileSpool(used).write(an_entry())
    assert files(used) == []


async def test_what_has_not_lain_there_for_long_is_left_to_whoever_wrote_it(directory: Path) -> None:
    spool = FileSpool(directory)
    await spool.write(an_entry())
    assert list(await spool.entries(of_age=timedelta(seconds=30))) == []
    [path] = files(directory)
    os.utime(path, (path.stat().st_mtime - 31, path.stat().st_mtime - 31))
    assert len(await spool.entries(of_age=timedelta(seconds=30))) == 1
