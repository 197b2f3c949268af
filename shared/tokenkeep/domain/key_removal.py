"""When a wrapping key may be taken out of the keyring: rows, processes and spools, judged together.

A count of rows alone proves nothing. A process that still has the key as its current one may wrap by it right after the count; one
that has only just changed may be about to commit what it wrapped before; and an answer in a spool is sealed under a key that no row
need name any more. Who does not tell of himself can't be judged: an older release among newer ones is not seen here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

SILENT_AFTER: Final = timedelta(seconds=60)
"""A process tells every 10 seconds which keys it has."""

GONE_AFTER: Final = timedelta(minutes=10)
"""A process without a spool that has been silent for so long keeps nothing back: a request has long ended by then."""

SETTLED_AFTER: Final = timedelta(minutes=2)
"""What was wrapped by a key before another became current has been committed, or given up, so long after."""

UNREADABLE: Final = "?"
"""In place of the id of the key of a spooled answer that can't be read."""


@dataclass(frozen=True, slots=True)
class KeyringHolder:
    """A process that wraps by the keyring, as it has told of itself last. `key_ids` has the current key first.

    `spool` is where it keeps answers that the database can't take, None if it has none; `spooled_keys` are those they are sealed under.
    """

    id: UUID
    process: str
    host: str
    pid: int
    spool: str | None
    key_ids: tuple[str, ...]
    spooled_keys: frozenset[str]
    current_since: datetime
    seen_at: datetime

    @property
    def name(self) -> str:
        """How it is called in what an operator reads."""
        return f"{self.process} {self.host}/{self.pid}"

    def is_silent(self, now: datetime) -> bool:
        """Whether it has not told anything for so long that it may have died."""
        return now - self.seen_at > SILENT_AFTER


@dataclass(frozen=True, slots=True)
class KeyringUse:
    """How many rows of each table each key wraps, in one snapshot of the database, and who held which keys then."""

    counted_at: datetime
    rows: Mapping[str, Mapping[str, int]]
    """By the key's id, then by the table."""

    holders: Sequence[KeyringHolder]

    connected: frozenset[str] = frozenset()
    """The kinds of processes that wrap, and have a session at the database."""

    def total(self, key_id: str) -> int:
        """How many rows this key wraps."""
        return sum(self.rows.get(key_id, {}).values())

    def present(self) -> list[KeyringHolder]:
        """The holders that still count: not those that are surely gone, nor those whose spool somebody else looks after."""
        covered = {(it.host, it.spool) for it in self.holders if not it.is_silent(self.counted_at)}
        return [it for it in self.holders if not self._is_gone(it, covered)]

    def _is_gone(self, holder: KeyringHolder, covered: set[tuple[str, str | None]]) -> bool:
        if not holder.is_silent(self.counted_at):
            return False
        if holder.spool is None:
            return self.counted_at - holder.seen_at > GONE_AFTER
        return (holder.host, holder.spool) in covered and self.counted_at - holder.seen_at > GONE_AFTER


def without_key(key_id: str, holders: Iterable[KeyringHolder], now: datetime) -> list[KeyringHolder]:
    """The processes that are alive and lack this key: what is wrapped by it, they can't open."""
    return [holder for holder in holders if not holder.is_silent(now) and key_id not in holder.key_ids]


def untold(connected: Iterable[str], holders: Iterable[KeyringHolder], now: datetime) -> list[str]:
    """The kinds of processes that are there though none tells which keys it has: of an older release, which knows no telling."""
    return sorted(set(connected) - {holder.process for holder in holders if not holder.is_silent(now)})


def reasons_to_keep(key_id: str, use: KeyringUse) -> list[str]:
    """Why this key may not be removed, in plain words; nothing when it may be."""
    reasons: list[str] = []
    total = use.total(key_id)
    if total:
        where = ", ".join(f"{table} {count}" for table, count in sorted(use.rows[key_id].items()) if count)
        rows = "1 row is" if total == 1 else f"{total} rows are"
        reasons.append(f"{rows} wrapped by it ({where}); `tokenkeep keys rotate` wraps anew")
    reasons += [
        f"a process `{process}` is at the database and tells nothing of its keys: it may be of an older release"
        for process in untold(use.connected, use.holders, use.counted_at)
    ]
    for holder in use.present():
        said = _reason_of(key_id, holder, use.counted_at)
        if said is not None:
            reasons.append(f"{holder.name} {said}")
    return reasons


def _reason_of(key_id: str, holder: KeyringHolder, now: datetime) -> str | None:
    if holder.key_ids[:1] == (key_id,):
        return "wraps by it: another key must come first in its keyring"
    if key_id in holder.spooled_keys:
        return "has answers in its spool that are sealed under it; they are settled when the database takes them"
    if UNREADABLE in holder.spooled_keys:
        return "has answers in its spool that it can't read, so their key is not known"
    if holder.is_silent(now):
        if key_id not in holder.key_ids:
            return None
        since = f"has been silent since {holder.seen_at:%Y-%m-%d %H:%M:%S}Z"
        spool = "" if holder.spool is None else f" and may have left answers in its spool {holder.spool}"
        return f"{since}{spool}; start it again, or if it is gone for good: `tokenkeep keys forget {holder.id}`"
    settled_at = holder.current_since + SETTLED_AFTER
    if now < settled_at:  # also if it lacks the key by now: what it had before, it does not tell
        left = int((settled_at - now).total_seconds()) + 1
        return f"has its present key since a moment only and may be about to write what it wrapped before; ask again in {left} s"
    return None
