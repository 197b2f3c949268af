"""Ports of what rotates the keyring's keys: wrapped data keys wherever they lie, and the processes that hold the keyring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from tokenkeep.application.auditing import AuditEntry
from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.key_removal import KeyringHolder, KeyringUse

Place = tuple[Any, ...]
"""The primary key of a row."""


@dataclass(frozen=True, slots=True)
class WrappedRow:
    """A data key as it lies in a row: whose it is, and what it was found as."""

    place: Place = field(repr=False)
    owner: UUID
    key: SealedKey


class Rewrapper(Protocol):
    """Wraps data keys anew."""

    def rewrap(self, owner: UUID, key: SealedKey) -> SealedKey: ...


class WrappedKeys(Protocol):
    """Every row of the database that holds a wrapped data key."""

    def tables(self) -> Sequence[str]: ...

    async def use(self) -> KeyringUse: ...

    async def page(
        self, table: str, after: Place | None, *, current: str, limit: int
    ) -> tuple[Sequence[WrappedRow], Place | None]: ...

    async def replace(self, table: str, rows: Sequence[tuple[WrappedRow, SealedKey]]) -> int: ...

    async def audit(self, entry: AuditEntry) -> None: ...


class KeyringHolders(Protocol):
    """What processes tell of the keys that they hold."""

    async def tell(self, holder: "HolderReport") -> None: ...

    async def withdraw(self, holder_id: UUID) -> bool: ...

    async def all(self) -> tuple[datetime, Sequence[KeyringHolder]]: ...

    async def connected(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class HolderReport:
    """What a process tells of itself: who it is, which keys it holds, the current one first, and which its spool wants."""

    id: UUID
    process: str
    host: str
    pid: int
    spool: str | None
    key_ids: tuple[str, ...]
    spooled_keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation has done. `failed` counts rows whose data key does not open, by table."""

    key_id: str
    rewrapped: Mapping[str, int]
    failed: Mapping[str, int]
    left: int
    """Rows that somebody held, or kept changing, at each look; a later run does them."""

    stopped: bool = False
    """Whether it was asked to stop before its end."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left on another key."""
        return not self.stopped and not self.left and not any(self.failed.values())
