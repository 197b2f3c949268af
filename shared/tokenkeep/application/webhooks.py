"""The values that travel with webhooks, and the ports that keep them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from tokenkeep.domain.credential import SealedKey
from tokenkeep.domain.events import Event
from tokenkeep.domain.ids import EventId, IdKind, WebhookId
from tokenkeep.domain.secret import Secret
from tokenkeep.domain.webhook import Webhook
from tokenkeep.domain.webhook_tries import Condition, DeliveryState, Tried, WaveEnd

SECRET_FIELD: Final = "webhook_secret"  # noqa: S105 - the name of a field
WAVE: Final = 8
"""How many deliveries to one endpoint are under way at once, at most."""


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret as it is stored. `valid_until` None: the newest one."""

    version: int
    ciphertext: bytes
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class WebhookView:
    """A webhook with what is shown of its deliveries. `former_secret_until`: how long a former secret signs beside the newest."""

    webhook: Webhook
    failing_since: datetime | None
    delivered_at: datetime | None
    former_secret_until: datetime | None


@dataclass(frozen=True, slots=True)
class Lane:
    """An endpoint that is one worker's to deliver to, as `holder`, until its lease ends."""

    webhook_id: WebhookId
    holder: UUID
    url: str
    ordered: bool
    failing: bool
    sealed_key: SealedKey


@dataclass(frozen=True, slots=True)
class ToDeliver:
    """One delivery whose time has come, with its event."""

    position: int
    tries: int
    event: Event


@dataclass(frozen=True, slots=True)
class Wave:
    """What is to be sent to an endpoint now, and the secrets that sign it, newest first."""

    deliveries: Sequence[ToDeliver]
    secrets: Sequence[SealedSecret]


@dataclass(frozen=True, slots=True)
class Standing:
    """An endpoint's lane, locked: how it has answered lately, where it is now, and the database's time."""

    condition: Condition
    url: str
    now: datetime


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """A delivery as it is listed. `due_at` None for a pending one: it waits behind another one of its subject."""

    position: int
    event_id: EventId
    subject_kind: IdKind | None
    subject: UUID
    type: str
    state: DeliveryState
    tries: int
    due_at: datetime | None
    tried_at: datetime | None
    status: int | None
    error: str | None
    duration_ms: int | None
    excerpt: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries are wanted: those that fit all that is given."""

    state: DeliveryState | None = None
    type: str | None = None
    event_id: EventId | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Which events are to be delivered again: those of this time, of these types, None being all that the webhook wants.

    `delivered_too`: those that were delivered already as well. `after`: the position to go on from.
    """

    since: datetime
    until: datetime | None
    types: frozenset[str] | None
    delivered_too: bool
    after: int | None


class Webhooks(Protocol):
    """Webhooks, to be made and changed, over one connection. `lock` holds one, and its lane, until the transaction ends."""

    async def count(self, environment: str) -> int: ...

    async def add(self, webhook: Webhook, key: SealedKey, secret: SealedSecret) -> None: ...

    async def view(self, webhook_id: WebhookId, environment: str) -> WebhookView | None: ...

    async def lock(self, webhook_id: WebhookId, environment: str | None = None) -> Webhook | None: ...

    async def save(self, webhook: Webhook) -> None: ...

    async def delete(self, webhook_id: WebhookId) -> None: ...

    async def key(self, webhook_id: WebhookId) -> SealedKey: ...

    async def secrets(self, webhook_id: WebhookId) -> Sequence[SealedSecret]: ...

    async def rotate(self, webhook_id: WebhookId, secret: SealedSecret, *, former_until: datetime) -> None: ...

    async def park(self, webhook_id: WebhookId) -> None: ...

    async def is_parking(self, webhook_id: WebhookId) -> bool: ...

    async def start_afresh(self, webhook_id: WebhookId) -> None: ...

    async def redeliver(self, webhook_id: WebhookId, event_id: EventId) -> bool: ...

    async def span_of(self, webhook: Webhook, span: Span) -> tuple[int, int]: ...

    async def deliver_again(
        self, webhook: Webhook, span: Span, *, after: int, until: int
    ) -> tuple[int, int | None]: ...


class WebhookTurns(Protocol):
    """How an endpoint's turn ends, over one connection. `standing` holds its lane until the transaction ends."""

    async def standing(self, webhook_id: WebhookId, holder: UUID) -> Standing | None: ...

    async def record(self, lane: Lane, end: WaveEnd, *, now: datetime) -> Mapping[int, DeliveryState]: ...

    async def give_back(self, lane: Lane, condition: Condition) -> None: ...


class Lanes(Protocol):
    """Which endpoints have something to be sent, and what. Each call is a transaction of its own."""

    async def claim(self, *, healthy: int, failing: int, lease: timedelta) -> Sequence[Lane]: ...

    async def wave(self, lane: Lane, *, size: int) -> Wave: ...

    async def put_off(self, lane: Lane, wait: timedelta) -> None: ...


class WebhookObserver(Protocol):
    """Hears what becomes of deliveries."""

    def webhook_tried(self, webhook_id: WebhookId, tried: Tried, state: DeliveryState) -> None:
        """A delivery was tried, and stands like this now."""

    def webhook_disabled(self, webhook: Webhook) -> None:
        """An endpoint is sent nothing any more."""

    def webhook_lease_lost(self, webhook_id: WebhookId) -> None:
        """What was tried is not written down: somebody else is at this endpoint by now."""

    def webhook_too_late(self, webhook_id: WebhookId, count: int) -> None:
        """We came too late to send so many deliveries; they wait for its next turn."""


WebhookSigner = Callable[[Sequence[Secret], str, datetime, str], str]
"""The header `webhook-signature` for these secrets, a message's id, a time in UTC, and a body."""
