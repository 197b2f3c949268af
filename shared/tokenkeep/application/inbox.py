"""The inbox: events of services, durable from their acceptance until they have had their effect."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from tokenkeep.domain.api_key import Caller
from tokenkeep.domain.ids import AccountId
from tokenkeep.domain.incoming_event import IncomingEvent, IncomingType

STREAM_SENDER = "inbox"
"""Who acts in the audit trail where an event came over the Redis stream."""

EventKey = tuple[str, str, str]
"""What makes an event the same one again: environment, `source`, `id`."""


class Outcome(StrEnum):
    """What came of an accepted event.

    `moot`: there was nothing left to do, such as for a report about a token that had been replaced. `refused`: the call that
    it stands for would have been refused, as the audit trail tells. `failed`: it could not be worked off, however often it was tried.
    """

    APPLIED = "applied"
    MOOT = "moot"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NewInboxEvent:
    """An event that is to be kept, in the environment of its account, with who sent it."""

    event: IncomingEvent
    sender: Caller
    correlation_id: str

    @property
    def key(self) -> EventKey:
        """By what it is known again."""
        return self.sender.environment, self.event.source, self.event.id


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """An accepted event that waits for its effect. `position` is its place in the order of arrival."""

    position: int
    event: IncomingEvent
    sender: Caller
    correlation_id: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class PostponedEvent:
    """An accepted event that could not be worked off this time, and whether that was the last try."""

    type: IncomingType
    correlation_id: str
    given_up: bool


@dataclass(frozen=True, slots=True)
class FailedEvent:
    """An accepted event that could not be worked off. `error` is the name of what went wrong at last."""

    position: int
    environment: str
    source: str
    id: str
    type: str
    account_id: AccountId
    error: str | None
    received_at: datetime


class Inbox(Protocol):
    """The inbox in one transaction. `take` holds the account until that ends; None: nothing waits, or another has it."""

    async def environments(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, str]: ...

    async def add(self, events: Sequence[NewInboxEvent]) -> Collection[EventKey]: ...

    async def take(self, account_id: AccountId) -> InboxEvent | None: ...

    async def mark_rejected(self, account_id: AccountId) -> bool: ...

    async def close(self, taken: InboxEvent, outcome: Outcome) -> None: ...


class InboxObserver(Protocol):
    """Sees what becomes of events, by their type."""

    def inbox_event_taken(self, event_type: str, result: str) -> None: ...
