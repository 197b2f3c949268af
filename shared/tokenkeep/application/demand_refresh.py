"""Demand: ask the workers for a refresh now. Callers that ask at the same time ask once."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tokenkeep.application.batching import Batcher
from tokenkeep.application.ports import RefreshQueue
from tokenkeep.domain.attempt import Trigger
from tokenkeep.domain.ids import AccountId


@dataclass(frozen=True, slots=True)
class Demand:
    """A wish for credentials obtained after `newer_than`, or after the moment of asking when that is None."""

    account_id: AccountId
    newer_than: datetime | None
    correlation_id: str


class Demands(Protocol):
    """Writes demands into the accounts' rows, where they outlive every queue.

    Returns, for each account that is being refreshed, the moment that its credentials must be newer than.
    """

    async def __call__(self, wanted: Mapping[AccountId, datetime | None]) -> Mapping[AccountId, datetime]: ...


class DemandRefresh:
    """Writes the demand into the account's row, then hints at it."""

    def __init__(self, demands: Demands, queue: RefreshQueue) -> None:
        self._demands = demands
        self._queue = queue
        self._batched: Batcher[Demand, datetime | None] = Batcher(self._ask, limit=500)

    async def __call__(self, demand: Demand) -> datetime | None:
        """The moment that the credentials will be newer than; None when the account is not being refreshed."""
        return await self._batched(demand)

    async def _ask(self, demands: Sequence[Demand]) -> Sequence[datetime | None]:
        wanted: dict[AccountId, datetime | None] = {}
        for demand in demands:
            former = wanted.get(demand.account_id, demand.newer_than)
            newest = None if former is None or demand.newer_than is None else max(former, demand.newer_than)
            wanted[demand.account_id] = newest
        moments = await self._demands(wanted)
        for correlation_id, account_ids in _by_cause(demands, moments).items():
            await self._queue.enqueue(account_ids, trigger=Trigger.DEMAND, correlation_id=correlation_id)
        return [moments.get(demand.account_id) for demand in demands]


def _by_cause(demands: Sequence[Demand], moments: Mapping[AccountId, datetime]) -> dict[str, list[AccountId]]:
    """The accounts that are being refreshed, by the correlation id of the first caller that wants each."""
    causes: dict[AccountId, str] = {}
    for demand in demands:
        if demand.account_id in moments:
            causes.setdefault(demand.account_id, demand.correlation_id)
    grouped: dict[str, list[AccountId]] = defaultdict(list)
    for account_id, correlation_id in causes.items():
        grouped[correlation_id].append(account_id)
    return grouped
