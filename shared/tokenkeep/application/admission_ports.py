"""What admission needs of the world, as Protocols, and the values that travel between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tokenkeep.domain.ids import AccountId, SourceId
from tokenkeep.domain.source_limits import Bound


class Delay(StrEnum):
    """Why accounts were put off."""

    HELD = "held"
    RATE = "rate"
    CONCURRENCY = "concurrency"
    FULL = "full"
    SILENT = "silent"
    RESTING = "resting"


@dataclass(frozen=True, slots=True)
class Asked:
    """So many accounts of a source want to go. `places` names the group: its places are called `<places>:0` and so on."""

    source_id: SourceId
    bounds: tuple[Bound, ...]
    count: int
    demanded: bool
    places: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many of them may. `wait_s` is when to ask again for the others, `why` what they wait for."""

    count: int
    wait_s: float = 0.0
    why: Delay = Delay.CONCURRENCY


class SharedLimits(Protocol):
    """What all workers know together of a source's limits. Answers None, or False, or does nothing, while its store is away."""

    async def take(self, asked: Asked) -> Allowed | None: ...

    async def leave(self, bounds: Sequence[Bound], places: Sequence[str]) -> bool: ...

    async def hold(self, source_id: SourceId, span_s: float) -> None: ...

    async def count_workers(self) -> int | None: ...


class WaitingRoom(Protocol):
    """The rows of accounts that can't go now."""

    async def sources_of(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, SourceId]: ...

    async def lives(self, account_ids: Sequence[AccountId]) -> Mapping[AccountId, float | None]: ...

    async def put_off(self, waits: Mapping[AccountId, float], *, binding: bool) -> None: ...


class AdmissionObserver(Protocol):
    """Sees who has to wait, and what for."""

    def put_off(self, provider: str, delay: Delay, count: int) -> None: ...

    def throttled(self, provider: str, source_id: SourceId, span_s: float) -> None: ...

    def under_way(self, count: int) -> None: ...
