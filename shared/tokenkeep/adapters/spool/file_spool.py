"""A spool of files, one for each answer; on the disk, and its name with it, when `write` returns."""

import asyncio
import base64
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from errno import EFBIG
from math import inf
from pathlib import Path
from time import time
from typing import Any
from uuid import UUID

import structlog

from tokenkeep.application.refreshing import SpooledAnswer
from tokenkeep.domain.attempt import Attempt, Trigger
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.ids import AccountId, AttemptId, SourceId
from tokenkeep.domain.key_removal import UNREADABLE

_SUFFIX = ".answer"
_UNFINISHED = ".tmp"
_LARGEST_FILE = 16 * 1024 * 1024
"""More than the largest answer that a token endpoint may give comes to, sealed and written as text."""
_LEFT_BEHIND_S = 3600.0
"""An unfinished file of this age is nobody's: other processes may be writing theirs into the same directory."""

_log = structlog.get_logger("tokenkeep.spool")


class FileSpool:
    """Answers in a directory that only this user may read. Several processes may share it.

    A file is written under another name, synced, and renamed; then the directory is synced: a crash leaves a whole file or
    none. What can't be read is left where it is and told in the log, once by each process. How many files there are is
    bounded by how many answers can be under way: without the database nothing new is sent.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._told: set[str] = set()

    async def write(self, entry: SpooledAnswer) -> None:
        """Put an answer on the disk. Raises OSError when that fails, or when it would be too large to be read again."""
        await asyncio.to_thread(self._write, entry)

    async def remove(self, attempt_id: AttemptId) -> None:
        """Take an answer away; it need not be there."""
        await asyncio.to_thread(self._path(attempt_id).unlink, missing_ok=True)

    async def entries(self, *, of_age: timedelta = timedelta(0)) -> Sequence[SpooledAnswer]:
        """Every answer that can be read and has lain here for so long, oldest attempt first."""
        return await asyncio.to_thread(self._entries, time() - of_age.total_seconds() if of_age else inf)

    @property
    def place(self) -> str:
        """Where the answers are."""
        return str(self._directory.absolute())

    async def key_ids(self) -> frozenset[str]:
        """The keys of the keyring without which the answers can't be opened; `UNREADABLE` for those that can't even be read."""
        return await asyncio.to_thread(self._key_ids)

    def _key_ids(self) -> frozenset[str]:
        found: set[str] = set()
        for path in self._directory.glob(f"*{_SUFFIX}"):  # no directory, no answers
            try:
                found.add(str(json.loads(_read(path))["key_id"]))
            except FileNotFoundError:
                continue  # it was drained
            except Exception:  # noqa: BLE001 - as for entries, which tells of it
                found.add(UNREADABLE)
        return frozenset(found)

    def _path(self, attempt_id: AttemptId) -> Path:
        return self._directory / f"{attempt_id.hex}{_SUFFIX}"

    def _write(self, entry: SpooledAnswer) -> None:
        if not self._directory.is_dir():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync(self._directory.parent)
        path = self._path(entry.attempt.id)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
        content = json.dumps(_document_of(entry)).encode()
        if len(content) > _LARGEST_FILE:
            raise OSError(EFBIG, os.strerror(EFBIG), path.name)
        try:
            _write_synced(unfinished, content)
            unfinished.rename(path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
        _sync(self._directory)

    def _entries(self, until: float) -> list[SpooledAnswer]:
        if not self._directory.is_dir():
            return []
        self._clear_unfinished()
        found: list[SpooledAnswer] = []
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            try:
                if path.stat().st_mtime <= until:
                    found.append(_entry_of(json.loads(_read(path))))
            except FileNotFoundError:
                continue  # another process has drained it
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one file, the others must be read
                self._tell(path, error)
        return found

    def _clear_unfinished(self) -> None:
        """Remove what was being written when its process died. It was never said to be safe, and may be half an answer."""
        for path in self._directory.glob(f"*{_UNFINISHED}"):
            with suppress(OSError):  # another process clears too; what can't be removed is in nobody's way
                if time() - path.stat().st_mtime > _LEFT_BEHIND_S:
                    path.unlink()

    def _tell(self, path: Path, error: Exception) -> None:
        if path.name not in self._told:
            self._told.add(path.name)
            _log.error("spool_file_unreadable", file=path.name, error=type(error).__name__)


def _write_synced(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise ValueError("too large")
    return content


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _document_of(entry: SpooledAnswer) -> dict[str, Any]:
    attempt, key = entry.attempt, entry.sealed_key
    return {
        "version": 1,
        "attempt_id": attempt.id.hex,
        "account_id": attempt.account_id.hex,
        "source_id": entry.source_id.hex,
        "epoch": attempt.epoch,
        "fence": attempt.fence,
        "presented_generation": attempt.presented_generation,
        "trigger": attempt.trigger.value,
        "correlation_id": attempt.correlation_id,
        "sent_at": None if attempt.sent_at is None else attempt.sent_at.isoformat(),
        "due_at": None if attempt.due_at is None else attempt.due_at.isoformat(),
        "secret_version": entry.secret_version,
        "scopes": entry.scopes,
        "doubts": entry.doubts,
        "presentations": entry.presentations,
        "properties": dict(entry.properties),
        "key_id": key.key_id,
        "wrapped_key": base64.b64encode(key.wrapped).decode(),
        "ciphertext": base64.b64encode(entry.ciphertext).decode(),
    }


def _entry_of(document: dict[str, Any]) -> SpooledAnswer:
    # A release that was before said nothing of `due_at`.
    sent_at, due_at = document["sent_at"], document.get("due_at")
    attempt = Attempt(
        id=AttemptId(UUID(document["attempt_id"])),
        account_id=AccountId(UUID(document["account_id"])),
        epoch=document["epoch"],
        fence=document["fence"],
        presented_generation=document["presented_generation"],
        trigger=Trigger(document["trigger"]),
        correlation_id=document["correlation_id"],
        sent_at=None if sent_at is None else datetime.fromisoformat(sent_at),
        due_at=None if due_at is None else datetime.fromisoformat(due_at),
    )
    return SpooledAnswer(
        attempt=attempt,
        source_id=SourceId(UUID(document["source_id"])),
        secret_version=document["secret_version"],
        scopes=tuple(document["scopes"]),
        doubts=document["doubts"],
        presentations=document["presentations"],
        properties=document["properties"],
        sealed_key=SealedKey(document["key_id"], base64.b64decode(document["wrapped_key"])),
        ciphertext=base64.b64decode(document["ciphertext"]),
    )
